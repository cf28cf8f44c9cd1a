"""Work on batches: the same results in their order, in one process and in several."""

import itertools
import os

import pytest

from miad.machine import parallel
from miad.machine.parallel import Processes, in_order


def squared(batch: int, offset: int) -> tuple[int, int]:
    return batch**2 + offset, os.getpid()


def identified(number: int) -> tuple[int, int]:
    return number, os.getpid()


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "num_cores", lambda: 2)


CASES = [(1, False, False), (2, True, False), (2, False, True)]


@pytest.mark.parametrize(("workers", "is_short", "is_elsewhere"), CASES)
def test_results_come_in_order_and_from_processes_if_these_pay(workers: int, is_short, is_elsewhere) -> None:
    with Processes(workers) as processes:
        found = list(processes.map(squared, [3, 1, 2], (5,), "squares", is_short=is_short))
        assert [value for value, _ in found] == [14, 6, 9]
        assert (os.getpid() not in {identity for _, identity in found}) == is_elsewhere


def test_processes_that_have_started_are_used_again() -> None:
    with Processes(2) as processes:
        list(processes.map(squared, range(4), (0,), "a"))
        again = {identity for _, identity in processes.map(squared, range(4), (0,), "b", is_short=True)}
        assert os.getpid() not in again


@pytest.mark.parametrize(("few", "is_elsewhere"), [(0, True), (100, True), (1_000, False)])
def test_a_long_stream_is_worked_on_in_its_order_and_in_processes_after_the_first(few: int, is_elsewhere: bool) -> None:
    found = list(in_order(identified, iter(range(1_000)), few=few))
    assert [number for number, _ in found] == list(range(1_000))
    assert [process == os.getpid() for _, process in found].count(True) == (few if is_elsewhere else 1_000)


def test_a_stream_is_not_taken_into_memory() -> None:
    taken = itertools.count()
    results = in_order(identified, (next(taken) for _ in range(100_000)), few=0)
    next(results)
    results.close()
    assert next(taken) < 100_000 / 10
