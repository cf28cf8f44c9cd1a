"""The screen rules out only what StructureMatcher refuses, and nearly all of that."""

import csv
import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest

from miad.core.crystal import Crystal
from miad.sun.matching.comparisons import Screen, fits
from miad.sun.matching.groups import Group, Rule, compare_group
from miad.sun.matching.reduced import reduce
from tests.builders.crystals import caesium_chloride, disguises, rock_salt

RULES = [Rule("either", "components"), Rule("sample_first", "first_seen"), Rule("sample_first_rms", "first_seen")]


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
        made.append(reduce(shaken(parent, generator, float(generator.choice([0.02, 0.3, 0.8])), 0.05)))
    return [cell for cell in made if cell.num_atoms == 8]


def could_match(cells: list[Crystal]) -> np.ndarray:
    every = np.arange(len(cells))
    return Screen.of(cells).could_match(every, every)


def tally(cells: list[Crystal]) -> dict[tuple[bool, bool], int]:
    """Numbers of ordered pairs by (not ruled out, StructureMatcher's verdict)."""
    found = could_match(cells)
    seen = dict.fromkeys(itertools.product((False, True), repeat=2), 0)
    for first, second in itertools.permutations(range(len(cells)), 2):
        seen[bool(found[first, second]), fits(cells[first], cells[second])] += 1
    return seen


def test_nothing_that_structure_matcher_accepts_is_ruled_out() -> None:
    seen = tally(decorations(40, np.random.default_rng(3)))
    assert seen[False, True] == 0
    assert seen[True, True] > 50
    assert seen[False, False] > 10 * seen[True, False]


def test_other_cells_of_one_crystal_are_never_ruled_out() -> None:
    assert could_match([reduce(crystal) for crystal in disguises(rock_salt("a"))]).all()


def test_other_structures_are() -> None:
    assert np.array_equal(could_match([reduce(rock_salt("a")), reduce(caesium_chloride("b"))]), np.eye(2))


@pytest.mark.parametrize("rule", RULES)
def test_groups_are_judged_the_same_with_and_without(rule: Rule) -> None:
    cells = decorations(40, np.random.default_rng(4))
    group = Group(cells[:25], cells[25:])
    assert compare_group(group, [rule], is_screened=True) == compare_group(group, [rule], is_screened=False)


def atom(lattice: np.ndarray) -> Crystal:
    return Crystal("atom", lattice, np.zeros((1, 3)), np.array([11]))


@pytest.mark.parametrize("factor", [1.0, 1.19, 1.2, 1.21])
def test_edges_are_ruled_out_from_the_tolerance_on(factor: float) -> None:
    # Edges of 1 Å and of `factor` Å, scaled to equal volumes: shape and scale as StructureMatcher compares them.
    cells = [atom(np.eye(3)), atom(np.diag([factor**2, 1 / factor, 1 / factor]))]
    assert could_match(cells)[1, 0] == (factor == 1.0) == fits(cells[1], cells[0])
    cells = [atom(np.eye(3)), atom(np.diag([factor, 1.0, 1 / factor]))]
    assert could_match(cells)[1, 0] == (factor <= 1.2)
    assert could_match(cells)[1, 0] or not fits(cells[1], cells[0])


def test_a_needle_is_unlike_a_cube() -> None:
    assert np.array_equal(could_match([atom(np.eye(3)), atom(np.diag([0.4, 0.4, 6.25]))]), np.eye(2))


def test_sites_further_apart_than_twice_the_limit_are_ruled_out() -> None:
    # One Na–Cl distance along z in a cell of 2 Å³ per atom; r = 0.3 · 2^⅓ = 0.378 Å, about half of which is taken out
    # with the mean displacement: StructureMatcher's limit is a difference of 2 r.
    def pair(distance: float) -> Crystal:
        return Crystal("p", np.diag([1.0, 1.0, 4.0]), np.array([[0, 0, 0], [0, 0, distance / 4]]), np.array([11, 17]))

    limit = 2 * 0.3 * 2 ** (1 / 3)
    for apart, expected in ((0.99 * limit, True), (1.01 * limit, False)):
        cells = [pair(1.0), pair(1.0 + apart)]
        assert could_match(cells)[0, 1] == expected == fits(*cells)


def test_real_crystals(real_data: Path) -> None:
    from pymatgen.core import Structure

    csv.field_size_limit(10**9)
    generator = np.random.default_rng(0)
    with gzip.open(real_data / "mp_20_rebuilt" / "test.csv.gz", "rt") as text:
        rows = [row for row in csv.DictReader(text) if row["pretty_formula"] in ("SiO2", "LiMnF3")]
    structures = [Structure.from_str(row["cif"], fmt="cif") for row in rows if row["cif"]]
    crystals = [Crystal.from_structure(str(number), one) for number, one in enumerate(structures)]
    cells = [reduce(shaken(one, generator, 0.1, 0.02)) for one in crystals for _ in range(2)]
    parts: dict[tuple[str, int], list[Crystal]] = {}
    for cell in cells:
        parts.setdefault((cell.reduced_formula, cell.num_atoms), []).append(cell)
    for part in parts.values():
        assert tally(part)[False, True] == 0
