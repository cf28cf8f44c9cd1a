"""Processes of this user on this machine."""

import os
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
