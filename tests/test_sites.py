"""Verdicts on the sites alone, in a cubic cell of 1 Å³ per atom, where r is 0.3 Å."""

import numpy as np
import pytest

from miad.screening import NO, OPEN, YES
from miad.screening.sites import verdict_of_sites

N = 8  # atoms; the cell has an edge of 2 Å
METRIC = np.eye(3) * 4.0
PLACES = np.array([[x, y, z] for x in (0.0, 0.5) for y in (0.0, 0.5) for z in (0.0, 0.5)])
TWO_ELEMENTS = np.array([0, 1, N])


def verdict(second: np.ndarray, blocks: np.ndarray = TWO_ELEMENTS, anchor: int = 0) -> int:
    return verdict_of_sites(PLACES, second, anchor, blocks, METRIC, 0.3)


def moved(distance: float, site: int = 7) -> np.ndarray:
    """The same places, one site moved along x (Å)."""
    second = PLACES.copy()
    second[site, 0] += distance / 2
    return second


def test_the_same_sites_match_after_any_common_shift() -> None:
    assert verdict(PLACES) == YES
    assert verdict(PLACES + np.array([0.13, 0.77, 0.4])) == YES


@pytest.mark.parametrize(("largest", "expected"), [(0.29, YES), (0.3, OPEN), (0.31, NO)])
def test_the_largest_displacement_counts_after_taking_out_the_mean(largest: float, expected: int) -> None:
    # one of eight sites moves by d: the mean is d/8, and what remains of the largest is 7 d/8
    assert verdict(moved(largest * 8 / 7)) == expected


def test_sites_of_other_elements_are_no_partners() -> None:
    swapped = PLACES.copy()
    swapped[[0, 7]] = swapped[[7, 0]]
    # with the lone atom moved to another place all places are equivalent; with two elements apart they are not
    assert verdict(swapped) == YES
    ordered, shuffled = np.array([0, 2, N]), PLACES.copy()
    shuffled[[1, 7]] = shuffled[[7, 1]]  # neighbours in one cell, across the diagonal in the other
    assert verdict(shuffled, ordered) == NO


def test_pairings_of_equal_cost_are_left_open() -> None:
    # two like sites, both half way between the places of two others
    first = np.array([[0.0, 0, 0], [0.5, 0, 0], [0.5, 0.2, 0]])
    second = np.array([[0.0, 0, 0], [0.5, 0.1, 0], [0.5, 0.1, 0]])
    assert verdict_of_sites(first, second, 0, np.array([0, 1, 3]), np.eye(3) * 3 ** (2 / 3), 0.3) == OPEN
