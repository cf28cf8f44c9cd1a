"""What evaluates the crystals that are relaxed together."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from miad.relax.optimisers.batch import Geometry, geometry_of
from miad.relax.potentials.register import Atoms, Evaluation, Evaluator


class Engine(Protocol):
    """A potential that is asked again and again for the same crystals while they relax, come and go."""

    device: str
    bytes_per_atom: float  # of an evaluation, a guess for crystals that have not been seen yet

    def refresh(self, geometry: Geometry) -> tuple[Tensor, dict[int, str]]:
        """Get ready for a geometry; crystals that were not known before are at its end.

        Returns:
            What the evaluation of each crystal takes, (n_crystals,) bytes, and why some cannot be evaluated.
        """

    def evaluate(self, geometry: Geometry, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate some crystals, (n_crystals,) of bool, at the geometry of the last `refresh`.

        Returns:
            Of the chosen crystals only, float64: energies (n_chosen,) eV, forces (n_chosen_atoms, 3) eV/Å, and
            virials (n_chosen, 3, 3) eV, minus the derivative of the energy by strain.
        """

    def select(self, kept: Tensor) -> None:
        """Forget all crystals but the kept ones, (n_crystals,) of bool."""


class ListEngine:
    """An `Engine` of a function that evaluates a list of crystals and remembers nothing of them.

    Args:
        evaluate: the function.
        device: where it wants to run.
        bytes_per_atom: a first guess of what an evaluation takes; on a GPU it is measured.
    """

    def __init__(self, evaluate: Evaluator, device: str, bytes_per_atom: float) -> None:
        self._evaluate, self.device, self.bytes_per_atom = evaluate, device, bytes_per_atom

    def refresh(self, geometry: Geometry) -> tuple[Tensor, dict[int, str]]:
        """Bytes by number of atoms; nothing is refused."""
        return geometry.sizes * self.bytes_per_atom, {}

    def evaluate(self, geometry: Geometry, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Engine`."""
        results = self._evaluate(atoms_of(geometry, chosen))
        options = {"dtype": torch.float64, "device": geometry.lattices.device}
        return (
            torch.tensor([result.energy for result in results], **options),
            torch.tensor(np.concatenate([result.forces for result in results]), **options),
            torch.tensor(np.array([result.virial for result in results]), **options),
        )

    def select(self, kept: Tensor) -> None:
        """There is nothing to forget."""


def atoms_of(geometry: Geometry, chosen: Tensor) -> list[Atoms]:
    """Some crystals of a geometry, (n_crystals,) of bool, one by one."""
    atoms = chosen[geometry.owners]
    ends = np.cumsum(geometry.sizes[chosen].cpu().numpy())[:-1]
    parts = (
        geometry.lattices[chosen].cpu().numpy(),
        np.split(geometry.frac_coords[atoms].cpu().numpy(), ends),
        np.split(geometry.atomic_numbers[atoms].cpu().numpy(), ends),
    )
    return [Atoms(*part) for part in zip(*parts, strict=True)]


def single_points(engine: Engine, crystals: Sequence[Atoms]) -> list[Evaluation]:
    """Evaluate crystals once, all of them together.

    Raises:
        ValueError: one of them cannot be evaluated.
    """
    lattices, frac_coords, numbers = zip(*((a.lattice, a.frac_coords, a.atomic_numbers) for a in crystals), strict=True)
    geometry = geometry_of(list(lattices), list(frac_coords), list(numbers), engine.device)
    _, problems = engine.refresh(geometry)
    if problems:
        raise ValueError("; ".join(f"crystal {index}: {reason}" for index, reason in sorted(problems.items())))
    everything = torch.ones(len(crystals), dtype=torch.bool, device=engine.device)
    energies, forces, virials = (part.cpu().numpy() for part in engine.evaluate(geometry, everything))
    engine.select(~everything)
    parts = np.split(forces, np.cumsum([len(part) for part in numbers])[:-1])
    return [
        Evaluation(float(energy), force, virial) for energy, force, virial in zip(energies, parts, virials, strict=True)
    ]
