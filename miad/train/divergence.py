"""Detection of a training that diverges, before its spoilt weights replace good checkpoints."""

import logging
import math
from pathlib import Path

from miad.core.errors import MiadError
from miad.train.checkpoint import LAST, PREVIOUS, Progress

log = logging.getLogger("miad")
FACTOR = 10.0  # a loss over the best one so far that counts as an explosion


def is_explosion(total: float, best: float) -> bool:
    """Whether a loss has exploded beside that of the best epoch so far; a loss that is not a number always has."""
    return not total < FACTOR * best + 1e-9


class Guard:
    """Judges a training by its losses.

    Args:
        folder: of the checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_put_off = False  # whether a checkpoint waits for the loss to fall

    def is_sound(self, so_far: float, latest: float, progress: Progress) -> bool:
        """Whether the weights are worth keeping in the middle of an epoch.

        A noisy batch stops nothing, it puts a checkpoint off, which is logged once: the end of the epoch tells.

        Args:
            so_far: mean loss of the epoch's batches so far.
            latest: of the last batch alone.
            progress: where the training stands.

        Raises:
            MiadError: one of them is no number, from which there is no way back.
        """
        if not (math.isfinite(so_far) and math.isfinite(latest)):
            raise self.error(so_far, progress)
        worst = max(so_far, latest)
        was_put_off, self.is_put_off = self.is_put_off, is_explosion(worst, progress.best)
        if self.is_put_off and not was_put_off:
            words = "the loss at step %d is %.4g, the best so far was %.4g: no checkpoint until it falls again"
            log.warning(words, progress.step, worst, progress.best)
        return not self.is_put_off

    def check(self, total: float, progress: Progress) -> None:
        """The end of an epoch.

        Raises:
            MiadError: its mean loss has exploded.
        """
        if is_explosion(total, progress.best):
            raise self.error(total, progress)

    def error(self, total: float, progress: Progress) -> MiadError:
        """Error that names the loss of the epoch under way and the checkpoints that are kept."""
        kept = [str(path) for name in (LAST, PREVIOUS) if (path := self.folder / name).is_file()]
        there = ", the one before it: ".join(kept) or "none was written yet"
        return MiadError(
            f"training diverged: the loss of epoch {progress.epoch + 1} is {total:.4g}, the best so far was"
            f" {progress.best:.4g}. Last good checkpoint: {there}."
            " Lower train.learning_rate or set train.clip_norm in config.yaml."
        )
