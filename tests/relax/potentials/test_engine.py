"""Engines: which forces belong to whom when some of several crystals are asked for."""

import numpy as np
import pytest
import torch

from miad.relax.geometry import Geometry, geometry_of
from tests.builders.potentials import Atoms, Evaluation, ListEngine, single_points

SIZES = (1, 3, 2)


def crystals() -> list[Atoms]:
    """Crystals of different sizes; no two numbers of theirs are the same."""
    random = np.random.default_rng(0)
    starts = np.cumsum((1, *SIZES[:-1]))
    numbers = [np.arange(first, first + size) for first, size in zip(starts, SIZES, strict=True)]
    return [Atoms(3 * np.eye(3) + random.random((3, 3)), random.random((len(one), 3)), one) for one in numbers]


def together(given: list[Atoms]) -> Geometry:
    """The geometry of crystals."""
    lattices, frac_coords = [one.lattice for one in given], [one.frac_coords for one in given]
    return geometry_of(lattices, frac_coords, [one.atomic_numbers for one in given], "cpu")


def telling(given: list[Atoms]) -> list[Evaluation]:
    """A potential whose results tell whom they were made of."""
    return [
        Evaluation(float(one.atomic_numbers.sum()), one.frac_coords * one.atomic_numbers[:, None], one.lattice)
        for one in given
    ]


def test_atoms_of_some_crystals_are_theirs():
    given = crystals()
    geometry = together(given)
    found = geometry.arrays(torch.tensor([True, False, True]))
    for (lattice, frac_coords, numbers), expected in zip(found, (given[0], given[2]), strict=True):
        np.testing.assert_array_equal(lattice, expected.lattice)
        np.testing.assert_array_equal(frac_coords, expected.frac_coords)
        np.testing.assert_array_equal(numbers, expected.atomic_numbers)


def test_results_of_some_crystals_are_in_their_order():
    given = crystals()
    geometry = together(given)
    engine = ListEngine(telling, "cpu", bytes_per_atom=10.0)
    loads, problems = engine.refresh(geometry)
    assert loads.tolist() == [10, 30, 20] and problems == {}
    energies, forces, virials = engine.evaluate(geometry, torch.tensor([False, True, True]))
    expected = telling(given[1:])
    assert energies.tolist() == [one.energy for one in expected]
    np.testing.assert_array_equal(forces, np.concatenate([one.forces for one in expected]))
    np.testing.assert_array_equal(virials, [one.virial for one in expected])
    assert {part.dtype for part in (energies, forces, virials)} == {torch.float64}


class Remembering(ListEngine):
    """An engine that refuses some crystals and has to be told to forget the others."""

    def __init__(self, problems: dict[int, str]) -> None:
        super().__init__(telling, "cpu", 1.0)
        self.problems, self.known = problems, 0

    def refresh(self, geometry):
        self.known = len(geometry.sizes)
        return super().refresh(geometry)[0], self.problems

    def select(self, kept):
        self.known = int(kept.sum())


def test_single_points_are_one_evaluation_a_crystal_and_leave_nothing_behind():
    engine = Remembering({})
    for found, expected in zip(single_points(engine, crystals()), telling(crystals()), strict=True):
        assert found.energy == expected.energy
        np.testing.assert_array_equal(found.forces, expected.forces)
        np.testing.assert_array_equal(found.virial, expected.virial)
    assert engine.known == 0


def test_single_points_name_the_crystals_that_cannot_be_evaluated():
    with pytest.raises(ValueError, match="crystal 0: too dense; crystal 2: lonely"):
        single_points(Remembering({2: "lonely", 0: "too dense"}), crystals())
