"""Salts: their charges balance, and their sizes fit."""

import itertools

import pytest

from miad.prototypes.properties import ANIONS, CATIONS
from miad.prototypes.salts import binary, ternary, tolerance
from miad.prototypes.structures import STRUCTURE_TYPES

# Anions in pairs (S2 2-), and Mn3AlC and its like, which are metals: no simple charges.
OTHERS = ("marcasite", "antiperovskite")


def multiplicities(name: str) -> dict[str, float]:
    """Number of atoms of each role in the primitive cell."""
    kind = STRUCTURE_TYPES[name]
    elements = dict(zip(kind.roles, ("Na", "Mg", "Cl"), strict=False))
    counts = kind.build(elements, volumes=dict.fromkeys(kind.roles, 15.0)).composition
    return {role: counts[symbol] for role, symbol in elements.items()}


def test_salts_are_neutral():
    charges: dict[str, set[int]] = {}
    for sign, tables in ((1, CATIONS), (-1, ANIONS)):
        for charge, table in tables.items():
            for symbol in table:
                charges.setdefault(symbol, set()).add(sign * charge)
    salts = [one for one in itertools.chain(binary(), ternary()) if one.kind not in OTHERS]
    counts = {kind: multiplicities(kind) for kind in {one.kind for one in salts}}
    for salt in salts:
        options = [{counts[salt.kind][role] * q for q in charges[symbol]} for role, symbol in salt.elements.items()]
        assert any(sum(choice) == 0 for choice in itertools.product(*options)), salt


def test_tolerance_factor_of_strontium_titanate():
    # Goldschmidt: close to 1 for the cubic perovskite.
    assert tolerance(1.18, 0.605, 1.4) == pytest.approx(0.96, abs=0.01)


def test_textbook_salts_are_among_the_candidates():
    found = {(one.kind, *one.elements.values()) for one in itertools.chain(binary(), ternary())}
    for kind, *elements in (
        ("rocksalt", "Na", "Cl"),
        ("cscl", "Cs", "Cl"),
        ("wurtzite", "Zn", "S"),
        ("fluorite", "Ca", "F"),
        ("rutile", "Ti", "O"),
        ("molybdenite", "Mo", "S"),
        ("marcasite", "Fe", "S"),
        ("d0_3", "F", "Bi"),  # the anions are the majority, role A
        ("perovskite", "Sr", "Ti", "O"),
        ("perovskite", "Cs", "Pb", "I"),
        ("alpha-nafeo2", "Na", "Fe", "O"),
        ("delafossite", "Cu", "Al", "O"),
        ("lead-fluoride-chloride", "Pb", "F", "Cl"),
    ):
        assert (kind, *elements) in found, (kind, elements)
    # Too small for eight neighbours, too large for four.
    assert not {("fluorite", "Be", "F"), ("zincblende", "Cs", "Cl"), ("perovskite", "Li", "Pb", "O")} & found
