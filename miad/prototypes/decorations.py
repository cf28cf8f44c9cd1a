"""Decorations: elements in the places of a structure type.

They are chosen by chemistry (metals.py, salts.py, elements.py), not by stability, which the hull decides afterwards.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field


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


def combine(*groups: str) -> Iterator[tuple[str, ...]]:
    """Every choice of one symbol from each group; a group is text such as `Fe Co Ni`."""
    return itertools.product(*(group.split() for group in groups))
