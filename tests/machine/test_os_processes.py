"""Processes of this user, found by the mark that they were started with."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from miad.core.errors import MiadError
from miad.machine import os_processes
from miad.machine.os_processes import STAGE, end, marked, nothing_left, stop_leftovers

SLEEP = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
# A step that starts a VASP in a session of its own, as mpirun does, and is killed.
STEP = f"""import os, pathlib, signal, subprocess, sys
from miad.machine.os_processes import nothing_left
with nothing_left(pathlib.Path(sys.argv[1])):
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    vasp = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], start_new_session=True, **pipes)
    vasp.stdout.readline()
    print(vasp.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def sleeper(folder: Path, **marks: str) -> subprocess.Popen:
    """A process in a folder that does not end when it is asked to."""
    command = [sys.executable, "-c", SLEEP]
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **marks}, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


@pytest.fixture
def shell(tmp_path):
    """A program of the user's that works in the folder, and has nothing to do with the step."""
    process = sleeper(tmp_path)
    yield process
    process.kill()
    process.wait()


def test_a_vasp_that_outlived_its_step_is_stopped_and_a_shell_in_its_folder_is_not(tmp_path, shell):
    other = tmp_path / "other"
    other.mkdir()
    elsewhere = sleeper(tmp_path, **{STAGE: str(other)})
    step = subprocess.run([sys.executable, "-c", STEP, str(tmp_path)], capture_output=True, text=True)
    assert step.returncode == -signal.SIGKILL, step.stderr
    vasp = int(step.stdout)
    assert [process.pid for process in marked(tmp_path, STAGE)] == [vasp]
    stop_leftovers(tmp_path)
    assert marked(tmp_path, STAGE) == []
    assert shell.poll() is None and elsewhere.poll() is None
    elsewhere.kill()
    elsewhere.wait()


def test_what_a_stage_started_ends_with_it_and_the_mark_goes(tmp_path, shell):
    with nothing_left(tmp_path):
        vasp = sleeper(tmp_path)
    assert vasp.wait(10) == -signal.SIGKILL and shell.poll() is None
    assert STAGE not in os.environ
    vasp.wait()


def test_one_that_does_not_end_when_asked_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(os_processes, "PATIENCE", 0.5)
    process = sleeper(tmp_path, **{STAGE: str(tmp_path)})
    assert end(lambda: marked(tmp_path, STAGE)) == 1
    assert process.wait(10) == -signal.SIGKILL
    process.wait()


def test_what_cannot_be_killed_is_said(shell, monkeypatch):
    import psutil

    monkeypatch.setattr(os_processes, "PATIENCE", 0.2)
    for name in ("terminate", "kill"):  # a process that waits for a disk
        monkeypatch.setattr(psutil.Process, name, lambda self: None)
    with pytest.raises(MiadError, match=rf"processes {shell.pid} do not end though they were killed"):
        end(lambda: [psutil.Process(shell.pid)])
