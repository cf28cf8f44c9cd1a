"""Pairs within a radius against brute force."""

import numpy as np
import pytest
import torch

from miad.relax.geometry import Geometry, geometry_of
from miad.relax.potentials.neighbours import num_candidates, pairs_within


def random_crystals(seed: int, count: int = 4) -> Geometry:
    """Crystals in skewed cells, atoms in any image."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 6, count)
    lattices = [3.5 * np.eye(3) + 0.8 * random.standard_normal((3, 3)) for _ in sizes]
    coords = [4 * random.random((size, 3)) - 2 for size in sizes]
    return geometry_of(lattices, coords, [np.full(size, 6) for size in sizes], "cpu")


def brute_force(geometry: Geometry, index: int, cutoff: float) -> np.ndarray:
    """Sorted lengths of all pairs of one crystal, each once."""
    coords = geometry.frac_coords[geometry.owners == index].numpy()
    images = np.array(list(np.ndindex(25, 25, 25))) - 12
    apart = (coords[:, None, None] - coords[None, :, None] + images) @ geometry.lattices[index].numpy()
    lengths = np.linalg.norm(apart, axis=-1).ravel()
    # Each pair is seen from both ends.
    return np.sort(lengths[(lengths > 1e-9) & (lengths <= cutoff)])[::2]


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_those_of_brute_force(seed):
    geometry, cutoff = random_crystals(seed), 5.0
    pairs = pairs_within(geometry, cutoff, torch.ones(4, dtype=torch.bool))
    lengths = torch.linalg.vector_norm(pairs.vectors(geometry), dim=1).numpy()
    owners = geometry.owners[pairs.starts].numpy()
    assert (geometry.owners[pairs.ends].numpy() == owners).all()
    for index in range(4):
        np.testing.assert_allclose(np.sort(lengths[owners == index]), brute_force(geometry, index, cutoff), atol=1e-9)


def test_chunks_change_nothing(monkeypatch):
    geometry, everything = random_crystals(1), torch.ones(4, dtype=torch.bool)
    whole = pairs_within(geometry, 6.0, everything)
    monkeypatch.setattr("miad.relax.potentials.neighbours.CHUNK", 100)
    chunked = pairs_within(geometry, 6.0, everything)
    for name in ("starts", "ends", "images"):
        assert torch.equal(getattr(whole, name), getattr(chunked, name))


def test_crystals_that_are_not_chosen_have_no_pairs():
    geometry = random_crystals(2)
    pairs = pairs_within(geometry, 5.0, torch.tensor([False, True, False, True]))
    assert set(geometry.owners[pairs.starts].tolist()) == {1, 3}


def test_flat_and_broken_cells_are_known_to_be_costly():
    flat, broken = np.diag([3.0, 3.0, 1e-7]), np.full((3, 3), np.nan)
    coords = [np.zeros((1, 3))] * 3
    geometry = geometry_of([np.eye(3) * 4, flat, broken], coords, [np.array([6])] * 3, "cpu")
    counts = num_candidates(geometry, 6.0)
    assert counts[0] == 5**3 and counts[1] > 1e8 and counts[2] > 1e8
