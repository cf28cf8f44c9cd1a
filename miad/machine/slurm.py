"""Slurm jobs of this user, as squeue lists them."""

import datetime
import logging
import os
import shutil
import subprocess
from pathlib import Path

from miad.core.errors import MiadError

log = logging.getLogger("miad")


def jobs_of(folder: Path) -> list[str]:
    """Ids of this user's Slurm jobs that snakemake has submitted from a folder; none where there is no Slurm.

    Raises:
        MiadError: Slurm does not answer, and snakemake has submitted jobs from there.
    """
    if shutil.which("squeue") is None:
        return []
    # The comment is that of snakemake's plugin: rule_NAME or group_NAME; last the folder, which may hold anything.
    command = ["squeue", "--me", "--noheader", "--format=%i|%k|%Z"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode and not (folder / ".snakemake" / "slurm_logs").exists():
        log.warning("squeue does not answer (%s), but no job was ever submitted from %s", answer.stderr.strip(), folder)
        return []
    if answer.returncode:
        raise MiadError(f"squeue failed: {answer.stderr.strip()}. Run this where squeue works, on a login node.")
    rows = [line.split("|", 2) for line in answer.stdout.splitlines() if line.count("|") >= 2]
    return [job for job, comment, place in rows if comment.startswith(("rule_", "group_")) and Path(place) == folder]


def end_of_job() -> float | None:
    """End of the walltime of the Slurm job around this process, in seconds since 1970; None if it is not known.

    squeue is asked if the environment does not hold it: Slurm before 23.02 does not set it, and snakemake's plugin
    hands on little more than the number of the job.
    """
    if told := os.environ.get("SLURM_JOB_END_TIME"):
        return float(told)
    if "SLURM_JOB_ID" not in os.environ or shutil.which("squeue") is None:
        return None
    command = ["squeue", "--noheader", f"--jobs={os.environ['SLURM_JOB_ID']}", "--format=%e"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    try:
        return datetime.datetime.fromisoformat(answer).astimezone().timestamp()
    except ValueError:  # N/A: without limit
        return None
