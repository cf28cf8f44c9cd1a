"""The register of machine-learned potentials.

Another ASE potential takes one small class and one entry of config.yaml. The class, in a file beside config.yaml:

    from miad.relax.potentials.register import Potential, weights_label

    class Mace(Potential):
        native_frame = "uncorrected"            # MACE-MP is trained on raw PBE(+U) energies

        def __init__(self, model: str) -> None:     # its arguments are keys of its entry
            self.model = model

        @property
        def label(self) -> str:
            return weights_label("MACE", "mace-torch", self.model)

        def ase_calculator(self, device: str):
            from mace.calculators import MACECalculator

            return MACECalculator(model_paths=self.model, device=device)

and the entry, with which it can be named under `relax.calculators`:

    relax:
      calculators: [chgnet, mace]
      potentials:
        mace: {class: "my_potentials:Mace", model: /data/mace-mp-0.model, fmax: 0.05}

Keys of `relax` itself (`fmax`, `max_steps`, …) in an entry hold for this potential only. What else a class may say is
in `Potential`: which elements it knows, a batched evaluation, another optimiser, files to look for beforehand.
"""

import dataclasses
import functools
import importlib
import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from miad.config.sections import Relax, from_record
from miad.core.errors import MiadError
from miad.core.files import checksum

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from miad.relax.optimisers.batch import Relaxations
    from miad.relax.potentials.engine import Engine

BYTES_PER_ATOM = 1e7  # a guess for potentials that do not say; on a GPU it is measured


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
    """A potential that relaxes crystals. The arguments of a class are the keys of its entry in `relax.potentials`.

    Attributes:
        native_frame: of the energies that it gives: `mp2020` if they contain the MP2020 corrections, `uncorrected` if
            they are raw PBE(+U).
        energy_frame: of the energies that the crystals get; `mp2020` unless a class says otherwise. Where the two
            differ, miad.core.energy_frames is applied, once, to relaxed crystals.
        elements: atomic numbers that it knows.
        reach: Å, beyond which it does not look for neighbours.
        is_batched: whether evaluating many crystals together is faster than one by one; on a GPU.
    """

    native_frame: str
    energy_frame: str = "mp2020"
    elements: frozenset[int] = frozenset(range(1, 119))
    reach: float = float("inf")
    is_batched: bool = False

    @property
    @abstractmethod
    def label(self) -> str:
        """Name, version and checksum of the weights, for `Crystal.calculator`."""

    def ase_calculator(self, device: str) -> "Calculator":
        """A fresh ASE calculator; called inside the process that uses it. A class gives this or `evaluator`."""
        raise NotImplementedError(f"{type(self).__name__} gives neither ase_calculator nor evaluator")

    def files(self) -> list[Path]:
        """Files of the user that it needs.

        Raises:
            MiadError: one of them is absent; says which, where to get it, and which key holds its path.
        """
        return []

    def evaluator(self, device: str) -> Evaluator:
        """A function that evaluates crystals; here one after the other through the ASE calculator."""
        return functools.partial(evaluate_with_ase, self.ase_calculator(device))

    def engine(self, device: str, limit: float) -> "Engine":
        """What evaluates crystals while they relax; `limit` is how many bytes one crystal may take."""
        from miad.relax.potentials.engine import ListEngine

        return ListEngine(self.evaluator(device), device, BYTES_PER_ATOM)

    def relaxations(self, settings: Relax, device: str) -> "Relaxations":
        """How crystals move; here FIRE of cell and positions."""
        from miad.relax.optimisers.fire import Fire

        return Fire(fmax=settings.fmax, max_steps=settings.max_steps, device=device)


def weights_label(name: str, package: str, weights: str | Path) -> str:
    """`name (package version, sha256:…)` for `Potential.label`."""
    return f"{name} ({package} {version(package)}, sha256:{_sha256(Path(weights))[:16]})"


@functools.cache
def _sha256(path: Path) -> str:
    return checksum(path, "sha256")


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

    native_frame = "mp2020"
    is_batched = True
    reach = 6.0
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
                "relax.calculators names chgnet, but the package chgnet is not installed."
                " Install envs/requirements.txt."
            )
        return weights_label("CHGNet 0.3.0", "chgnet", weights)

    def ase_calculator(self, device: str) -> "Calculator":
        """CHGNet's own ASE calculator."""
        from chgnet.model.dynamics import CHGNetCalculator

        return CHGNetCalculator(use_device=device)

    def engine(self, device: str, limit: float) -> "Engine":
        """Our batched evaluation, see miad.relax.potentials.chgnet."""
        from miad.relax.potentials.chgnet import ChgnetEngine

        return ChgnetEngine(device, limit)


POTENTIALS = {
    "chgnet": "miad.relax.potentials.register:Chgnet",
    "eqv2": "miad.relax.potentials.eqv2:Eqv2",
}  # name: module:class
_OF_RELAX = {field.name for field in dataclasses.fields(Relax)} - {"calculators", "potentials"}


def potential(name: str, options: dict[str, Any] | None = None) -> Potential:
    """The potential of that name.

    Args:
        name: a key of `POTENTIALS`, or any name whose options have a `class`.
        options: its entry in `relax.potentials`.

    Raises:
        MiadError: there is none, it cannot be imported, or an option is missing or unknown.
    """
    options = {key: value for key, value in (options or {}).items() if key not in _OF_RELAX}
    where = options.pop("class", POTENTIALS.get(name))
    if where is None:
        raise MiadError(
            f"relax.calculators: {name} is not one of {', '.join(POTENTIALS)}. Correct it in config.yaml, or say under"
            f" relax.potentials which class it is: {name}: {{class: 'module:Class'}}."
        )
    module, _, attribute = where.partition(":")
    here = str(Path.cwd())
    if not {"", here} & set(sys.path):  # python -m looks there by itself, the command `miad` does not
        sys.path.append(here)
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise MiadError(
            f"relax.potentials.{name}.class: {where} cannot be imported ({error}). It is module:Class; the module has"
            " to lie beside config.yaml or be installed."
        ) from error
    try:
        inspect.signature(kind).bind(**options)
    except TypeError as error:
        known = ", ".join([*inspect.signature(kind).parameters, *sorted(_OF_RELAX)])
        raise MiadError(f"relax.potentials.{name}: {error}. Known keys: {known}.") from error
    return kind(**options)


def settings_of(settings: Relax, name: str) -> Relax:
    """The settings of relax for one potential: its own entry lies over the common keys.

    Raises:
        MiadError: a key has the wrong type.
    """
    own = {key: value for key, value in settings.potentials.get(name, {}).items() if key in _OF_RELAX}
    return from_record(Relax, {**dataclasses.asdict(settings), **own})
