"""Continuous integration decides: no test is run twice to pass, and none is left out where it was expected to run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.builders import ROOT


def run(
    folder: Path, *, fails: str = "", uid: int = 0, programs=("apt-get",), **environment: str
) -> tuple[int, list[str]]:
    """The exit code of .ci/run, and what it called make for; `make` and what tells the machine are stand-ins."""
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci")
    scripts = {"id": f"echo {uid}", "make": f'echo "$1" >>calls; [ "$1" != "{fails}" ]', **dict.fromkeys(programs, "")}
    for name, script in scripts.items():
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "bin" / name).chmod(0o755)
    for name in ("bash", "dirname", "timeout", "grep", "sh"):
        (folder / "bin" / name).symlink_to(shutil.which(name) or "")
    done = subprocess.run(["bash", ".ci/run"], cwd=folder, env={"PATH": str(folder / "bin"), **environment})
    return done.returncode, (folder / "calls").read_text().split()


@pytest.mark.skipif(os.path.exists("/etc/slurm/slurm.conf"), reason="this machine belongs to a cluster")
def test_a_slurm_that_does_not_start_or_a_test_on_it_that_fails_is_a_failure(tmp_path):
    code, called = run(tmp_path, fails="test-slurm")
    assert code != 0 and called == ["test", "docs", "test-slurm"]
    assert run(tmp_path / "fine") == (0, ["test", "docs", "test-slurm"])


def test_a_failing_test_ends_it_at_once(tmp_path):
    code, called = run(tmp_path, fails="test")
    assert code != 0 and called == ["test"]
    code, called = run(tmp_path / "site", fails="docs")
    assert code != 0 and called == ["test", "docs"]


@pytest.mark.parametrize("machine", [{"uid": 1000}, {"programs": ()}, {"SLURM": "no"}])
def test_slurm_is_left_out_where_none_is_expected(tmp_path, machine):
    assert run(tmp_path, **machine) == (0, ["test", "docs"])
