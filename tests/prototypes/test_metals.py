"""Compounds of metals: the textbook ones are candidates, those of a wrong size or electron count are not."""

import itertools

from miad.prototypes.metals import binary, ternary


def test_textbook_compounds_are_among_the_candidates():
    found = {(one.kind, *one.elements.values()) for one in itertools.chain(binary(), ternary())}
    for kind, *elements in (
        ("laves-c15", "Mg", "Cu"),
        ("calcium-copper-5", "Ca", "Cu"),
        ("l1_0", "Fe", "Pt"),
        ("l1_2", "Ni", "Al"),
        ("d0_22", "Al", "Ti"),
        ("cscl", "Ti", "Ni"),
        ("tungsten-carbide", "W", "C"),
        ("aluminium-boride", "Mg", "B"),
        ("half-heusler", "Ti", "Ni", "Sn"),
        ("half-heusler", "Li", "Mg", "As"),
        ("heusler", "Co", "Mn", "Si"),
        ("zirconium-beryllium-silicide", "Ca", "Cu", "As"),
        ("thorium-chromium-silicide", "Ba", "Fe", "As"),
        ("lead-fluoride-chloride", "As", "Fe", "Li"),
    ):
        assert (kind, *elements) in found, (kind, elements)
    # The small atom in the place of the large one; 17 and 19 valence electrons instead of 18.
    odd = {("laves-c15", "Cu", "Mg"), ("calcium-copper-5", "Cu", "Ca")}
    odd |= {("half-heusler", "Ti", "Co", "Sn"), ("half-heusler", "Ti", "Ni", "Sb")}
    assert not odd & found
