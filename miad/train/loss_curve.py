"""The loss curve of a training, for programs (CSV) and for TensorBoard; both can be watched while it is under way."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from miad.core.tabular import write_csv


def columns(loss_names: Sequence[str]) -> tuple[str, ...]:
    """The columns of a curve whose process has these losses."""
    return ("epoch", "step", "seconds", *loss_names, "total", "val_total", "learning_rate")


def write_losses(path: Path, rows: list[dict], loss_names: Sequence[str]) -> None:
    """One row per epoch.

    `total` is the sum of the losses, each times its factor: κ1 `lattice` + κ2 `coords` + κ3 (`species` +
    train.cross_entropy `cross_entropy`) for the joint diffusion. `val_total` is the same sum on the validation
    crystals, empty where there was no validation.
    """
    names = columns(loss_names)
    write_csv(path, names, ({name: row.get(name) for name in names} for row in rows))


class Live:
    """The curve on disk, brought up to date from time to time: a CSV `table` and the `folder` of a TensorBoard log.

    The first update of a session replaces the log: of what a killed session wrote, epochs may be done again.
    """

    def __init__(self, table: Path, folder: Path, loss_names: Sequence[str]) -> None:
        self.table, self.folder, self.loss_names = table, folder, loss_names
        self.writer: Any = None
        self.num_written = 0

    def update(self, rows: list[dict]) -> None:
        """Write the curve so far; nothing where no epoch has ended since."""
        if self.writer is not None and self.num_written == len(rows):
            return
        write_losses(self.table, rows, self.loss_names)
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            for old in self.folder.glob("events.*"):
                old.unlink()
            # purge_step: a TensorBoard that is open drops what it has read of the older log.
            self.writer = SummaryWriter(self.folder, purge_step=0)
        for row in rows[self.num_written :]:
            for name in columns(self.loss_names)[3:]:
                if row.get(name) is not None:
                    self.writer.add_scalar(name, row[name], row["step"])
        self.writer.flush()
        self.num_written = len(rows)

    def close(self, rows: list[dict]) -> None:
        """The last update of a session."""
        self.update(rows)
        self.writer.close()
