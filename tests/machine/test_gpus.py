"""Devices are lent to one job at a time. The devices are names only: no GPU is needed."""

import os
import signal
import subprocess
import sys

import pytest

from miad.core.errors import MiadError
from miad.machine import gpus

HOLD = "from miad.machine.gpus import lent\nwith lent() as held:\n    print(*held, flush=True)\n    input()\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with the devices 0 and 1, its locks in a folder of the test."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv(gpus.LOCKS, str(tmp_path / "locks"))
    monkeypatch.delenv(gpus.NUM_GPUS, raising=False)
    monkeypatch.delenv(gpus.JOBS_PER_GPU, raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.setattr(gpus, "_own_names", dict)
    return monkeypatch


def start_holder(num: int, jobs_per_gpu: int = 1) -> tuple[subprocess.Popen, list[str]]:
    """Another process that holds GPUs until it is killed, and their names."""
    environment = {**os.environ, gpus.NUM_GPUS: str(num), gpus.JOBS_PER_GPU: str(jobs_per_gpu)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOLD], env=environment, **pipes)
    return process, process.stdout.readline().split()


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


class Busy(Exception):
    """No device was free."""


def lent_now(machine, num: int, jobs_per_gpu: int = 1) -> list[str]:
    """Devices that are lent without waiting."""

    def give_up(_):
        raise Busy

    machine.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    machine.setenv(gpus.NUM_GPUS, str(num))
    machine.setenv(gpus.JOBS_PER_GPU, str(jobs_per_gpu))
    with gpus.lent(sleep=give_up) as held:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ",".join(held)
        return held


def test_without_a_wish_nothing_is_locked_or_hidden(machine, tmp_path):
    with gpus.lent() as held:
        assert held == []
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert not (tmp_path / "locks").exists()


def test_two_jobs_never_share_a_device_and_a_third_waits_until_one_is_killed(machine):
    first, (device,) = start_holder(1)
    other = lent_now(machine, 1)
    assert {device, *other} == {"0", "1"}
    second, (device_of_second,) = start_holder(1)
    assert device_of_second == other[0]
    with pytest.raises(Busy):
        lent_now(machine, 1)
    kill(first)  # without a chance to tidy up
    assert lent_now(machine, 1) == [device]
    kill(second)


def test_several_devices_are_lent_together_or_not_at_all(machine):
    holder, (device,) = start_holder(1)
    with pytest.raises(Busy):
        lent_now(machine, 2)
    # The one that was free is not kept by the job that waits for two.
    assert lent_now(machine, 1) == [name for name in "01" if name != device]
    kill(holder)
    assert lent_now(machine, 2) == ["0", "1"]


def test_jobs_share_a_device_only_with_jobs_that_share_and_no_more_than_allowed(machine):
    machine.setattr(gpus, "visible", lambda: {"0": "0"})
    machine.setenv("CUDA_VISIBLE_DEVICES", "0")
    holders = [start_holder(1, jobs_per_gpu=2)[0] for _ in range(2)]
    with pytest.raises(Busy):
        lent_now(machine, 1, jobs_per_gpu=2)  # both places are taken
    kill(holders.pop())
    assert lent_now(machine, 1, jobs_per_gpu=2) == ["0"]
    with pytest.raises(Busy):
        lent_now(machine, 1)  # one that wants the device for itself
    kill(holders.pop())
    assert lent_now(machine, 1) == ["0"]


def test_locks_go_by_the_device_itself_not_by_what_a_job_calls_it(machine):
    # Two Slurm jobs with constrained devices: both call theirs 0.
    machine.setattr(gpus, "_own_names", lambda: {"0": "GPU-aaaa", "1": "GPU-bbbb"})
    machine.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpus.visible() == {"1": "GPU-bbbb"}
    machine.setenv("CUDA_VISIBLE_DEVICES", "GPU-aaaa,MIG-1/2")
    assert gpus.visible() == {"GPU-aaaa": "GPU-aaaa", "MIG-1/2": "MIG-1/2"}
    machine.delenv("CUDA_VISIBLE_DEVICES")
    assert gpus.visible() == {"0": "GPU-aaaa", "1": "GPU-bbbb"}


def test_names_of_devices_come_from_the_drivers_tool(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0, GPU-1f\\n1, GPU-2e\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert gpus._own_names() == {"0": "GPU-1f", "1": "GPU-2e"}
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed because it could not reach the driver'\nexit 9\n")
    assert gpus._own_names() == {}


def test_the_lock_file_of_another_user_is_opened_and_not_made(machine, tmp_path):
    # Linux with fs.protected_regular refuses to "make" what another user made in a folder like /tmp.
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "0").touch()
    real = os.open

    def protected(path, flags, *more):
        if flags & os.O_CREAT and os.path.exists(path) and not flags & os.O_EXCL:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *more)

    machine.setattr(os, "open", protected)
    before = os.umask(0o077)
    try:
        assert lent_now(machine, 2) == ["0", "1"]
    finally:
        os.umask(before)
    assert lent_now(machine, 2) == ["0", "1"]
    assert (tmp_path / "locks" / "1").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(("wanted", "said"), [("3", "3 GPUs are asked for, 2 can be seen"), ("two", "whole number")])
def test_a_wish_that_cannot_be_met_is_refused(machine, wanted, said):
    machine.setenv(gpus.NUM_GPUS, wanted)
    with pytest.raises(MiadError, match=said), gpus.lent():
        pass


def test_the_locks_stay_with_the_process_that_takes_the_place(machine):
    # As torchrun takes the place of the command that locked the devices.
    machine.setenv(gpus.NUM_GPUS, "2")
    code = (
        "import os, sys\nfrom miad.machine import gpus\nwith gpus.lent():\n"
        "    os.execv(sys.executable, [sys.executable, '-c', 'print(1, flush=True); input()'])"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code], **pipes)
    assert process.stdout.readline() == "1\n"
    with pytest.raises(Busy):
        lent_now(machine, 1)
    kill(process)
    assert lent_now(machine, 2) == ["0", "1"]


def test_torchrun_gets_the_same_arguments_and_shares_the_threads(machine):
    called = []
    machine.setattr(os, "execv", lambda path, words: called.append(words))
    machine.setenv(gpus.NUM_GPUS, "2")
    machine.setenv("OMP_NUM_THREADS", "8")
    gpus.become_torchrun(2, ["train", "--run", "miad"])
    [words] = called
    assert words[1:3] == ["-m", "torch.distributed.run"] and "--nproc-per-node=2" in words
    assert "--local-addr=127.0.0.1" in words  # else it hangs where the name of the host does not resolve
    assert words[-4:] == ["miad", "train", "--run", "miad"]
    assert os.environ["OMP_NUM_THREADS"] == "4"
    assert gpus.NUM_GPUS not in os.environ
