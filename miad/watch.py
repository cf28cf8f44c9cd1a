"""The watch command: the steps that run in a folder, here or on Slurm, each with its share done and the time left."""

import shutil
import sys
import time
from pathlib import Path

from miad.cancel import SIGNED
from miad.core.errors import MiadError
from miad.machine.moving_line import cut, in_words, showable
from miad.machine.owners import recorded
from miad.machine.running import Running, steps_in

REDRAW_EVERY = 1.0  # seconds
NOTHING = "nothing is running"


def run(folder: Path = Path("."), *, once: bool = False) -> None:
    """Shows the steps that snakemake runs in a folder, on this machine or on Slurm, until nothing runs or Ctrl-C.

    The time left follows from the rate since the step was started last. A step that was killed is shown with the time
    of its last sign of life, until snakemake or `miad cancel` is started there again.

    Args:
        folder: where snakemake was started; by default the one you are in.
        once: print how things stand and end, as also where the output is no terminal.

    Raises:
        MiadError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MiadError(f"{folder} is no folder. Give the one in which snakemake was started.")
    is_moving = sys.stdout.isatty() and not once
    drawn = 0
    while True:
        steps, now = steps_in(folder), time.time()
        lines = told(steps, now, NOTHING if any(one.is_at_work(now) for one in steps) else _of_snakemake(folder))
        is_last = not is_moving or lines[-1] == NOTHING
        if is_moving:
            columns, rows = shutil.get_terminal_size()
            lines = fitted(lines, columns, len(lines) + 1 if is_last else rows)  # the last may scroll
            print(f"\x1b[{drawn}A\x1b[J" if drawn else "", end="")
        print(showable("\n".join(lines), sys.stdout), flush=True)
        if is_last:
            return
        drawn = len(lines)
        time.sleep(REDRAW_EVERY)


def told(steps: list[Running], now: float, otherwise: str = NOTHING) -> list[str]:
    """Lines on the steps of a folder at a time (seconds since 1970): those that were killed, then those that run.

    Args:
        otherwise: what to say if no step runs.
    """
    gone = [in_words(one, now) for one in steps if not one.is_at_work(now)]
    running = [in_words(one, now) for one in steps if one.is_at_work(now)]
    return gone + (running or [otherwise])


def fitted(lines: list[str], columns: int, rows: int) -> list[str]:
    """Lines cut to the columns of a terminal, and to its rows but one for the cursor; of too many the last ones.

    What has scrolled out of a terminal cannot be drawn over.
    """
    width, most = max(columns - 1, 20), max(rows - 1, 2)
    if len(lines) > most:
        num_more = len(lines) - most + 1
        lines = [f"… {num_more} more lines; all: miad watch --once", *lines[num_more:]]
    return [cut(line, width) for line in lines]


def _of_snakemake(folder: Path) -> str:
    """Whether a snakemake is at work in a folder where no step is, in words; one of another machine cannot be seen."""
    owners = recorded(folder / SIGNED).values()
    if any(one.is_here and one.is_alive for one in owners):
        return "snakemake is at work, between two steps"
    elsewhere = [str(one) for one in owners if not one.is_here]
    if not elsewhere:
        return NOTHING
    return (
        f"snakemake has signed this folder ({elsewhere[0]}), and no step tells of itself: its jobs wait, or it was"
        " killed"
    )
