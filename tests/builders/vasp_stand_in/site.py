"""A site that "has VASP": the stand-in's programs, synthetic pseudopotentials, and a server that has CHGNet loaded."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miad.config.sections import Vasp

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "bin"


@dataclass(frozen=True)
class Site:
    """The folder in which the stand-in is installed.

    Attributes:
        folder: holds the pseudopotentials and the server's socket.
    """

    folder: Path

    @property
    def settings(self) -> dict[str, Any]:
        """The keys of section vasp of config.yaml that select the stand-in."""
        return {
            "command": str(PROGRAMS / "vasp_std"),
            "gamma_command": str(PROGRAMS / "vasp_gam"),
            "potcars": str(self.folder / "potcars"),
            "polling": 0.1,
            "monitor_every": 2,
        }

    def vasp(self, **changes: Any) -> Vasp:
        """Section vasp, complete."""
        others = {
            "num_chunks": 1,
            "functional": "PBE",
            "parallel": {},
            "max_errors": 5,
            "max_attempts": 3,
            "max_alike": 3,
            "walltime": None,
            "walltime_buffer": 0.0,
            "scratch": None,
            "job_store": None,
            "keep_wavefunctions": False,
            "replay": None,
        }
        return Vasp(**{**others, **self.settings, **changes})

    def script(self, path: Path, *faults: dict[str, Any]) -> dict[str, str]:
        """Write down the faults to come; the environment that makes them happen."""
        path.write_text(json.dumps(faults), encoding="utf-8")
        return {"VASP_STAND_IN_SOCKET": str(self.folder / "socket"), "VASP_STAND_IN_SCRIPT": str(path)}


def calls(script: Path) -> list[tuple[str, str]]:
    """(formula, stage) of each call of the stand-in under a script, in order."""
    return [(line["formula"], line["stage"]) for line in _log(script)]


def folders(script: Path) -> list[Path]:
    """The folder of each call of the stand-in under a script, in order."""
    return [Path(line["folder"]) for line in _log(script)]


def _log(script: Path) -> list[dict[str, str]]:
    log = Path(f"{script}.log")
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


@contextmanager
def running(folder: Path) -> Iterator[Site]:
    """Install the stand-in in a folder and keep its server running."""
    from tests.builders.vasp_stand_in import potcars

    potcars.write(folder / "potcars")
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.builders.vasp_stand_in.server", str(folder / "socket")]
    server = subprocess.Popen(command, env=environment)
    try:
        while not (folder / "socket").exists():
            if server.poll() is not None:
                raise RuntimeError("the stand-in's server did not start")
            time.sleep(0.1)
        yield Site(folder)
    finally:
        server.kill()
        server.wait()
