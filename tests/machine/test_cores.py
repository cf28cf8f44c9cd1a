"""The number of processes: what the machine has and what the rule was given, whichever is less."""

import os

import pytest

from miad.machine.cores import num_cores

HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(("given", "expected"), [("1", 1), ("100000", HERE), ("", HERE), ("0", HERE), ("many", HERE)])
def test_the_rule_can_only_lower_the_number(monkeypatch, given, expected):
    monkeypatch.setenv("MIAD_CORES", given)
    assert num_cores() == expected


def test_without_a_rule_all_cores_count(monkeypatch):
    monkeypatch.delenv("MIAD_CORES", raising=False)
    assert num_cores() == HERE
