"""Many relaxations that advance together: cell and positions of each, one call per evaluation of the potential.

Every tensor holds one row per crystal or per atom, and no operation mixes crystals: the path of a crystal does not
depend on the others in the batch. The next move is chosen by the subclasses in miad.relax.optimisers.fire and
miad.relax.optimisers.lbfgs. The generalised forces are those of ASE's `FrechetCellFilter`, which CHGNet's
`StructOptimizer` uses.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from miad.relax.geometry import Geometry, owners_of


@dataclass(frozen=True, eq=False)
class Outcome:
    """State of the relaxation of one crystal.

    Attributes:
        deformation: (3, 3); its transpose times the initial lattice, from the right, is the lattice.
        positions: (n_atoms, 3) Å, not wrapped.
        energy, initial_energy: eV, total.
        num_steps: moves made.
        rms_displacement: Å, in the undeformed cell and without the common drift.
        volume_ratio: current volume over initial volume.
        is_converged: True if the forces are below the limit.
    """

    deformation: np.ndarray
    positions: np.ndarray
    energy: float
    initial_energy: float
    num_steps: int
    rms_displacement: float
    volume_ratio: float
    is_converged: bool


class Relaxations(ABC):
    """The states of the relaxations of a batch of crystals that come and go.

    The variables are those of the filter: the atoms in the undeformed cell, and the logarithm of the deformation
    times the number of atoms.

    Args:
        fmax: eV/Å, limit of the longest row of the generalised forces (the three cell rows count too).
        max_steps: moves after which a relaxation stops unconverged.
        device: where the tensors are.
    """

    has_cell = True  # whether the cell relaxes too

    def __init__(self, *, fmax: float, max_steps: int, device: str) -> None:
        self.fmax, self.max_steps, self.device = fmax, max_steps, device
        self.crystal: dict[str, Tensor] = {}  # (n_crystals, …) each
        self.atom: dict[str, Tensor] = {}  # (n_atoms, …) each
        self.owners = torch.zeros(0, dtype=torch.long, device=device)  # (n_atoms,)

    def __len__(self) -> int:
        return len(self.crystal["sizes"]) if self.crystal else 0

    def add(self, new: Geometry) -> None:
        """Crystals that start now; they come after those that are already here."""
        num_crystals, num_atoms = len(new.sizes), len(new.owners)
        positions = _rows_times(new.frac_coords, new.lattices, new.owners)
        crystal = {
            "sizes": new.sizes,
            "initial_lattice": new.lattices,
            "inverse": torch.linalg.inv(new.lattices),
            "cell": self._zeros(num_crystals, 3, 3),
            "deformation": self._zeros(num_crystals, 3, 3) + torch.eye(3, device=self.device),
            "num_steps": torch.zeros_like(new.sizes),
            "energy": self._zeros(num_crystals),
            "initial_energy": self._zeros(num_crystals),
            "is_converged": torch.zeros_like(new.sizes, dtype=torch.bool),
            "is_finite": torch.ones_like(new.sizes, dtype=torch.bool),
            **self._fresh_crystals(num_crystals),
        }
        atom = {
            "numbers": new.atomic_numbers,
            "start": positions,
            "position": positions.clone(),
            **self._fresh_atoms(num_atoms),
        }
        self.crystal, self.atom = (
            {name: torch.cat([old[name], part]) if old else part for name, part in states.items()}
            for old, states in ((self.crystal, crystal), (self.atom, atom))
        )
        self.owners = owners_of(self.crystal["sizes"])

    def select(self, kept: Tensor) -> None:
        """Forget all crystals but the kept ones, (n_crystals,) of bool."""
        atoms = kept[self.owners]
        self.crystal = {name: part[kept] for name, part in self.crystal.items()}
        self.atom = {name: part[atoms] for name, part in self.atom.items()}
        self.owners = owners_of(self.crystal["sizes"])

    def geometry(self) -> Geometry:
        """The current cells and coordinates."""
        crystal = self.crystal
        return Geometry(
            lattices=crystal["initial_lattice"] @ crystal["deformation"].mT,
            frac_coords=_rows_times(self.atom["position"], crystal["inverse"], self.owners),
            atomic_numbers=self.atom["numbers"],
            sizes=crystal["sizes"],
            owners=self.owners,
        )

    def update(self, energies: Tensor, forces: Tensor, virials: Tensor) -> Tensor:
        """Take in an evaluation at the current geometry; crystals that are not done move on.

        Args:
            energies: (n_crystals,) eV, total.
            forces: (n_atoms, 3) eV/Å.
            virials: (n_crystals, 3, 3) eV, minus the derivative of the energy by strain.

        Returns:
            True for each crystal whose relaxation is over, converged or not, (n_crystals,). Those that were not given
            finite numbers stay at their geometry and are False in `crystal["is_finite"]`.
        """
        crystal = self.crystal
        broken = self.total((~torch.isfinite(forces).all(dim=1)).float())
        finite = torch.isfinite(energies) & torch.isfinite(virials).flatten(1).all(dim=1) & (broken == 0)
        forces = torch.where(finite[self.owners, None], forces, 0.0)
        virials = torch.where(finite[:, None, None], virials, 0.0)
        crystal["is_finite"], crystal["energy"] = finite, energies
        crystal["initial_energy"] = torch.where(crystal["num_steps"] == 0, energies, crystal["initial_energy"])
        general, cell = self._general_forces(forces, virials)
        longest = self.largest((general**2).sum(dim=1)).maximum((cell**2).sum(dim=2).amax(dim=1))
        crystal["is_converged"] = finite & (longest < self.fmax**2)
        is_over = crystal["is_converged"] | (crystal["num_steps"] >= self.max_steps) | ~finite
        self._move(general, cell, ~is_over)
        return is_over

    @property
    def volume_ratios(self) -> Tensor:
        """Current volume over initial volume, (n_crystals,)."""
        return torch.linalg.det(self.crystal["deformation"])

    def outcomes(self, chosen: list[int]) -> list[Outcome]:
        """States of some of the crystals, in ascending order of their indices."""
        kept = torch.zeros(len(self), dtype=torch.bool, device=self.device)
        kept[chosen] = True
        crystal = {name: part[kept].cpu().numpy() for name, part in self.crystal.items()}
        atoms = kept[self.owners]
        now, start = (self.atom[name][atoms].cpu().numpy() for name in ("position", "start"))
        ends = np.cumsum(crystal["sizes"])[:-1]
        found = []
        for row, (here, there) in enumerate(zip(np.split(now, ends), np.split(start, ends), strict=True)):
            moved = here - there
            moved = moved - moved.mean(axis=0)
            deformation = crystal["deformation"][row]
            outcome = Outcome(
                deformation=deformation,
                positions=here @ deformation.T,
                energy=float(crystal["energy"][row]),
                initial_energy=float(crystal["initial_energy"][row]),
                num_steps=int(crystal["num_steps"][row]),
                rms_displacement=float(np.sqrt((moved**2).sum(axis=1).mean())),
                volume_ratio=float(np.linalg.det(deformation)),
                is_converged=bool(crystal["is_converged"][row]),
            )
            found.append(outcome)
        return found

    def total(self, of_atoms: Tensor) -> Tensor:
        """Sums over the atoms of each crystal, (n_crystals, …)."""
        zeros = of_atoms.new_zeros(len(self), *of_atoms.shape[1:])
        return zeros.index_add(0, self.owners, of_atoms)

    def largest(self, of_atoms: Tensor) -> Tensor:
        """Largest value of the atoms of each crystal, (n_crystals,); none is negative."""
        return of_atoms.new_zeros(len(self)).scatter_reduce(0, self.owners, of_atoms, "amax")

    @abstractmethod
    def _moves(self, general: Tensor, cell: Tensor, is_moving: Tensor) -> tuple[Tensor, Tensor]:
        """Moves of the atoms (n_atoms, 3) and of the cell variables (n_crystals, 3, 3); of no use where not moving."""

    def _fresh_crystals(self, num_crystals: int) -> dict[str, Tensor]:
        return {}

    def _fresh_atoms(self, num_atoms: int) -> dict[str, Tensor]:
        return {}

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=self.device)

    def _general_forces(self, forces: Tensor, virials: Tensor) -> tuple[Tensor, Tensor]:
        deformation = self.crystal["deformation"]
        if not self.has_cell:
            return forces, torch.zeros_like(virials)
        gradient = (virials + virials.mT) / 2 @ torch.linalg.inv(deformation.mT)
        sizes = self.crystal["sizes"][:, None, None]
        # The adjoint of the derivative of exp at U is that at Uᵀ; its block formula needs one exponential.
        transposed = (self.crystal["cell"] / sizes).mT
        upper = torch.cat([transposed, gradient], dim=2)
        lower = torch.cat([torch.zeros_like(gradient), transposed], dim=2)
        cell = torch.linalg.matrix_exp(torch.cat([upper, lower], dim=1))[:, :3, 3:] / sizes
        return _rows_times(forces, deformation, self.owners), cell

    def _move(self, general: Tensor, cell: Tensor, is_moving: Tensor) -> None:
        moves, cell_moves = self._moves(general, cell, is_moving)
        crystal = self.crystal
        position = self.atom["position"]
        self.atom["position"] = torch.where(is_moving[self.owners, None], position + moves, position)
        if self.has_cell:
            rows = is_moving[:, None, None]
            crystal["cell"] = torch.where(rows, crystal["cell"] + cell_moves, crystal["cell"])
            stretched = torch.linalg.matrix_exp(crystal["cell"] / crystal["sizes"][:, None, None])
            crystal["deformation"] = torch.where(rows, stretched, crystal["deformation"])
        crystal["num_steps"] = crystal["num_steps"] + is_moving


def _rows_times(rows: Tensor, matrices: Tensor, owners: Tensor) -> Tensor:
    """Each row times the matrix of its crystal, (n_atoms, 3)."""
    return torch.bmm(rows[:, None, :], matrices[owners])[:, 0]
