"""Answers of a squeue of our own; a real one is asked in tests/workflow/slurm."""

import os
import time

import pytest

from miad.core.errors import MiadError
from miad.machine import slurm

SQUEUE = """#!/bin/sh
echo "11|rule_train_wildcards_miad|{folder}"
echo "12|rule_relax|{folder}/elsewhere"
echo "13||{folder}"
echo "14|group_a|{folder}"
"""


def test_jobs_are_those_that_snakemake_submitted_from_this_folder(tmp_path, monkeypatch, caplog):
    tool = tmp_path / "squeue"
    tool.write_text(SQUEUE.format(folder=tmp_path))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert slurm.jobs_of(tmp_path) == ["11", "14"]
    tool.write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    # Programs without a cluster, as on a laptop: what never submitted has no jobs; what did may have some.
    assert slurm.jobs_of(tmp_path) == [] and "no job was ever submitted" in caplog.text
    (tmp_path / ".snakemake" / "slurm_logs").mkdir(parents=True)
    with pytest.raises(MiadError, match=r"Unable to contact slurm controller.*login node"):
        slurm.jobs_of(tmp_path)
    tool.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm.jobs_of(tmp_path) == []


def test_the_end_of_the_walltime_is_asked_for_where_the_environment_is_silent(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert slurm.end_of_job() is None
    end = 1_900_000_000
    tool = tmp_path / "squeue"
    tool.write_text(f"#!/bin/sh\necho {time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(end))}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert slurm.end_of_job() == end
    tool.write_text("#!/bin/sh\necho N/A\n")
    assert slurm.end_of_job() is None
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(end + 5))
    assert slurm.end_of_job() == end + 5
