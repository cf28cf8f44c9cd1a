"""Compact cells and the shortest distance in them."""

import numpy as np
import pytest

from miad.core.cells import closest_distance, compact


@pytest.mark.parametrize("seed", range(5))
def test_closest_distance_is_that_of_brute_force(seed):
    random = np.random.default_rng(seed)
    lattice, coords = 4 * np.eye(3) + 2 * random.standard_normal((3, 3)), random.random((4, 3))
    images = np.array(list(np.ndindex(17, 17, 17))) - 8
    apart = coords[:, None, None] - coords[None, :, None] + images  # (4, 4, n_images, 3)
    lengths = np.linalg.norm(apart @ lattice, axis=-1)
    assert closest_distance(lattice, coords) == pytest.approx(lengths[lengths > 1e-9].min())


def test_usual_cells_stay_as_they_are():
    lattice, coords = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0.0]]), np.array([[0.1, 1.2, -3.0]])
    same, kept = compact(lattice, coords)
    assert same is lattice and kept is coords


def test_a_skewed_cell_is_the_same_crystal_in_a_compact_one():
    skewed = np.diag([3.0, 4.0, 5.0]) + np.array([[0, 0, 0], [90.0, 0, 0], [-60.0, 100.0, 0]])
    coords = np.array([[0.2, 0.3, 0.4]])
    lattice, frac = compact(skewed, coords)
    np.testing.assert_allclose(sorted(np.linalg.norm(lattice, axis=1)), [3, 4, 5], atol=1e-9)
    np.testing.assert_allclose(frac @ lattice, coords @ skewed, atol=1e-9)
