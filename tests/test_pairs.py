"""The compiled verdicts are StructureMatcher's, or open."""

import itertools

import numpy as np
import pytest
from test_matching import caesium_chloride, disguises, rock_salt

from miad.comparisons import Stack, fits
from miad.crystal import Crystal
from miad.matching import Group, Rule, compare_group
from miad.reduced import reduce
from miad.screening import NO, OPEN, YES
from miad.screening.pairs import verdicts

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
        made.append(reduce(shaken(parent, generator, float(generator.choice([0.02, 0.3, 0.8])), 0.05)))
    return [cell for cell in made if cell.num_atoms == 8]


def compiled(cells: list[Crystal]) -> np.ndarray:
    return Stack.of(cells).verdicts(np.arange(len(cells)), np.arange(len(cells)))


def test_what_is_certain_is_what_structure_matcher_says() -> None:
    cells = decorations(40, np.random.default_rng(3))
    found = compiled(cells)
    seen = {(verdict, truth): 0 for verdict in (NO, OPEN, YES) for truth in (False, True)}
    for first, second in itertools.permutations(range(len(cells)), 2):
        seen[int(found[first, second]), fits(cells[first], cells[second])] += 1
    assert seen[NO, True] == seen[YES, False] == 0
    assert min(seen[NO, False], seen[YES, True]) > 50
    assert seen[OPEN, False] + seen[OPEN, True] < 0.2 * sum(seen.values())


def test_other_cells_of_one_crystal_are_never_different() -> None:
    assert NO not in compiled([reduce(crystal) for crystal in disguises(rock_salt("a"))])


def test_other_structures_are_different() -> None:
    found = compiled([reduce(rock_salt("a")), reduce(caesium_chloride("b"))])
    assert found[0, 1] == found[1, 0] == NO


@pytest.mark.parametrize("rule", [EITHER, FORWARD])
def test_groups_are_judged_the_same_with_and_without(rule: Rule) -> None:
    cells = decorations(40, np.random.default_rng(4))
    group = Group(cells[:25], cells[25:])
    assert compare_group(group, [rule], is_compiled=True) == compare_group(group, [rule], is_compiled=False)


def test_a_needle_has_no_basis_like_a_cube() -> None:
    needle, cube = np.diag([0.4, 0.4, 6.25])[None], np.eye(3)[None]
    coords, anchors, blocks = np.zeros((1, 1, 3)), np.array([0]), np.array([0, 1])
    assert verdicts(needle, coords, cube, coords, anchors, blocks, 0.2, 0.3, 5.0) == NO
    assert verdicts(cube, coords, needle, coords, anchors, blocks, 0.2, 0.3, 5.0) == NO
    assert verdicts(cube, coords, cube * 1.1, coords, anchors, blocks, 0.2, 0.3, 5.0) == YES


def test_an_edge_at_the_tolerance_is_left_open() -> None:
    coords, anchors, blocks = np.zeros((1, 1, 3)), np.array([0]), np.array([0, 1])
    for factor, expected in ((1.19, YES), (1.2, OPEN), (1.21, NO)):
        stretched = np.diag([factor, 1.0, 1.0])[None]
        assert verdicts(stretched, coords, np.eye(3)[None], coords, anchors, blocks, 0.2, 0.3, 5.0) == expected


def test_real_crystals(real_data) -> None:
    import csv
    import gzip

    from pymatgen.core import Structure

    csv.field_size_limit(10**9)
    generator = np.random.default_rng(0)
    with gzip.open(real_data / "mp_20_rebuilt" / "test.csv.gz", "rt") as text:
        rows = [row for row in csv.DictReader(text) if row["pretty_formula"] in ("SiO2", "LiMnF3")]
    structures = [Structure.from_str(row["cif"], fmt="cif") for row in rows if row["cif"]]
    crystals = [Crystal.from_structure(str(number), one) for number, one in enumerate(structures)]
    cells = [reduce(shaken(one, generator, 0.1, 0.02)) for one in crystals for _ in range(2)]
    for size in {cell.num_atoms for cell in cells}:
        for formula in {cell.reduced_formula for cell in cells}:
            part = [cell for cell in cells if cell.num_atoms == size and cell.reduced_formula == formula]
            found = compiled(part) if part else None
            for first, second in itertools.permutations(range(len(part)), 2):
                verdict = found[first, second]
                assert verdict == OPEN or (verdict == YES) == fits(part[first], part[second])
