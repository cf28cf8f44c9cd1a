"""Remains of a killed snakemake: steps and lock; Slurm jobs are cancelled in tests/workflow/slurm."""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from miad import cancel
from miad.core.errors import MiadError
from miad.machine import owners, slurm
from miad.machine.os_processes import RUN
from miad.machine.owners import Owner
from tests.builders.at_work import steps as steps_of

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


@pytest.fixture
def lock(tmp_path) -> Path:
    """What a snakemake leaves in a folder when it is killed."""
    path = tmp_path / ".snakemake" / "locks" / "0.output.lock"
    path.parent.mkdir(parents=True)
    path.write_text("results/miad/train/model.safetensors")
    return path


@pytest.fixture
def start():
    """A function that starts a process in a folder, as snakemake does if that is its `run`; all end with the test."""
    started = []

    def start(folder: Path, *words: str, run: Path | None = None) -> subprocess.Popen:
        environment = {**os.environ, **({RUN: str(run)} if run else {})}
        command = [sys.executable, *words]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        started.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def signed(folder: Path, pid: int, **changes) -> None:
    """The record of a snakemake that works in a folder."""
    known = dataclasses.replace(Owner.this(), pid=pid, since=psutil.Process(pid).create_time())
    dataclasses.replace(known, **changes).write(folder / cancel.SIGNED / f"{pid}.json")


def hide_folder(of: subprocess.Popen, monkeypatch) -> None:
    """Without /proc, and of the processes of others, no system tells in which folder a process works."""
    seen = psutil.Process.cwd

    def denied(process):
        if process.pid == of.pid:
            raise psutil.AccessDenied(process.pid)
        return seen(process)

    monkeypatch.setattr(psutil.Process, "cwd", denied)


def test_what_a_run_started_here_ends_in_order_and_the_lock_goes(tmp_path, lock, start, no_slurm):
    (tmp_path / "miad.py").write_text(STEP)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    own = start(tmp_path, "-m", "miad", "train", run=tmp_path)
    others = start(tmp_path, "-m", "miad", "train", run=elsewhere)
    by_hand = start(tmp_path, "-m", "miad", "train")  # in the same folder, but by the user
    assert steps_of(tmp_path) == [own.pid]
    # Its parent is this process, which has to ask how it ended before it is gone for good.
    before = time.monotonic()
    reaper = subprocess.Popen([sys.executable, "-m", "miad", "cancel", "--folder", str(tmp_path)], cwd=os.getcwd())
    assert own.wait(timeout=60) == 75
    assert reaper.wait(timeout=60) == 0
    assert time.monotonic() - before < 60
    assert others.poll() is None and by_hand.poll() is None
    assert not lock.exists()


def test_a_run_that_was_started_on_another_machine_is_left_alone(tmp_path, lock, no_slurm):
    signed(tmp_path, os.getpid(), host="login2")
    with pytest.raises(
        MiadError, match=r"may still be at work \(process .* on login2, started .* seen from here.*--elsewhere"
    ):
        cancel.run(folder=tmp_path)
    assert lock.exists()
    cancel.run(folder=tmp_path, elsewhere=True)
    assert not lock.exists()
    lock.touch()
    cancel.run(folder=tmp_path)  # the record of the other machine went with its lock
    assert not lock.exists()


def test_a_snakemake_at_work_is_left_alone(tmp_path, lock, start, no_slurm):
    (tmp_path / "snakemake.py").write_text(STEP)
    process = start(tmp_path, "-m", "snakemake", "all")
    for is_sure in (False, True):
        with pytest.raises(MiadError, match=rf"process {process.pid}.*Ctrl-C"):
            cancel.run(folder=tmp_path, elsewhere=is_sure)
    assert lock.exists()
    process.kill()
    process.wait()
    # A snakemake within a job of the one that was killed is no reason to refuse, and is ended.
    process = start(tmp_path, "-m", "snakemake", "--mode", "remote", "results/x")
    cancel.run(folder=tmp_path)
    assert process.wait(timeout=60) == 75
    assert not lock.exists()


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_snakemake_whose_folder_is_not_told_is_left_alone(is_recorded, tmp_path, lock, start, no_slurm, monkeypatch):
    (tmp_path / "snakemake.py").write_text(STEP)
    process = start(tmp_path, "-m", "snakemake", "all")
    hide_folder(process, monkeypatch)
    if is_recorded:
        signed(tmp_path, process.pid, user="a_colleague")
    with pytest.raises(MiadError, match=rf"at work.*process {process.pid}"):
        cancel.run(folder=tmp_path)
    assert lock.exists()
    process.kill()
    process.wait()
    cancel.run(folder=tmp_path)
    assert not lock.exists()


def test_the_snakemake_of_another_user_is_left_alone(tmp_path, lock, no_slurm, monkeypatch):
    init = psutil.Process(1)  # of root, and never of those who run this test as somebody else
    signed(tmp_path, init.pid, user="root")
    with pytest.raises(MiadError, match="process 1 of root on"):
        cancel.run(folder=tmp_path, elsewhere=True)
    assert lock.exists()


def test_the_lock_of_another_user_goes_only_if_it_is_known_to_be_left(tmp_path, lock, no_slurm, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: lock.stat().st_uid + 1)
    with pytest.raises(MiadError, match=r"0\.output\.lock was written by another user.*--elsewhere"):
        cancel.run(folder=tmp_path)
    assert lock.exists()
    signed(tmp_path, os.getpid(), since=1.0)  # theirs, and ended
    cancel.run(folder=tmp_path)
    assert not lock.exists()


def test_a_lock_that_is_taken_meanwhile_stays(tmp_path, lock, no_slurm, monkeypatch):
    later = lock.with_name("1.output.lock")
    monkeypatch.setattr(cancel, "_check_idle", lambda *_: later.touch())
    cancel.run(folder=tmp_path)
    assert not lock.exists() and later.exists()


def test_of_two_snakemakes_the_later_one_gives_way(tmp_path, start, monkeypatch):
    other = start(tmp_path, "-c", "import time; print(1, flush=True); time.sleep(60)")
    signed(tmp_path, other.pid)  # started after this process: it is the one to go
    cancel.sign(tmp_path)
    monkeypatch.setattr(owners, "TOLERANCE", float("inf"))
    signed(tmp_path, other.pid, since=Owner.this().since - 30)
    with pytest.raises(MiadError, match=rf"at work in .* already \(process {other.pid} of "):
        cancel.sign(tmp_path)
    other.kill()
    other.wait()
    cancel.sign(tmp_path)
    assert [path.name for path in (tmp_path / cancel.SIGNED).iterdir()] == [f"{Owner.this().host}-{os.getpid()}.json"]
    cancel.resign(tmp_path)
    assert list((tmp_path / cancel.SIGNED).iterdir()) == []
