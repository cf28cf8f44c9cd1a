"""The estimate of core-hours: square of the valence electrons, more where a single k-point is left."""

import numpy as np
import pytest

from miad.core.crystal import Crystal
from miad.dft.cost import core_hours, valence_electrons


def test_costs_grow_with_the_square_of_the_valence_electrons():
    def cell(count: int, edge: float) -> Crystal:
        return Crystal("x", edge * np.eye(3), np.random.default_rng(0).random((count, 3)), np.full(count, 14))

    # Fe_pv: 3p6 3d7 4s1; Si: 3s2 3p2.
    assert (valence_electrons(26), valence_electrons(14)) == (14, 4)
    assert core_hours(cell(25, 8.0), 40.0) == pytest.approx(40.0)
    assert core_hours(cell(50, 8.0), 40.0) == pytest.approx(160.0)
    # Once a single k-point is left, a larger cell costs more.
    assert core_hours(cell(25, 60.0), 40.0) > core_hours(cell(25, 20.0), 40.0)
