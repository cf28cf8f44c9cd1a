"""MatterGen's disordered matching: crystals that are orderings of one alloy are the same."""

import pytest
from pymatgen.core import Element, Lattice, Structure

from miad.core.crystal import Crystal
from miad.sun.matching.disordered import alloy, is_replaceable
from miad.sun.matching.groups import Rule, compare
from miad.sun.matching.reduced import reduce
from tests.builders.crystals import rock_salt

DISORDERED = Rule("sample_first_disordered", "first_seen")
ORDERED = Rule("sample_first", "first_seen")
FCC = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]


def fcc(name: str, species: list[str], times: tuple[int, int, int] = (1, 1, 1)) -> Crystal:
    """Atoms on the sites of a face-centred cubic cell, repeated."""
    sites = Structure(Lattice.cubic(3.9), ["Cu"] * 4, FCC) * times
    structure = Structure(sites.lattice, species * (len(sites) // len(species)), sites.frac_coords)
    return Crystal.from_structure(name, structure)


def layered(name: str, first: str = "Cu", second: str = "Au") -> Crystal:
    """L1_0: layers of two elements along c."""
    return fcc(name, [first, first, second, second])


def doubled_layers(name: str, first: str = "Cu", second: str = "Au") -> Crystal:
    """Two layers of one element, then two of the other: the same formula, not the same order."""
    cell = fcc(name, ["Cu"] * 4, (1, 1, 2)).structure
    species = [first if site.frac_coords[2] % 1 < 0.49 else second for site in cell]
    return Crystal.from_structure(name, Structure(cell.lattice, species, cell.frac_coords))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("Cu", "Au", True), ("Na", "K", True), ("Na", "Cl", False), ("Li", "Cs", False), ("He", "Ne", False)],
)
def test_like_elements_replace_each_other(one: str, other: str, expected: bool) -> None:
    # Na–Cl differ by 2.3 in electronegativity, Li–Cs by 57 % in radius; noble gases have no radius.
    assert is_replaceable(Element(one), Element(other)) == is_replaceable(Element(other), Element(one)) == expected


def test_an_alloy_has_the_shares_of_the_formula_and_the_smaller_cell() -> None:
    [site] = alloy(layered("a"))
    assert {str(element): share for element, share in site.species.items()} == {"Cu": 0.5, "Au": 0.5}
    assert alloy(rock_salt("salt")) is None


def test_elements_are_joined_over_a_third_one() -> None:
    trio = [Element("Na"), Element("K"), Element("Cs")]
    assert [is_replaceable(trio[i], trio[j]) for i, j in ((0, 1), (1, 2), (0, 2))] == [True, True, False]
    [site] = alloy(fcc("abc", ["Na", "K", "Cs", "Cs"]))
    assert {str(element): share for element, share in site.species.items()} == {"Na": 0.25, "K": 0.25, "Cs": 0.5}


def test_orderings_of_one_alloy_are_the_same_whatever_their_cells() -> None:
    samples, known = [layered("a"), doubled_layers("b")], [doubled_layers("k")]
    found = compare(samples, known, [ORDERED, DISORDERED], workers=1)
    assert found[ORDERED].known_as == {"b": "k"} and found[ORDERED].group == {"a": "a", "b": "b"}
    assert found[DISORDERED].known_as == {"a": "k", "b": "k"} and found[DISORDERED].group == {"a": "a", "b": "a"}


def test_unlike_elements_are_not_swapped() -> None:
    samples, known = [layered("a", "Na", "Cl")], [doubled_layers("k", "Na", "Cl")]
    assert reduce(samples[0]) is not None
    assert compare(samples, known, [DISORDERED], workers=1)[DISORDERED].known_as == {}


def test_another_lattice_is_another_alloy() -> None:
    body_centred = Structure(Lattice.cubic(3.1), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    known = [Crystal.from_structure("k", body_centred)]
    assert compare([layered("a")], known, [DISORDERED], workers=1)[DISORDERED].known_as == {}
