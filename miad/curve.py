"""The loss curve of a training, for programs (CSV) and for TensorBoard."""

from pathlib import Path

from miad.files import write_text

LOSSES = ("lattice", "coords", "species")
COLUMNS = ("epoch", "step", "seconds", *LOSSES, "total", "val_total", "learning_rate")


def write_losses(path: Path, rows: list[dict]) -> None:
    """One row per epoch; `val_total` is empty where there was no validation."""
    lines = [",".join("" if row[name] is None else repr(row[name]) for name in COLUMNS) for row in rows]
    write_text(path, "\n".join([",".join(COLUMNS), *lines]) + "\n")


def write_tensorboard(folder: Path, rows: list[dict]) -> None:
    """The same curve as a TensorBoard log; an older log is replaced."""
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.*"):
        old.unlink()
    with SummaryWriter(folder) as writer:
        for row in rows:
            for name in COLUMNS[3:]:
                if row[name] is not None:
                    writer.add_scalar(name, row[name], row["step"])
