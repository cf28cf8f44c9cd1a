"""Processes of this user on this machine, found by a mark in the environment that they were started with.

All that a run or a stage of VASP starts inherits its mark. A folder alone tells nothing: a shell may stand in it.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from miad.core.errors import MiadError

if TYPE_CHECKING:
    import psutil

RUN = "MIAD_RUN"  # mark of all that snakemake starts: the folder in which it works
STAGE = "MIAD_STAGE"  # of all that a stage of VASP starts: the folder of the stage
PATIENCE = 60.0  # seconds for a process to end in order, and once more to be gone


def marked(folder: Path, mark: str = RUN) -> "list[psutil.Process]":
    """This user's processes that carry the mark of a folder, with their `cmdline` in `info`; this one is left out."""
    place = str(folder.resolve())
    return [one for one in _of_this_user("environ", "cmdline") if (one.info["environ"] or {}).get(mark) == place]


def snakemakes(folder: Path | None, is_in_job: bool = False) -> "list[psutil.Process]":
    """This user's snakemakes that steer a run in a folder, or those within its jobs, which are told a --mode.

    Args:
        folder: in which they work; None: those of which the system does not tell it.
        is_in_job: whether those within jobs are wanted.
    """
    place = None if folder is None else str(folder.resolve())
    found = []
    for process in _of_this_user("cwd", "cmdline"):
        words = process.info["cmdline"] or []
        is_snakemake = any(Path(word).name == "snakemake" for word in words[:3])
        if is_snakemake and ("--mode" in words) is is_in_job and process.info["cwd"] == place:
            found.append(process)
    return found


def _of_this_user(*known: str) -> "Iterator[psutil.Process]":
    """This user's other processes that have not ended, with what is wanted in their `info`; None where it is hidden."""
    import psutil

    own = psutil.Process()
    for process in psutil.process_iter([*known, "uids", "status"]):
        uids = process.info["uids"]
        is_ours = uids is not None and uids.real == own.uids().real and process != own
        if is_ours and process.info["status"] != psutil.STATUS_ZOMBIE:
            yield process


@contextlib.contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """Mark what is started within the block as a stage's of VASP, and end what is left of it afterwards."""
    os.environ[STAGE] = str(folder.resolve())
    try:
        yield
    finally:
        del os.environ[STAGE]
        stop_leftovers(folder)


def stop_leftovers(folder: Path) -> None:
    """Kill what a stage of VASP in a folder has started: VASP outlives a custodian that was killed.

    Raises:
        MiadError: one of them does not end.
    """
    end(lambda: marked(folder, STAGE), in_order=False)


def end(find: "Callable[[], Iterable[psutil.Process]]", in_order: bool = True) -> int:
    """End the processes that `find` finds: ask them first if `in_order`, and kill those that are there after PATIENCE.

    Returns:
        The number of processes.

    Raises:
        MiadError: some of them are there after all.
    """
    import psutil

    seen: set[psutil.Process] = set()
    for ask in (psutil.Process.terminate, psutil.Process.kill)[0 if in_order else 1 :]:
        deadline = time.monotonic() + PATIENCE
        asked: set[psutil.Process] = set()
        while (found := set(find())) and time.monotonic() < deadline:
            for process in found - asked:  # those too that were started meanwhile
                with contextlib.suppress(psutil.Error):
                    ask(process)
            asked |= found
            seen |= found
            time.sleep(0.05)
        if not found:
            return len(seen)
    raise MiadError(
        f"processes {', '.join(str(process.pid) for process in found)} do not end though they were killed: the disk or"
        " the network may hang. Look at them with ps, and run this again when they are gone."
    )
