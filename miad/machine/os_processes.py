"""Processes of this user on this machine."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def processes(folder: Path) -> dict[int, list[str]]:
    """This user's processes on this machine whose working directory is a folder: {id: command line}."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid == os.getuid() and (entry / "cwd").readlink() == folder:
                found[int(entry.name)] = (entry / "cmdline").read_text(errors="replace").split("\0")
        except OSError:  # gone by now
            continue
    return found


def stop_leftovers(*folders: Path) -> None:
    """Kill the processes that work in some folders, this one left out: VASP outlives a custodian that was killed."""
    for folder in {folder.resolve() for folder in folders}:
        for identity in processes(folder):
            if identity != os.getpid():
                with suppress(ProcessLookupError):  # it has ended by itself
                    os.kill(identity, signal.SIGKILL)
