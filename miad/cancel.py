"""The cancel step: end what a killed run of snakemake has left behind, so that the next one starts clean.

kill -9 or the crash of a login node ends snakemake but not its jobs: they go on writing to files that a new run takes
for its own.
"""

import atexit
import contextlib
import logging
import os
import subprocess
import time
from pathlib import Path

from miad.core.errors import MiadError
from miad.machine import os_processes, slurm
from miad.machine.owners import Owner, at_work, locked, recorded
from miad.machine.running import forget

log = logging.getLogger("miad")
SIGNED = Path(".snakemake") / "miad_owners"  # a record of each snakemake that works in the folder
LOCKS = Path(".snakemake") / "locks"
LIMIT = 300.0  # seconds for jobs to end; Slurm gives them half a minute to save what they have


def sign(folder: Path) -> None:
    """Record that this snakemake begins to work in a folder.

    Raises:
        MiadError: another one of this machine is at work there. Snakemake's own lock does not tell two that start at
            once, and none that works for other files.
    """
    folder = folder.resolve()
    me = Owner.this()
    (folder / SIGNED).mkdir(parents=True, exist_ok=True)
    me.write(_record(folder, me))
    atexit.register(resign, folder)
    # Of two that see each other the one that started later gives way.
    before = [one for one in at_work(folder / SIGNED) if one.is_here and (one.since, one.pid) < (me.since, me.pid)]
    if before:
        raise MiadError(f"snakemake is at work in {folder} already ({before[0]}). Wait for it, or stop it with Ctrl-C.")


def resign(folder: Path) -> None:
    """Remove the record of this snakemake, which has ended its work in a folder."""
    with contextlib.suppress(OSError):  # the folder may be gone
        _record(folder, Owner.this()).unlink()


def _record(folder: Path, owner: Owner) -> Path:
    return folder / SIGNED / f"{owner.host}-{owner.pid}.json"


def run(*, folder: Path = Path("."), elsewhere: bool = False) -> None:
    """Cancels the Slurm jobs of a folder, ends what its snakemake has started here, and removes snakemake's lock.

    Afterwards the same snakemake command goes on where the killed one was: trainings from their last checkpoint,
    relaxations from the last crystal.

    Args:
        folder: where snakemake was started.
        elsewhere: go on though snakemake was started on another machine, or by another user, and may still be at work

    Raises:
        MiadError: a snakemake is at work there or may be, or something does not end.
    """
    folder = Path(folder).resolve()
    (folder / ".snakemake").mkdir(exist_ok=True)
    with locked(folder / ".snakemake" / "miad_cancel", what=str(folder), remedy="Wait for it."):
        locks = sorted((folder / LOCKS).glob("*"))  # before the look at who is alive: a later lock is not touched
        _check_idle(folder, locks, elsewhere)
        _cancel_jobs(folder)
        if num := os_processes.end(
            lambda: {*os_processes.marked(folder), *os_processes.snakemakes(folder, is_in_job=True)}
        ):
            log.info("ended %d processes of this machine", num)
        for path in [*locks, *(recorded(folder / SIGNED) if elsewhere else ())]:
            path.unlink(missing_ok=True)
        forget(folder, is_idle=True)
        if locks:
            log.info("removed the lock that snakemake had left in %s", folder)
    log.info("nothing of an earlier run is at work in %s, as far as this machine can see", folder)


def _check_idle(folder: Path, locks: list[Path], elsewhere: bool) -> None:
    """Refuse if a snakemake is at work in a folder, or may be where it cannot be seen."""
    dead = {path.stat().st_uid for path, one in recorded(folder / SIGNED).items() if one.is_here and not one.is_alive}
    owners = at_work(folder / SIGNED)
    here = [str(owner) for owner in owners if owner.is_here]
    here += [f"process {process.pid}" for process in os_processes.snakemakes(folder)]
    if here:
        raise MiadError(
            f"snakemake is at work in {folder} ({here[0]}). Whoever started it can stop it with Ctrl-C: it cancels its"
            " jobs itself."
        )
    if elsewhere or not locks:
        return
    hidden = [*owners, *(f"process {process.pid}" for process in os_processes.snakemakes(None))]
    if hidden:
        raise MiadError(
            f"snakemake was started in {folder} and may still be at work ({hidden[0]}), which cannot be seen from here."
            " Run this where it was started; if that snakemake is gone, or that machine is: --elsewhere."
        )
    if others := [path for path in locks if path.stat().st_uid not in {os.getuid(), *dead}]:
        raise MiadError(
            f"{others[0]} was written by another user, whose snakemake may still be at work. Ask its owner to run miad"
            " cancel; if that snakemake is gone: --elsewhere."
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
