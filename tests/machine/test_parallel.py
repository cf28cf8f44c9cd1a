"""Work on batches: the same results in their order, in one process and in several."""

import os

import pytest

from miad.machine.parallel import Processes


def squared(batch: int, offset: int) -> tuple[int, int]:
    return batch**2 + offset, os.getpid()


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
