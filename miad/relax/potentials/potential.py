"""The base class of potentials.

Another ASE potential takes one small class and one entry of config.yaml. The class, in a file beside config.yaml:

    from miad.relax.potentials.potential import Potential, weights_label

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

Keys of `relax` itself (`fmax`, `max_steps`, …) in an entry hold for this potential only. A class may give more,
see `Potential`: the elements that it knows, a batched evaluation, another optimiser, files that must be there. To ship
a potential with miad, put its class into this folder and its name into miad/relax/potentials/register.py.
"""

import functools
from abc import ABC, abstractmethod
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from miad.config.sections import Relax
from miad.core.files import checksum

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from miad.relax.optimisers.batch import Relaxations
    from miad.relax.potentials.engine import Engine


FAILED, NO_NUMBER = "the potential failed", "the potential gave no number"  # how reasons begin that are its fault


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

    def files(self) -> list[Path]:
        """Files of the user that it needs.

        Raises:
            MiadError: one of them is absent; with its name, where to get it, and the key that holds its path.
        """
        return []

    def ase_calculator(self, device: str) -> "Calculator":
        """A fresh ASE calculator; called inside the process that uses it. A class gives this or `engine`."""
        raise NotImplementedError(f"{type(self).__name__} gives neither ase_calculator nor engine")

    def engine(self, device: str, limit: float) -> "Engine":
        """Evaluation of crystals while they relax; here one after the other through the ASE calculator.

        Args:
            device: as torch names it.
            limit: bytes that the evaluation of one crystal may take.
        """
        from miad.relax.potentials.engine import AseEngine

        return AseEngine(self.ase_calculator(device), device)

    def relaxations(self, settings: Relax, device: str) -> "Relaxations":
        """The optimiser; here FIRE of cell and positions."""
        from miad.relax.optimisers.fire import Fire

        return Fire(fmax=settings.fmax, max_steps=settings.max_steps, device=device)


def weights_label(name: str, package: str, weights: str | Path) -> str:
    """`name (package version, sha256:…)` for `Potential.label`."""
    return f"{name} ({package} {version(package)}, sha256:{_sha256(Path(weights))[:16]})"


@functools.cache
def _sha256(path: Path) -> str:
    return checksum(path, "sha256")
