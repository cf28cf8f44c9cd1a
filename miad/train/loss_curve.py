"""The loss curve of a training, for programs (CSV) and for TensorBoard; both can be watched while it is under way."""

from pathlib import Path
from typing import Any

from miad.core.files import write_text

LOSSES = ("lattice", "coords", "species")
COLUMNS = ("epoch", "step", "seconds", *LOSSES, "total", "val_total", "learning_rate")


def write_losses(path: Path, rows: list[dict]) -> None:
    """One row per epoch.

    `total` is κ1 `lattice` + κ2 `coords` + κ3 `species`, where `species` holds train.cross_entropy times the auxiliary
    loss; `val_total` is the same sum on the validation crystals, empty where there was no validation.
    """
    lines = [",".join("" if row[name] is None else repr(row[name]) for name in COLUMNS) for row in rows]
    write_text(path, "\n".join([",".join(COLUMNS), *lines]) + "\n")


class Live:
    """The curve on disk, brought up to date from time to time.

    Args:
        table: CSV that is written anew each time.
        folder: of the TensorBoard log, which the first update of a session replaces: of what a killed session
            wrote, epochs may be done again.
    """

    def __init__(self, table: Path, folder: Path) -> None:
        self.table, self.folder = table, folder
        self.writer: Any = None
        self.num_written = 0

    def update(self, rows: list[dict]) -> None:
        """Write the curve so far; nothing where no epoch has ended since."""
        if self.writer is not None and self.num_written == len(rows):
            return
        write_losses(self.table, rows)
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            for old in self.folder.glob("events.*"):
                old.unlink()
            # A TensorBoard that is watching forgets, too, what it has read of the older log.
            self.writer = SummaryWriter(self.folder, purge_step=0)
        for row in rows[self.num_written :]:
            for name in COLUMNS[3:]:
                if row[name] is not None:
                    self.writer.add_scalar(name, row[name], row["step"])
        self.writer.flush()
        self.num_written = len(rows)

    def close(self, rows: list[dict]) -> None:
        """The last update of a session."""
        self.update(rows)
        self.writer.close()
