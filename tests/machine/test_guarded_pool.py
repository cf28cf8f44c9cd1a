"""Workers may die; the crystals that killed them are the only ones lost."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from miad.core.crystal import Crystal
from miad.core.errors import MiadError
from miad.machine.guarded_pool import Limits, _work, in_processes


def crystals(*ids: str) -> list[Crystal]:
    """Crystals with the given ids."""
    return [Crystal(name, np.eye(3), np.zeros((1, 3)), np.array([1])) for name in ids]


def make(limit: float = 60.0):
    """A treatment that does what the id says."""
    hoard: list[bytearray] = []

    def treat(crystal: Crystal) -> Crystal:
        if crystal.crystal_id.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if crystal.crystal_id.startswith("hang"):
            time.sleep(limit)
        if crystal.crystal_id.startswith("hoard"):
            hoard.append(bytearray(int(float(crystal.crystal_id.split("-")[1]) * 1e8)))
            time.sleep(3)  # the parent looks every half second
        return crystal.replace(num_steps=1)

    return treat


def make_nothing():
    """A treatment that cannot even be made."""
    raise ImportError("no such potential")


def treat_all(given: list[Crystal], hard_limit: float = 60.0) -> dict[str, Crystal]:
    """All crystals after two workers, by id."""
    treated = list(in_processes(given, make, (), num_workers=2, limits=Limits(hard_limit), step="relax"))
    assert len(treated) == len(given)
    return {crystal.crystal_id: crystal for crystal in treated}


def test_all_come_back_though_some_kill_their_worker():
    treated = treat_all(crystals("a", "kill-1", "b", "kill-2", "kill-3", "c"))
    assert [name for name, crystal in treated.items() if crystal.failure] and treated.keys() == {
        "a", "b", "c", "kill-1", "kill-2", "kill-3"
    }  # fmt: skip
    for name, crystal in treated.items():
        assert (crystal.num_steps == 1) != name.startswith("kill")
        assert bool(crystal.failure) == name.startswith("kill")
    assert "exit code -9" in treated["kill-1"].failure.reason


def test_last_crystal_may_kill_too():
    assert "died" in treat_all(crystals("kill-1"))["kill-1"].failure.reason


def test_a_stuck_worker_is_replaced():
    treated = treat_all(crystals("hang", "a", "b"), hard_limit=1.0)
    assert "time limit" in treated["hang"].failure.reason
    assert not treated["a"].failure and not treated["b"].failure


def test_memory_is_limited_and_what_others_left_is_not_blamed_on_a_crystal():
    given = crystals("hoard-3-left", "hoard-3-innocent", "hoard-9-guilty", "after")
    limits = Limits(60, memory=6e8)
    treated = {c.crystal_id: c for c in in_processes(given, make, (), num_workers=1, limits=limits, step="relax")}
    assert [name for name, crystal in treated.items() if crystal.failure] == ["hoard-9-guilty"]
    assert "out of memory: its worker took more than 0.6 GB" in treated["hoard-9-guilty"].failure.reason


def test_nothing_to_do():
    assert treat_all([]) == {}


def test_a_worker_that_cannot_start_is_an_error():
    with pytest.raises(MiadError, match="could not start"):
        list(in_processes(crystals("a"), make_nothing, (), num_workers=1, limits=Limits(60), step="relax"))


def test_a_worker_whose_parent_died_meanwhile_ends_without_a_word():
    ours, theirs = multiprocessing.Pipe()
    ours.close()
    assert _work(theirs, make, ()) is None  # else BrokenPipeError, on everybody's terminal
