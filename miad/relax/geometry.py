"""Cells and atoms of the crystals that are relaxed: as the tensors of a batch, and as sound enough to begin with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from miad.core.cells import closest_distance
from miad.core.crystal import Crystal
from miad.core.sound import MIN_VOLUME, fault, foreign_elements

if TYPE_CHECKING:
    from torch import Tensor

    from miad.relax.potentials.potential import Potential

MIN_FILL = 1e-6  # volume over the product of the edges; below, a cell is flat to rounding


@dataclass(frozen=True, eq=False)
class Geometry:
    """Crystals as a potential sees them, one after the other; float64, on the device of the potential.

    Attributes:
        lattices: (n_crystals, 3, 3) Å, rows are vectors.
        frac_coords: (n_atoms, 3), any image; they change continuously while a crystal relaxes.
        atomic_numbers: (n_atoms,).
        sizes: (n_crystals,) numbers of atoms.
        owners: (n_atoms,) index of the crystal that an atom belongs to.
    """

    lattices: "Tensor"
    frac_coords: "Tensor"
    atomic_numbers: "Tensor"
    sizes: "Tensor"
    owners: "Tensor"

    def arrays(self, chosen: "Tensor") -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Lattice (3, 3), frac_coords (n_atoms, 3) and atomic_numbers of each chosen crystal; mask (n_crystals,)."""
        atoms = chosen[self.owners]
        ends = np.cumsum(self.sizes[chosen].cpu().numpy())[:-1]
        coords, numbers = (part[atoms].cpu().numpy() for part in (self.frac_coords, self.atomic_numbers))
        lattices = self.lattices[chosen].cpu().numpy()
        return list(zip(lattices, np.split(coords, ends), np.split(numbers, ends), strict=True))


def owners_of(sizes: "Tensor") -> "Tensor":
    """Index of the crystal of each atom, (n_atoms,), from numbers of atoms (n_crystals,)."""
    import torch

    return torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)


def geometry_of(
    lattices: list[np.ndarray], frac_coords: list[np.ndarray], numbers: list[np.ndarray], device: str
) -> Geometry:
    """A `Geometry` of arrays: (3, 3) Å, (n_atoms, 3) and (n_atoms,) of each crystal."""
    import torch

    sizes = torch.tensor([len(part) for part in numbers], device=device)
    return Geometry(
        lattices=torch.tensor(np.array(lattices, dtype=float), device=device),
        frac_coords=torch.tensor(np.concatenate(frac_coords).astype(float), device=device),
        atomic_numbers=torch.tensor(np.concatenate(numbers).astype(np.int64), device=device),
        sizes=sizes,
        owners=owners_of(sizes),
    )


def problem_of(crystal: Crystal, potential: "Potential", min_distance: float) -> str | None:
    """Reason for which a crystal cannot be relaxed, or None; `min_distance` (Å) is that between any two atoms."""
    if reason := fault(crystal, min_volume=MIN_VOLUME):
        return reason
    if names := foreign_elements(crystal, potential.elements):
        return f"the potential does not know {', '.join(names)}"
    if crystal.volume < MIN_FILL * np.prod(np.linalg.norm(crystal.lattice, axis=1)):
        return f"its cell is flat ({crystal.volume:.3g} Å³)"
    distance = closest_distance(crystal.lattice, crystal.frac_coords)
    if distance < min_distance:
        return f"atoms closer than {min_distance} Å at the start ({distance:.3f} Å)"
    if distance > potential.reach:
        return f"no atom has a neighbour within {potential.reach:g} Å"
    return None
