"""Processes that a snakemake has started in a folder, found as `miad cancel` finds them."""

import itertools
from pathlib import Path

from miad.machine.os_processes import marked


def processes(folder: Path) -> dict[int, list[str]]:
    """{id: command line} of all of them, shells included."""
    return {process.pid: process.info["cmdline"] or [] for process in marked(folder)}


def steps(folder: Path) -> list[int]:
    """Ids of steps, `python -m miad STEP`."""
    return [pid for pid, words in processes(folder).items() if ("-m", "miad") in itertools.pairwise(words)]
