"""The tables of sizes and valences, against the periodic table."""

import itertools

from pymatgen.core import Element

from miad.prototypes.properties import ANIONS, CATIONS, DIMERS, ELECTRONS, VOLUMES


def test_no_radioactive_elements_and_no_noble_gases():
    assert not {"He", "Ne", "Ar", "Kr", "Xe", "Rn", "Tc", "Pm", "Po", "At", "Ac", "Th", "U"} & set(VOLUMES)


def test_every_element_that_a_salt_may_have_has_a_volume():
    """A salt whose relaxed volume cannot be judged would stop the sifting."""
    used = {symbol for table in (*CATIONS.values(), *ANIONS.values()) for symbol in table}
    assert used | set(ELECTRONS) | set(DIMERS) <= set(VOLUMES)


def test_valence_electrons_follow_from_the_group():
    """s and d electrons of the transition metals, s and p of the main groups; the rare earths give three."""
    for symbol, number in ELECTRONS.items():
        element = Element(symbol)
        group = 3 if element.is_lanthanoid else element.group
        assert number == (group if group <= 12 else group - 10), symbol


def test_cations_shrink_with_their_charge():
    for symbol in VOLUMES:
        radii = [CATIONS[charge][symbol] for charge in sorted(CATIONS) if symbol in CATIONS[charge]]
        assert all(more < less for less, more in itertools.pairwise(radii)), symbol


def test_anions_grow_down_their_group():
    for table in ANIONS.values():
        ordered = sorted((symbol for symbol in table if symbol != "H"), key=lambda symbol: Element(symbol).Z)
        assert len({Element(symbol).group for symbol in ordered}) == 1
        assert all(table[a] < table[b] for a, b in itertools.pairwise(ordered))
