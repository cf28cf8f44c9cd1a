"""Processes of this user on this machine, found by the folder that they work in."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 60.0  # seconds for a process to end in order


def processes(folder: Path) -> dict[int, list[str]]:
    """{id: command line} of this user's processes whose working directory is a folder; this one is left out."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid == os.getuid() and (entry / "cwd").readlink() == folder:
                found[int(entry.name)] = (entry / "cmdline").read_text(errors="replace").split("\0")
        except OSError:  # gone by now
            continue
    found.pop(os.getpid(), None)
    return found


def snakemakes(folder: Path) -> list[int]:
    """Ids of the snakemakes that steer a run in a folder; those within their jobs are told a --mode."""
    return [
        pid
        for pid, words in processes(folder).items()
        if any(Path(word).name == "snakemake" for word in words[:3]) and "--mode" not in words
    ]


def steps(folder: Path) -> list[int]:
    """Ids of processes `python -m miad STEP` in a folder."""
    return [
        pid
        for pid, words in processes(folder).items()
        if any(words[n : n + 2] == ["-m", "miad"] for n in range(len(words)))
    ]


def stop_leftovers(*folders: Path) -> None:
    """Kill the processes that work in some folders: VASP outlives a custodian that was killed."""
    for folder in {folder.resolve() for folder in folders}:
        _send(signal.SIGKILL, list(processes(folder)))


def end(find: Callable[[], list[int]]) -> None:
    """Ask the processes that `find` finds to end, and kill those that have not after PATIENCE."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        _send(sent, find())
        deadline = time.monotonic() + PATIENCE
        while find() and time.monotonic() < deadline:
            time.sleep(0.2)


def _send(sent: signal.Signals, identities: list[int]) -> None:
    """Send a signal to processes, as far as they have not ended by themselves."""
    for identity in identities:
        with contextlib.suppress(ProcessLookupError):
            os.kill(identity, sent)
