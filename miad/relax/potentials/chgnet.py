"""CHGNet 0.3.0, trained on MP2020-corrected energies: they must never be corrected again.

Source: Deng et al., Nature Machine Intelligence 5, 1031 (2023).
"""

import functools
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from miad.core.errors import MiadError
from miad.relax.potentials.potential import Potential, weights_label

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from miad.relax.potentials.engine import Engine


class Chgnet(Potential):
    """CHGNet with the weights that its package brings."""

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
                " Install the pinned packages: bash envs/install.sh python."
            )
        return weights_label("CHGNet 0.3.0", "chgnet", weights)

    def ase_calculator(self, device: str) -> "Calculator":
        """CHGNet's own ASE calculator."""
        from chgnet.model.dynamics import CHGNetCalculator

        return CHGNetCalculator(use_device=device)

    def engine(self, device: str, limit: float) -> "Engine":
        """Our batched evaluation, see miad.relax.potentials.chgnet_network."""
        from miad.relax.potentials.chgnet_network import ChgnetEngine

        return ChgnetEngine(device, limit)
