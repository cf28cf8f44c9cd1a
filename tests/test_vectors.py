"""Compiled geometry against numpy and pymatgen."""

import numpy as np
import pytest
from pymatgen.core import Lattice

from miad.screening.vectors import angle, mean_metric, shape_of, square, triple

LATTICE = Lattice.from_parameters(3.0, 4.0, 5.5, 80, 95, 110)


def test_edges_and_angles() -> None:
    shape = np.empty(6)
    shape_of(np.array(LATTICE.matrix), shape)
    assert shape == pytest.approx(LATTICE.parameters)


def test_the_triple_product_is_the_volume() -> None:
    assert abs(triple(*np.array(LATTICE.matrix))) == pytest.approx(LATTICE.volume)


def test_the_mean_of_two_lattices_has_the_mean_edges_and_angles() -> None:
    other = Lattice.from_parameters(3.4, 4.2, 5.1, 84, 91, 108)
    metric = np.empty((3, 3))
    mean_metric(LATTICE.abc, LATTICE.angles, np.array(other.parameters), metric)
    mean = Lattice.from_parameters(*(np.array(LATTICE.parameters) + other.parameters) / 2)
    assert metric == pytest.approx(mean.matrix @ mean.matrix.T)
    assert square(0.3, -0.2, 0.9, metric) == pytest.approx((np.array([0.3, -0.2, 0.9]) @ mean.matrix) ** 2 @ np.ones(3))


def test_the_angle_of_parallel_vectors_is_zero_despite_rounding() -> None:
    vector = np.array([0.1, 0.2, 0.3])
    length = float(np.linalg.norm(vector)) * (1 - 1e-15)
    assert angle(vector, vector, length, length) == 0.0
