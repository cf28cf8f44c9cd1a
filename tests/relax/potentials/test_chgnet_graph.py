"""The lists behind CHGNet's graph: searched seldom, and never short of a bond."""

import numpy as np
import pytest
import torch

from miad.relax.geometry import Geometry, geometry_of
from miad.relax.potentials.chgnet_graph import ANGLE_CUTOFF, BOND_CUTOFF, Graph, Lists

SIZES = (1, 4, 7)


def crystals(random: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Lattices, coordinates and numbers of three crystals."""
    lattices = [(2.2 * size ** (1 / 3) + 0.8) * np.eye(3) + 0.2 * random.standard_normal((3, 3)) for size in SIZES]
    coords = [random.random((size, 3)) for size in SIZES]
    return lattices, coords, [np.full(size, 6) for size in SIZES]


def described(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """Sorted lengths of the bonds of a graph, and sorted cosines of its angles."""
    vectors = graph.vectors.numpy()
    lengths = np.linalg.norm(vectors, axis=1)
    short = vectors[: graph.num_short] / lengths[: graph.num_short, None]
    outward = np.concatenate([short, -short])
    first, second = graph.corners.numpy().T
    return np.sort(lengths), np.sort((outward[first] * outward[second]).sum(axis=1))


def graph_of(lists: Lists, geometry: Geometry, chosen: list[bool] | None = None) -> Graph:
    """The graph after a refresh that found nothing wrong."""
    _, problems = lists.refresh(geometry)
    assert not problems
    return lists.graph(geometry, torch.tensor(chosen or [True] * len(geometry.sizes)))


@pytest.mark.parametrize("step", [0.02, 0.3])
def test_a_walk_of_any_step_sees_the_bonds_of_a_fresh_search(step):
    random = np.random.default_rng(0)
    lattices, coords, numbers = crystals(random)
    lists = Lists(limit=1e9)
    for _ in range(12):
        geometry = geometry_of(lattices, coords, numbers, "cpu")
        walked, fresh = graph_of(lists, geometry), graph_of(Lists(limit=1e9), geometry)
        for found, expected in zip(described(walked), described(fresh), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-9)
        assert (torch.linalg.vector_norm(walked.vectors[: walked.num_short], dim=1) < ANGLE_CUTOFF).all()
        assert (torch.linalg.vector_norm(walked.vectors, dim=1) < BOND_CUTOFF).all()
        coords = [part + step / 5 * random.standard_normal(part.shape) for part in coords]
        lattices = [part @ (np.eye(3) + 0.05 * step * random.standard_normal((3, 3))) for part in lattices]
    if step < 0.1:
        assert lists.num_searches < 12  # of 36


def test_only_the_crystal_that_moved_is_searched_again():
    lattices, coords, numbers = crystals(np.random.default_rng(1))
    lists = Lists(limit=1e9)
    graph_of(lists, geometry_of(lattices, coords, numbers, "cpu"))
    graph_of(lists, geometry_of(lattices, coords, numbers, "cpu"))
    assert lists.num_searches == 3
    drifted = [part + 0.3 for part in coords]  # all atoms alike: no distance has changed
    graph_of(lists, geometry_of(lattices, drifted, numbers, "cpu"))
    assert lists.num_searches == 3
    coords[2] = coords[2] + 0.2 * np.eye(3)[np.zeros(7, dtype=int)] * np.arange(7)[:, None] / 7
    graph_of(lists, geometry_of(lattices, coords, numbers, "cpu"))
    assert lists.num_searches == 4


def test_crystals_come_and_go():
    lattices, coords, numbers = crystals(np.random.default_rng(2))
    lists = Lists(limit=1e9)
    graph_of(lists, geometry_of(lattices, coords, numbers, "cpu"))
    lists.select(torch.tensor([True, False, True]))
    order = [0, 2, 1]  # the one that left comes back, at the end
    turned = geometry_of(*([part[i] for i in order] for part in (lattices, coords, numbers)), "cpu")
    for found, expected in zip(
        described(graph_of(lists, turned)), described(graph_of(Lists(1e9), turned)), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-9)
    assert lists.num_searches == 4


def test_the_graph_of_some_is_theirs_alone():
    lattices, coords, numbers = crystals(np.random.default_rng(3))
    lists = Lists(limit=1e9)
    some = graph_of(lists, geometry_of(lattices, coords, numbers, "cpu"), [True, False, True])
    alone = geometry_of(*([part[i] for i in (0, 2)] for part in (lattices, coords, numbers)), "cpu")
    expected = graph_of(Lists(limit=1e9), alone)
    assert some.num_crystals == 2 and torch.equal(some.owners, expected.owners)
    for here, there in zip(described(some), described(expected), strict=True):
        np.testing.assert_allclose(here, there, atol=1e-9)


def test_what_does_not_fit_is_refused_before_it_is_made():
    dense, thin = np.eye(3) * 0.52, np.diag([0.02, 40.0, 40.0])
    numbers = [np.array([26])] * 3
    geometry = geometry_of([dense, thin, np.eye(3) * 3], [np.zeros((1, 3))] * 3, numbers, "cpu")
    loads, problems = Lists(limit=1e9).refresh(geometry)
    assert set(problems) == {0, 1} and all("out of memory" in reason for reason in problems.values())
    assert 0 < loads[2] < 1e8


def test_a_lonely_atom_is_told():
    geometry = geometry_of([np.eye(3) * 50], [np.zeros((1, 3))], [np.array([11])], "cpu")
    _, problems = Lists(limit=1e9).refresh(geometry)
    assert problems == {0: "no atom has a neighbour within 6 Å"}
