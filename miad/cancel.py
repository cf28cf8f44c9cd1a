"""The cancel step: end what a killed run of snakemake has left behind, so that the next one starts clean.

kill -9 or the crash of a login node ends snakemake but not its jobs: they go on writing to files that a new run takes
for its own.
"""

import logging
import shutil
import socket
import subprocess
import time
from pathlib import Path

from miad.core.errors import MiadError
from miad.machine import os_processes, slurm

log = logging.getLogger("miad")
SIGNED = Path(".snakemake") / "miad_machine"
LIMIT = 300.0  # seconds for jobs to end; Slurm gives them half a minute to save what they have


def sign(folder: Path) -> None:
    """Write the name of this machine into a folder in which snakemake begins to work: others cannot see it at work."""
    (folder / ".snakemake").mkdir(exist_ok=True)
    (folder / SIGNED).write_text(socket.gethostname(), encoding="utf-8")


def run(*, folder: Path = Path("."), elsewhere: bool = False) -> None:
    """Cancels the Slurm jobs of a folder, ends steps that still run in it here, and removes snakemake's lock.

    Afterwards the same snakemake command goes on where the killed one was: trainings from their last checkpoint,
    relaxations from the last crystal.

    Args:
        folder: where snakemake was started.
        elsewhere: go on though snakemake was started on another machine, where it may still be at work

    Raises:
        MiadError: a snakemake is at work there or may be, or something does not end.
    """
    folder = Path(folder).resolve()
    for owner in os_processes.snakemakes(folder):
        raise MiadError(
            f"snakemake is at work in {folder} (process {owner}). Stop it with Ctrl-C: it cancels its jobs itself."
        )
    locks = folder / ".snakemake" / "locks"
    is_locked = locks.is_dir() and any(locks.iterdir())
    if is_locked and not elsewhere:
        _check_machine(folder)
    _cancel_jobs(folder)
    left = _left(folder)
    os_processes.end(lambda: _left(folder))
    if left:
        log.info("ended %d processes of this machine", len(left))
    if is_locked:
        shutil.rmtree(locks)
        log.info("removed the lock that snakemake had left in %s", folder)
    log.info("nothing of an earlier run is at work in %s, as far as this machine can see", folder)


def _left(folder: Path) -> list[int]:
    """Ids of steps in a folder, and of snakemakes of its jobs: one that lost its step can outlive its Slurm job."""
    return [*os_processes.steps(folder), *os_processes.snakemakes(folder, is_in_job=True)]


def _check_machine(folder: Path) -> None:
    """Refuse if the snakemake that holds the lock was started on another machine of the same file system."""
    path = folder / SIGNED
    here = socket.gethostname()
    machine = path.read_text(encoding="utf-8") if path.is_file() else here
    if machine != here:
        raise MiadError(
            f"snakemake was started in {folder} on {machine} and may still be at work there, which cannot be seen from"
            f" {here}. Log in there and run this again; if it is gone or that machine is: --elsewhere."
        )


def _cancel_jobs(folder: Path) -> None:
    """Cancel the Slurm jobs of a folder and wait for their end."""
    jobs = slurm.jobs_of(folder)
    if not jobs:
        return
    subprocess.run(["scancel", *jobs], check=False)  # one may have ended by itself; what counts is that all go
    deadline = time.monotonic() + LIMIT
    while slurm.jobs_of(folder):
        if time.monotonic() > deadline:
            raise MiadError(f"after {LIMIT:.0f} s: Slurm jobs {' '.join(jobs)} are still there. Look at: squeue --me")
        time.sleep(1.0)
    log.info("cancelled Slurm jobs: %s", " ".join(jobs))
