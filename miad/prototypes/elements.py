"""Crystals of one element: ground states, their rivals, and every metal in the three structures of metals."""

import itertools
from collections.abc import Iterator

from miad.prototypes.decorations import Decoration
from miad.prototypes.properties import DIMERS, NONMETALS, VOLUMES

# Ground states beyond the three metal structures, and some rivals of theirs.
_SPECIAL = {
    "dhcp": "La Ce Nd Y",
    "samarium": "Sm Li Na Gd",
    "diamond": "C Si Ge Sn",
    "beta-tin": "Sn Si Ge",
    "indium": "In Ga Mn",
    "arsenic": "As Sb Bi P Te",
    "selenium": "S Se Te",
    "graphite": "C B",
    "mercury": "Hg",
    "gallium": "Ga B",
    "iodine": "I Br Cl",
    "black-phosphorus": "P As",
    "simple-hexagonal": "Sn Si Te",
    "fcc": "B Te",
    "bcc": "Te",
    "hcp": "B",
}


def unary() -> Iterator[Decoration]:
    """Crystals of one element."""
    for kind, symbols in _SPECIAL.items():
        yield from (Decoration(kind, {"A": symbol}) for symbol in symbols.split())
    for symbol, bond in DIMERS.items():
        yield Decoration(f"dimers-{symbol}", {"A": symbol}, {"A": bond / 2})
    for kind, symbol in itertools.product(("fcc", "bcc", "hcp"), VOLUMES):
        if symbol not in NONMETALS:
            yield Decoration(kind, {"A": symbol})
