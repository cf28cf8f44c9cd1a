"""eqV2 of OMat24 through fairchem-core 1.x, many crystals in one evaluation.

Source: Barroso-Luque et al., arXiv:2410.12771.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from miad.config.sections import Relax
from miad.core.errors import MiadError
from miad.core.files import verify
from miad.relax.potentials.potential import Potential, weights_label

if TYPE_CHECKING:
    from miad.relax.optimisers.batch import Relaxations
    from miad.relax.potentials.engine import Engine

KEY = "relax.potentials.eqv2"


class Eqv2(Potential):
    """eqV2, trained on uncorrected PBE(+U) energies.

    Args:
        checkpoint: path of the weights.
        checksum: of the weights, `sha256:…`; compared before they are read, if given.
        mode: `relaxed`, cell and positions, energies MP2020-corrected; `as_paper`, fixed cell and nothing corrected.
    """

    native_frame = "uncorrected"
    is_batched = True
    reach = 12.0
    elements = frozenset(range(1, 95)) - {84, 85, 86, 87, 88}  # the 89 of OMat24 and of its fine-tuning sets

    def __init__(self, checkpoint: str | None = None, checksum: str | None = None, mode: str = "relaxed") -> None:
        if mode not in ("relaxed", "as_paper"):
            raise MiadError(f"{KEY}.mode is '{mode}'; use relaxed or as_paper.")
        self.checkpoint = Path(checkpoint) if checkpoint else None
        self.checksum, self.mode = checksum, mode
        if mode == "as_paper":
            self.energy_frame = self.native_frame  # the paper compares uncorrected energies

    @property
    def label(self) -> str:
        """Name, version and checksum of the weights."""
        [path] = self.files()
        return weights_label(path.stem, "fairchem-core", path)

    def files(self) -> list[Path]:
        """The weights; see `Potential`."""
        if self.checkpoint is None or not self.checkpoint.is_file():
            found = f"{self.checkpoint} does not exist" if self.checkpoint else "there is no path of its weights"
            raise MiadError(
                f"relax.calculators names eqv2, but {found}. The weights are gated: ask for access on the page"
                " facebook/OMAT24 of the Hugging Face Hub, download eqV2_153M_omat_mp_salex.pt there (or one of 86M"
                f" or 31M), and set {KEY}.checkpoint in config.yaml to its path."
            )
        if other := _stand_in(self.checkpoint):
            raise MiadError(
                f"{self.checkpoint} is no checkpoint but {other}. Download the file itself (git lfs pull, or the button"
                f" of the page), or correct {KEY}.checkpoint."
            )
        if self.checksum:
            verify(self.checkpoint, self.checksum, remedy=f"Download it again, or correct {KEY}.checksum.")
        return [self.checkpoint]

    def engine(self, device: str, limit: float) -> "Engine":
        """Evaluation of many crystals together."""
        from miad.relax.potentials.eqv2_fairchem import Eqv2Engine

        [path] = self.files()
        return Eqv2Engine(path, device)

    def relaxations(self, settings: Relax, device: str) -> "Relaxations":
        """L-BFGS at fixed cell as in the paper, or FIRE of cell and positions."""
        from miad.relax.optimisers.lbfgs import Lbfgs

        if self.mode == "relaxed":
            return super().relaxations(settings, device)
        return Lbfgs(fmax=settings.fmax, max_steps=settings.max_steps, device=device)


def _stand_in(path: Path) -> str | None:
    """What a download gave in the place of weights: the pointer of Git LFS, or a page of the web; None if neither."""
    with path.open("rb") as file:
        start = file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        return "the pointer of Git LFS to one"
    return "a page of the web" if start.startswith(b"<") else None
