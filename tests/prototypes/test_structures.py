"""Structure types have their space groups, and their cells follow from sizes."""

import pytest

from miad.prototypes.candidates import crystal_of
from miad.prototypes.structures import STRUCTURE_TYPES, Decoration, combine


@pytest.mark.parametrize("name", STRUCTURE_TYPES)
def test_structure_type_has_its_space_group_and_is_primitive(name):
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    kind = STRUCTURE_TYPES[name]
    elements = dict(zip(kind.roles, ("Na", "Cl", "O"), strict=False))
    structure = kind.build(elements, volumes=dict.fromkeys(kind.roles, 15.0))
    assert SpacegroupAnalyzer(structure, symprec=0.01).get_space_group_number() == kind.group
    assert structure.volume == pytest.approx(15.0 * kind.openness * len(structure))
    assert len(structure) == len(structure.get_primitive_structure())


@pytest.mark.parametrize(
    ("kind", "elements", "radii", "edge"),
    [
        ("rocksalt", {"A": "Na", "X": "Cl"}, {"A": 1.02, "X": 1.81}, 5.66),
        ("fluorite", {"A": "Ca", "X": "F"}, {"A": 1.12, "X": 1.31}, 5.61),
        ("perovskite", {"A": "Sr", "B": "Ti", "X": "O"}, {"A": 1.3, "B": 0.605, "X": 1.4}, 4.01),
        ("fcc", {"A": "Cu"}, {}, 3.63),
    ],
)
def test_cell_follows_from_radii_or_volumes(kind, elements, radii, edge):
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    crystal = crystal_of("x", Decoration(kind, elements, radii))
    conventional = SpacegroupAnalyzer(crystal.structure).get_conventional_standard_structure()
    assert conventional.lattice.a == pytest.approx(edge, abs=0.01)


@pytest.mark.parametrize("name", ["rocksalt", "rutile", "perovskite", "alpha-nafeo2", "lead-fluoride-chloride"])
def test_the_tightest_bond_is_the_sum_of_its_radii_and_no_other_is_tighter(name):
    kind = STRUCTURE_TYPES[name]
    elements, radii = {"A": "Na", "B": "Mg", "X": "Cl"}, {"A": 1.3, "B": 0.7, "X": 1.5}
    structure = kind.build(elements, volumes={}, radii=radii)
    centers, neighbors, _, distances = structure.get_neighbor_list(8.0)
    tightness = []
    for first, second in kind.bonds:
        pair = (elements[first], elements[second])
        lengths = [
            distance
            for i, j, distance in zip(centers, neighbors, distances, strict=True)
            if (structure[i].specie.symbol, structure[j].specie.symbol) == pair
        ]
        tightness.append(min(lengths) / (radii[first] + radii[second]))
    assert min(tightness) == pytest.approx(1.0)


def test_choices_are_all_pairs():
    assert list(combine("Fe Co", "O S")) == [("Fe", "O"), ("Fe", "S"), ("Co", "O"), ("Co", "S")]
