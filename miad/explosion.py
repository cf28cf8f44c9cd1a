"""Telling a training that explodes, before what it has spoilt takes the place of what was good."""

from pathlib import Path

from miad import checkpoint
from miad.errors import MiadError

FACTOR = 10.0  # a loss over the best one so far that counts as an explosion


def is_one(total: float, best: float) -> bool:
    """Whether a loss beside the best epoch so far is an explosion; one that is no number always is."""
    return not total < FACTOR * best + 1e-9


def error(folder: Path, epoch: int, total: float, best: float) -> MiadError:
    """What to tell the user.

    Args:
        folder: where checkpoints live.
        epoch: whole epochs done.
        total: loss of the epoch under way.
        best: loss of the best epoch before it.
    """
    paths = [str(path) for name in (checkpoint.LAST, checkpoint.PREVIOUS) if (path := folder / name).is_file()]
    return MiadError(
        f"training diverged: the loss of epoch {epoch + 1} is {total:.4g}, the best so far was {best:.4g}."
        f" Last good checkpoint: {', the one before it: '.join(paths) or 'none was written yet'}."
        " Lower train.learning_rate or set train.clip_norm in config.yaml."
    )
