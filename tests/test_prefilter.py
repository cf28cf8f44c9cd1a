"""The compiled test may pass too much, never too little."""

import itertools

import numpy as np
import pytest
from test_matching import caesium_chloride, disguises, rock_salt

from miad.crystal import Crystal
from miad.matching import Comparisons, Group, Rule, compare_group, fits
from miad.prefilter import screen
from miad.reduced import reduce

EITHER, FORWARD = Rule("either", "components"), Rule("forward", "first_seen")


def shaken(crystal: Crystal, generator: np.random.Generator, displacement: float, strain: float) -> Crystal:
    """Atoms moved (Å) and the cell strained at random."""
    moved = crystal.frac_coords @ crystal.lattice + generator.normal(size=(crystal.num_atoms, 3)) * displacement
    lattice = crystal.lattice @ (np.eye(3) + generator.normal(size=(3, 3)) * strain)
    return crystal.replace(lattice=lattice, frac_coords=np.mod(moved @ np.linalg.inv(crystal.lattice), 1.0))


def decorations(num: int, generator: np.random.Generator) -> list[Crystal]:
    """Na4Cl2Br2 with its anions in random order on rock salt, shaken: some the same, some not, some nearly."""
    made = []
    for index in range(num):
        numbers = np.concatenate([[11] * 4, generator.permutation([17, 17, 35, 35])])
        parent = rock_salt(f"d{index}").replace(atomic_numbers=numbers)
        parent = parent.replace(frac_coords=parent.frac_coords * [1, 1, 1])
        made.append(reduce(shaken(parent, generator, *generator.choice([0.02, 0.3, 0.8], 1), 0.05)))
    return [cell for cell in made if cell.num_atoms == 8]


def test_nothing_that_structure_matcher_accepts_is_rejected() -> None:
    generator = np.random.default_rng(3)
    cells = decorations(45, generator)
    comparisons = Comparisons(cells, is_screened=True)
    outcomes = {(False, False): 0, (True, True): 0, (True, False): 0}
    for first, second in itertools.permutations(range(len(cells)), 2):
        might = bool(comparisons.possible(FORWARD, [first], second))
        outcomes[might, fits(cells[first], cells[second])] += 1  # a KeyError is a match that was rejected
    assert min(outcomes[True, True], outcomes[False, False]) > 50


def test_other_cells_of_one_crystal_always_pass() -> None:
    cells = [reduce(crystal) for crystal in disguises(rock_salt("a"))]
    comparisons = Comparisons(cells, is_screened=True)
    for first, second in itertools.permutations(range(len(cells)), 2):
        assert comparisons.possible(FORWARD, [first], second) == [first]


def test_other_structures_are_rejected() -> None:
    cells = [reduce(rock_salt("a")), reduce(caesium_chloride("b"))]
    assert Comparisons(cells, is_screened=True).possible(EITHER, [0], 1) == []


@pytest.mark.parametrize("rule", [EITHER, FORWARD])
def test_verdicts_are_the_same_with_and_without(rule: Rule) -> None:
    cells = decorations(40, np.random.default_rng(4))
    group = Group(cells[:25], cells[25:])
    assert compare_group(group, [rule], is_screened=True) == compare_group(group, [rule], is_screened=False)


def test_the_first_cell_lends_its_basis_to_the_second() -> None:
    # A needle has no vector as short as the edges of a cube, and the other way round.
    needle, cube = np.diag([0.4, 0.4, 6.25])[None], np.eye(3)[None]
    coords, blocks = np.zeros((1, 1, 3)), np.array([0, 1])
    assert not screen(needle, coords, cube, coords, blocks, 0.2, 0.3, 5.0).any()
    assert not screen(cube, coords, needle, coords, blocks, 0.2, 0.3, 5.0).any()
    assert screen(cube, coords, cube * 1.1, coords, blocks, 0.2, 0.3, 5.0).all()
