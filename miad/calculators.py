"""The register of machine-learned potentials.

Another ASE potential takes one small class, its line in `POTENTIALS`, and its name under `relax.calculators` in
config.yaml. A class says what its energies are and makes an ASE calculator inside the process that uses it; one that
can evaluate several crystals at once also overrides `evaluator`.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miad.errors import MiadError
from miad.files import checksum

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


@dataclass(frozen=True, eq=False)
class Atoms:
    """What a potential sees of a crystal.

    Attributes:
        lattice: (3, 3) Å, rows are vectors.
        frac_coords: (n_atoms, 3), any image.
        atomic_numbers: (n_atoms,).
    """

    lattice: np.ndarray
    frac_coords: np.ndarray
    atomic_numbers: np.ndarray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a potential says of a crystal.

    Attributes:
        energy: eV, total.
        forces: (n_atoms, 3) eV/Å.
        virial: (3, 3) eV, minus the derivative of the energy by strain.
    """

    energy: float
    forces: np.ndarray
    virial: np.ndarray


Evaluator = Callable[[Sequence[Atoms]], list[Evaluation]]


class Potential(ABC):
    """A potential that relaxes crystals.

    Attributes:
        energy_frame: `mp2020` if its energies contain the MP2020 corrections, `uncorrected` if they are raw PBE(+U).
        elements: atomic numbers that it knows.
    """

    energy_frame: str
    elements: frozenset[int] = frozenset(range(1, 119))

    @property
    @abstractmethod
    def label(self) -> str:
        """Name, version and checksum of the weights, for `Crystal.calculator`."""

    @abstractmethod
    def ase_calculator(self, device: str) -> "Calculator":
        """A fresh ASE calculator; called inside the process that uses it."""

    def evaluator(self, device: str) -> Evaluator:
        """A function that evaluates crystals; here one after the other through the ASE calculator."""
        return functools.partial(evaluate_with_ase, self.ase_calculator(device))


def evaluate_with_ase(calculator: "Calculator", batch: Sequence[Atoms]) -> list[Evaluation]:
    """Evaluate crystals one by one with an ASE calculator."""
    import ase

    results = []
    for crystal in batch:
        atoms = ase.Atoms(
            numbers=crystal.atomic_numbers,
            cell=crystal.lattice,
            scaled_positions=np.mod(crystal.frac_coords, 1.0),
            pbc=True,
        )
        atoms.calc = calculator
        virial = -atoms.get_volume() * atoms.get_stress(voigt=False)
        results.append(Evaluation(float(atoms.get_potential_energy()), np.array(atoms.get_forces()), virial))
    return results


class Chgnet(Potential):
    """CHGNet 0.3.0, trained on MP2020-corrected energies: they must never be corrected again.

    Source: Deng et al., Nature Machine Intelligence 5, 1031 (2023).
    """

    energy_frame = "mp2020"
    # MPtrj, its training set, has 89 elements: none beyond Pu, no Po, At, Rn, Fr, Ra.
    elements = frozenset(range(1, 95)) - {84, 85, 86, 87, 88}
    weights_name = "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar"

    @functools.cached_property
    def label(self) -> str:
        """Name, version and checksum of the weights."""
        spec = find_spec("chgnet")
        weights = Path(spec.origin).parent / self.weights_name if spec and spec.origin else None
        if weights is None or not weights.is_file():
            raise MiadError(
                "relax.calculators names chgnet, but the package chgnet is not installed. Run `make install`."
            )
        return f"CHGNet 0.3.0 (chgnet {version('chgnet')}, sha256:{checksum(weights, 'sha256')[:16]})"

    def ase_calculator(self, device: str) -> "Calculator":
        """CHGNet's own ASE calculator."""
        from chgnet.model.dynamics import CHGNetCalculator

        return CHGNetCalculator(use_device=device)

    def evaluator(self, device: str) -> Evaluator:
        """Our batched evaluation, see miad.chgnet_batch."""
        from miad.chgnet_batch import load_evaluator

        return load_evaluator(device)


POTENTIALS: dict[str, type[Potential]] = {"chgnet": Chgnet}


def potential(name: str) -> Potential:
    """The potential of that name.

    Raises:
        MiadError: there is none.
    """
    if name not in POTENTIALS:
        raise MiadError(f"relax.calculators: {name} is not one of {', '.join(POTENTIALS)}. Correct it in config.yaml.")
    return POTENTIALS[name]()
