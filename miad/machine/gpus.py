"""The GPUs of this machine, each lent to one job at a time.

Snakemake counts the GPUs of one run; a second run, or a person at the command line, it does not see. So every device
has a lock file, and a step that is told how many GPUs it gets ($MIAD_GPUS, which the rules set to their resource `gpu`)
waits for as many free ones and sees no others. The lock is that of an open file: it ends with its process, also by
kill -9. Jobs may share a device where the profile says how many ($MIAD_JOBS_PER_GPU, resource `jobs_per_gpu`).
"""

import contextlib
import fcntl
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from miad.core.errors import MiadError

log = logging.getLogger("miad")
NUM_GPUS = "MIAD_GPUS"
JOBS_PER_GPU = "MIAD_JOBS_PER_GPU"
LOCKS = "MIAD_GPU_LOCKS"  # folder of the lock files, the same for all who use this machine
POLL = 2.0  # seconds between looks at busy devices
LOG_EVERY = 60.0  # seconds


def visible() -> dict[str, str]:
    """The devices that this process may use: {name for $CUDA_VISIBLE_DEVICES: name of the device itself}.

    Within a Slurm job with constrained devices every job calls its first GPU 0, so locks go by the device's own name.
    """
    own_names = _own_names()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = list(own_names) if given is None else [name.strip() for name in given.split(",") if name.strip()]
    return {name: own_names.get(name, name) for name in names}


def _own_names() -> dict[str, str]:
    """{index: UUID} as the driver's tool tells them, in the order of the bus; empty where there is none."""
    if shutil.which("nvidia-smi") is None:
        return {}
    command = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return dict(re.findall(r"^(\d+), *(\S+)$", answer.stdout, re.MULTILINE)) if answer.returncode == 0 else {}


@contextlib.contextmanager
def lent(sleep: Callable[[float], None] = time.sleep) -> Iterator[list[str]]:
    """The GPUs that $MIAD_GPUS asks for, locked while the block runs; the process sees only these.

    Yields:
        Their names; none, and nothing is locked or hidden, if none are asked for.

    Raises:
        MiadError: the machine has not as many, or a number is none.
    """
    wanted = _number(NUM_GPUS, 0)
    if not wanted:
        yield []
        return
    devices = visible()
    if wanted > len(devices):
        raise MiadError(
            f"{wanted} GPUs are asked for, {len(devices)} can be seen ({', '.join(devices) or 'none'}). Lower the"
            " resource gpu of this rule in the profile, or see what nvidia-smi and CUDA_VISIBLE_DEVICES say."
        )
    held = _claim(devices, wanted, max(1, _number(JOBS_PER_GPU, 1)), sleep)
    # Indices mean what nvidia-smi means by them; CUDA's own order is by speed.
    os.environ.update(CUDA_DEVICE_ORDER="PCI_BUS_ID", CUDA_VISIBLE_DEVICES=",".join(held))
    log.info("using GPU %s", ", ".join(held))
    try:
        yield list(held)
    finally:
        for locks in held.values():
            locks.close()


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdigit():
        raise MiadError(f"{variable} is {text!r}, expected a whole number.")
    return int(text)


def _claim(
    devices: dict[str, str], wanted: int, places: int, sleep: Callable[[float], None]
) -> dict[str, contextlib.ExitStack]:
    """Locks of as many devices as wanted: all at once or none, so that two jobs never wait for each other."""
    start, told = time.monotonic(), float("-inf")
    while True:
        held: dict[str, contextlib.ExitStack] = {}
        for name, own_name in devices.items():
            locks = _lock(own_name, places)
            if locks is not None:
                held[name] = locks
            if len(held) == wanted:
                return held
        for locks in held.values():
            locks.close()
        if time.monotonic() - told > LOG_EVERY:
            told = time.monotonic()
            log.info("waiting for %d free GPUs of %s, for %.0f s", wanted, ", ".join(devices), told - start)
        sleep(POLL)


def _lock(own_name: str, places: int) -> contextlib.ExitStack | None:
    """The locks of a job on a device, or None if others keep it out.

    A job that shares holds the device together with others of its kind, and one of the places for itself.
    """
    name = re.sub(r"[^A-Za-z0-9-]", "_", own_name)
    with contextlib.ExitStack() as locks:
        is_shared = places > 1
        if not _try_lock(locks, name, fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX):
            return None
        if is_shared and not any(_try_lock(locks, f"{name}.{place}", fcntl.LOCK_EX) for place in range(places)):
            return None
        return locks.pop_all()


def _try_lock(locks: contextlib.ExitStack, name: str, kind: int) -> bool:
    folder = Path(os.environ.get(LOCKS) or Path(tempfile.gettempdir()) / "miad-gpus")
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o1777)  # as the folder of temporary files itself: for all users of the machine
    try:
        # Made with O_EXCL: Linux (fs.protected_regular) refuses O_CREAT alone for a file of another user there.
        with contextlib.suppress(FileExistsError):
            made = os.open(folder / name, os.O_RDONLY | os.O_CREAT | os.O_EXCL)
            os.fchmod(made, 0o644)  # whatever the umask of its user
            os.close(made)
        # Read only, so that a file of another user will do; no link is followed in a folder that all may write to.
        number = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        problem = f"{folder / name} cannot be opened ({error.strerror})"
        raise MiadError(f"{problem}. Set {LOCKS} to another folder.") from error
    try:
        fcntl.flock(number, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        return False
    os.set_inheritable(number, True)  # torchrun takes the place of this process and keeps the locks
    locks.callback(os.close, number)
    return True


def become_torchrun(num_processes: int, arguments: list[str]) -> None:
    """Replace this process by torchrun with one process per GPU, each called with the same arguments; never returns."""
    os.environ.pop(NUM_GPUS)  # the processes find the devices locked for them
    threads = _number("OMP_NUM_THREADS", num_processes)
    os.environ["OMP_NUM_THREADS"] = str(max(1, threads // num_processes))
    # One node: the processes meet on the loopback device; the name of the host, torchrun's choice, need not resolve.
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    torchrun.append(f"--nproc-per-node={num_processes}")
    os.execv(sys.executable, [sys.executable, *torchrun, "-m", "--", "miad", *arguments])  # noqa: S606 (no shell)
