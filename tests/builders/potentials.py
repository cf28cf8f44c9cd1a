"""Potentials that are plain functions, and single points of any engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from miad.relax.geometry import Geometry, geometry_of
from miad.relax.potentials.engine import Engine


@dataclass(frozen=True, eq=False)
class Atoms:
    """A crystal: lattice (3, 3) Å, frac_coords (n_atoms, 3) and atomic_numbers (n_atoms,)."""

    lattice: np.ndarray
    frac_coords: np.ndarray
    atomic_numbers: np.ndarray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Energy in eV, forces (n_atoms, 3) in eV/Å and virial (3, 3) in eV of a crystal."""

    energy: float
    forces: np.ndarray
    virial: np.ndarray


class ListEngine(Engine):
    """An engine of a function that evaluates a list of crystals."""

    def __init__(
        self, evaluate: Callable[[Sequence[Atoms]], list[Evaluation]], device: str, bytes_per_atom: float
    ) -> None:
        super().__init__(device)
        self._evaluate, self.bytes_per_atom = evaluate, bytes_per_atom

    def evaluate(self, geometry: Geometry, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Engine`."""
        results = self._evaluate([Atoms(*arrays) for arrays in geometry.arrays(chosen)])
        return (
            torch.tensor([result.energy for result in results], dtype=torch.float64),
            torch.tensor(np.concatenate([result.forces for result in results]), dtype=torch.float64),
            torch.tensor(np.array([result.virial for result in results]), dtype=torch.float64),
        )


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
