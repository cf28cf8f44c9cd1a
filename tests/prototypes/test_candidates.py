"""Candidates: every decoration can be built, and is there once."""

import pytest

from miad.prototypes.candidates import candidates, decorations
from miad.prototypes.properties import VOLUMES
from miad.prototypes.structures import STRUCTURE_TYPES, Decoration


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


def test_candidates_depend_on_the_seed_only_in_their_order():
    first, again, other = candidates(0), candidates(0), candidates(1)
    assert [c.source_id for c in first] == [c.source_id for c in again]
    assert [c.source_id for c in first] != [c.source_id for c in other]
    assert len({c.crystal_id for c in first}) == len(first)
    names = [c.source_id for c in first]
    assert {"rutile", "heusler", "perovskite"} <= {name.split(":")[0] for name in names}
