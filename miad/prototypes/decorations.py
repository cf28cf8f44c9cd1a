"""Which elements go where: the candidates of the data set.

The lists are chosen by chemistry, not by what turns out stable; the hull decides that afterwards.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from miad.prototypes.properties import DIMERS, NONMETALS, VOLUMES


@dataclass(frozen=True)
class Decoration:
    """Elements in the places of a structure type.

    Attributes:
        kind: name of the structure type.
        elements: element symbol by role.
        radii: Å by role, for salts; empty for what is packed by volume.
    """

    kind: str
    elements: dict[str, str]
    radii: dict[str, float] = field(default_factory=dict)


def decorations() -> Iterator[Decoration]:
    """All candidates of the built-in data set, in a fixed order, without repetition."""
    from miad.prototypes import metals, salts

    seen = set()
    for decoration in itertools.chain(_elements(), salts.binary(), salts.ternary(), metals.binary(), metals.ternary()):
        key = (decoration.kind, *sorted(decoration.elements.items()))
        if key not in seen and len(set(decoration.elements.values())) == len(decoration.elements):
            seen.add(key)
            yield decoration


def combine(*groups: str) -> Iterator[tuple[str, ...]]:
    """Every choice of one symbol from each group; a group is text such as `Fe Co Ni`."""
    return itertools.product(*(group.split() for group in groups))


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


def _elements() -> Iterator[Decoration]:
    for kind, symbols in _SPECIAL.items():
        yield from (Decoration(kind, {"A": symbol}) for symbol in symbols.split())
    for symbol, bond in DIMERS.items():
        yield Decoration(f"dimers-{symbol}", {"A": symbol}, {"A": bond / 2})
    for kind, symbol in itertools.product(("fcc", "bcc", "hcp"), VOLUMES):
        if symbol not in NONMETALS:
            yield Decoration(kind, {"A": symbol})
