"""Evaluation of the crystals that are relaxed together."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from miad.relax.geometry import Geometry

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


class Engine(ABC):
    """A potential that is asked again and again for the same crystals while they relax, come and go."""

    bytes_per_atom = 1e7  # of an evaluation, for crystals that have not been seen yet; on a GPU it is measured

    def __init__(self, device: str) -> None:
        self.device = device

    def refresh(self, geometry: Geometry) -> tuple[Tensor, dict[int, str]]:
        """Get ready for a geometry; crystals that were not known before are at its end.

        Returns:
            Bytes that the evaluation of each crystal takes, (n_crystals,), and {index: reason} of those that cannot
            be evaluated; here bytes by number of atoms, and nothing is refused.
        """
        return geometry.sizes * self.bytes_per_atom, {}

    @abstractmethod
    def evaluate(self, geometry: Geometry, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate some crystals, (n_crystals,) of bool, at the geometry of the last `refresh`.

        Returns:
            Of the chosen crystals only, float64: energies (n_chosen,) eV, forces (n_chosen_atoms, 3) eV/Å, and
            virials (n_chosen, 3, 3) eV, minus the derivative of the energy by strain.
        """

    def select(self, kept: Tensor) -> None:  # noqa: B027 (an engine that remembers nothing has nothing to do)
        """Forget all crystals but the kept ones, (n_crystals,) of bool."""


class AseEngine(Engine):
    """Crystals one after the other through an ASE calculator."""

    def __init__(self, calculator: "Calculator", device: str) -> None:
        super().__init__(device)
        self.calculator = calculator

    def evaluate(self, geometry: Geometry, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Engine`."""
        import ase

        energies, forces, virials = [], [], []
        for lattice, frac_coords, numbers in geometry.arrays(chosen):
            atoms = ase.Atoms(numbers=numbers, cell=lattice, scaled_positions=np.mod(frac_coords, 1.0), pbc=True)
            atoms.calc = self.calculator
            virials.append(-atoms.get_volume() * atoms.get_stress(voigt=False))
            energies.append(float(atoms.get_potential_energy()))
            forces.append(np.array(atoms.get_forces()))
        whole = torch.zeros(0, dtype=torch.float64, device=self.device).new_tensor
        return whole(energies), whole(np.concatenate(forces)), whole(np.array(virials))
