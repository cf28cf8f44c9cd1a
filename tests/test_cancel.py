"""Remains of a killed snakemake: steps and lock; Slurm jobs are cancelled in tests/workflow/slurm."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from miad import cancel
from miad.core.errors import MiadError
from miad.machine import os_processes, slurm

pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes in /proc")
# Stands for a step: its command line is that of one, and like training it ends in order when told to.
STEP = """import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
print(1, flush=True)
time.sleep(600)
"""


@pytest.fixture
def no_slurm(monkeypatch):
    """Here and in processes started from here, even where Slurm's programs lie on this machine."""
    monkeypatch.setattr(slurm, "jobs_of", lambda folder: [])
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))


def start(folder: Path, *words: str) -> subprocess.Popen:
    """A process at work in a folder."""
    process = subprocess.Popen([sys.executable, *words], cwd=folder, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


@pytest.fixture
def steps(tmp_path):
    """A folder with a step at work, and another folder with another one."""
    (tmp_path / "miad.py").write_text(STEP)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "miad.py").write_text(STEP)
    started = [start(folder, "-m", "miad", "train") for folder in (tmp_path, tmp_path / "elsewhere")]
    yield tmp_path, started
    for process in started:
        process.kill()
        process.communicate()


def test_steps_of_this_folder_end_in_order_and_the_lock_goes(steps, no_slurm):
    folder, (own, others) = steps
    lock = folder / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("results/miad/train/model.safetensors")
    assert os_processes.steps(folder) == [own.pid]
    # Its parent is this process, which has to ask how it ended before it is gone for good.
    before = time.monotonic()
    reaper = subprocess.Popen([sys.executable, "-m", "miad", "cancel", "--folder", str(folder)], cwd=os.getcwd())
    assert own.wait(timeout=60) == 75
    assert reaper.wait(timeout=60) == 0
    assert time.monotonic() - before < 60
    assert others.poll() is None
    assert not lock.exists()


def test_a_run_that_was_started_on_another_machine_is_left_alone(tmp_path, no_slurm, monkeypatch):
    lock = tmp_path / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    cancel.sign(tmp_path)
    with monkeypatch.context() as other:
        other.setattr("socket.gethostname", lambda: "login2")
        with pytest.raises(MiadError, match=r"cannot be seen from login2.*--elsewhere"):
            cancel.run(folder=tmp_path)
        assert lock.exists()
        cancel.run(folder=tmp_path, elsewhere=True)
    assert not lock.exists()
    lock.parent.mkdir()
    lock.touch()
    cancel.run(folder=tmp_path)
    assert not lock.exists()


def test_a_snakemake_at_work_is_left_alone(tmp_path, no_slurm):
    (tmp_path / "snakemake.py").write_text(STEP)
    lock = tmp_path / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    process = start(tmp_path, "-m", "snakemake", "all")
    try:
        with pytest.raises(MiadError, match=rf"process {process.pid}.*Ctrl-C"):
            cancel.run(folder=tmp_path)
        assert lock.exists()
    finally:
        process.kill()
        process.communicate()
    # A snakemake within a job of the one that was killed is no reason to refuse, and is ended.
    process = start(tmp_path, "-m", "snakemake", "--mode", "remote", "results/x")
    try:
        cancel.run(folder=tmp_path)
        assert process.wait(timeout=60) == 75
    finally:
        process.kill()
        process.communicate()
    assert not lock.exists()
