"""Processes of this user on this machine, found by the folder that they work in."""

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 60.0  # seconds for a process to end in order


def processes(folder: Path) -> dict[int, list[str]]:
    """{id: command line} of this user's processes whose working directory is a folder; this one is left out."""
    import psutil

    own = psutil.Process()
    return {
        process.pid: process.info["cmdline"] or []
        for process in psutil.process_iter(["cwd", "cmdline", "uids"])
        if process != own and process.info["cwd"] == str(folder) and process.info["uids"].real == own.uids().real
    }


def snakemakes(folder: Path, is_in_job: bool = False) -> list[int]:
    """Ids of the snakemakes that steer a run in a folder, or of those within its jobs, which are told a --mode."""
    return [
        pid
        for pid, words in processes(folder).items()
        if any(Path(word).name == "snakemake" for word in words[:3]) and ("--mode" in words) is is_in_job
    ]


def steps(folder: Path) -> list[int]:
    """Ids of processes `python -m miad STEP` in a folder."""
    return [pid for pid, words in processes(folder).items() if ("-m", "miad") in itertools.pairwise(words)]


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
