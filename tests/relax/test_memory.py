"""Number of crystals that are evaluated together."""

import pytest
import torch

from miad.relax.memory import MOST, SHARE, Budget


def test_groups_fill_the_memory_and_no_more():
    assert Budget("cpu", 10.0).groups([4, 4, 4, 2, 9, 30, 1]) == [[0, 1], [2, 3], [4], [5], [6]]
    assert Budget("cpu", 10.0).groups([]) == []


def test_what_overflowed_is_halved_and_grows_back_slowly():
    budget = Budget("cpu", 100.0)
    budget.overflowed(80.0)
    assert budget.capacity == 40
    for _ in range(5):
        with budget.measuring(39.0):
            pass
    assert 40 < budget.capacity < 80
    for _ in range(100):
        with budget.measuring(1.0):  # says nothing about what would fit
            pass
    assert budget.capacity < 80


def test_an_evaluation_that_fails_teaches_nothing():
    budget = Budget("cpu", 100.0)
    budget.overflowed(80.0)
    with pytest.raises(KeyError), budget.measuring(39.0):
        raise KeyError
    assert budget.capacity == 40


def test_a_gpu_is_measured(monkeypatch):
    """The count of the engine is put right by what the GPU says, with a GPU that is played."""
    memory = {"free": 1000.0, "reserved": 100.0, "allocated": 60.0, "peak": 0.0}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (memory["free"], 2000.0))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: memory["reserved"])
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: memory["allocated"])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: memory["peak"])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    budget = Budget("cuda")
    assert budget.capacity == pytest.approx(SHARE * 1040)
    memory["peak"] = 60.0 + 200.0
    with budget.measuring(100.0):
        pass
    assert budget.capacity == pytest.approx(SHARE * 1040 / 2)
    budget.overflowed(100.0)
    assert budget.capacity == pytest.approx(50.0)
    memory["free"] = 100 * MOST
    assert Budget("cuda").capacity == MOST
