"""The cheapest pairing and the next one, against trying all of them."""

import itertools

import numpy as np
import pytest

from miad.screening.assignment import assign


def all_totals(costs: np.ndarray) -> list[float]:
    n = len(costs)
    return sorted(costs[np.arange(n), list(order)].sum() for order in itertools.permutations(range(n)))


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_against_all_pairings(n: int) -> None:
    generator = np.random.default_rng(n)
    for _ in range(20):
        costs, partner = generator.random((n, n)), np.empty(n, dtype=np.int64)
        gap = assign(costs, 1.0, partner)
        best, *others = all_totals(costs)
        assert sorted(partner) == list(range(n))
        assert costs[np.arange(n), partner].sum() == pytest.approx(best)
        assert gap == pytest.approx(others[0] - best if others else np.inf, abs=1e-9)


def test_against_scipy_with_forbidden_pairs() -> None:
    from scipy.optimize import linear_sum_assignment

    generator = np.random.default_rng(0)
    num_possible = 0
    for _ in range(50):
        costs, partner = generator.random((8, 8)), np.empty(8, dtype=np.int64)
        costs[generator.random((8, 8)) < 0.6] = np.inf
        gap = assign(costs, 1.0, partner)
        try:
            rows, columns = linear_sum_assignment(costs)
        except ValueError:
            assert gap == -1
            continue
        num_possible += 1
        assert costs[np.arange(8), partner].sum() == pytest.approx(costs[rows, columns].sum())
    assert 0 < num_possible < 50


def test_equal_pairings_have_no_gap() -> None:
    assert assign(np.ones((3, 3)), 1.0, np.empty(3, dtype=np.int64)) == pytest.approx(0.0, abs=1e-12)
