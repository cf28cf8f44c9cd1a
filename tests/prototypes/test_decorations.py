"""What is put where: every decoration can be built, and is there once."""

import pytest

from miad.prototypes.decorations import Decoration, combine, decorations
from miad.prototypes.properties import VOLUMES
from miad.prototypes.structures import STRUCTURE_TYPES


@pytest.fixture(scope="module")
def found() -> list[Decoration]:
    return list(decorations())


def test_every_role_has_an_element_of_its_own_and_every_bond_its_radii(found):
    for one in found:
        kind = STRUCTURE_TYPES[one.kind]
        assert tuple(sorted(one.elements)) == kind.roles, one
        assert len(set(one.elements.values())) == len(one.elements) and set(one.elements.values()) <= set(VOLUMES), one
        assert not one.radii or {role for bond in kind.bonds for role in bond} <= set(one.radii), one


def test_none_comes_twice(found):
    assert len({(one.kind, *sorted(one.elements.items())) for one in found}) == len(found)


def test_every_element_has_a_reference_for_the_hull(found):
    """A compound has no energy above the hull unless all its elements are candidates themselves."""
    pure = {symbol for one in found if len(one.elements) == 1 for symbol in one.elements.values()}
    assert {symbol for one in found for symbol in one.elements.values()} <= pure


def test_choices_are_all_pairs():
    assert list(combine("Fe Co", "O S")) == [("Fe", "O"), ("Fe", "S"), ("Co", "O"), ("Co", "S")]
