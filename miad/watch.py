"""The watch command: the steps that run in a folder, here or on Slurm, each with its share done and the time left."""

import shutil
import sys
import time
from pathlib import Path

from miad.cancel import SIGNED
from miad.core.errors import MiadError
from miad.machine.moving_line import BAR, in_words
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
        is_between = not any(one.is_at_work(now) for one in steps) and _has_snakemake(folder)
        lines = told(steps, now, is_between)
        if is_moving:
            width = max(shutil.get_terminal_size().columns - 1, 20)
            lines = [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
            print(f"\x1b[{drawn}A\x1b[J" if drawn else "", end="")
        print("\n".join(lines), flush=True)
        if not is_moving or lines[-1] == NOTHING:
            return
        drawn = len(lines)
        time.sleep(REDRAW_EVERY)


def told(steps: list[Running], now: float, is_between: bool = False) -> list[str]:
    """Lines on the steps of a folder at a time (seconds since 1970): those that were killed, then those that run.

    Args:
        is_between: whether snakemake is at work there, though no step is.
    """
    gone = [in_words(one, now) for one in steps if not one.is_at_work(now)]
    running = [in_words(one, now, BAR) for one in steps if one.is_at_work(now)]
    return gone + (running or ["snakemake is at work, between two steps" if is_between else NOTHING])


def _has_snakemake(folder: Path) -> bool:
    """Whether a snakemake of this machine is at work in a folder."""
    return any(one.is_here and one.is_alive for one in recorded(folder / SIGNED).values())
