"""Candidates of the data set: every decoration of every structure type, as unrelaxed crystals."""

import itertools
import random
from collections.abc import Iterator

from miad.core.crystal import Crystal
from miad.prototypes import metals, salts
from miad.prototypes.properties import DIMERS, NONMETALS, VOLUMES, rows
from miad.prototypes.structures import STRUCTURE_TYPES, Decoration

NUM_CANDIDATES = 3200  # of nearly twice as many decorations; about three quarters of them end up near the hull


def candidates(seed: int) -> list[Crystal]:
    """Unrelaxed crystals: all elements first, then compounds in random order, NUM_CANDIDATES in all."""
    chosen = list(decorations())
    pure = [decoration for decoration in chosen if len(decoration.elements) == 1]
    compounds = [decoration for decoration in chosen if len(decoration.elements) > 1]
    random.Random(seed).shuffle(compounds)  # noqa: S311
    drawn = [*pure, *compounds][:NUM_CANDIDATES]
    return [crystal_of(f"candidate-{index:05d}", decoration) for index, decoration in enumerate(drawn)]


def decorations() -> Iterator[Decoration]:
    """All decorations in a fixed order, none twice, each element in one role only."""
    seen = set()
    for decoration in itertools.chain(unary(), salts.binary(), salts.ternary(), metals.binary(), metals.ternary()):
        key = (decoration.kind, *sorted(decoration.elements.items()))
        if key not in seen and len(set(decoration.elements.values())) == len(decoration.elements):
            seen.add(key)
            yield decoration


def unary() -> Iterator[Decoration]:
    """Crystals of one element: special ground states and some rivals of theirs, dimers, every metal in three types."""
    for rule in rows("element_rules.csv"):
        yield from (Decoration(rule["structure_type"], {"A": symbol}) for symbol in rule["elements"].split())
    for symbol, (length, *_) in DIMERS.items():
        yield Decoration(f"dimers-{symbol}", {"A": symbol}, {"A": length / 2})
    for kind, symbol in itertools.product(("fcc", "bcc", "hcp"), VOLUMES):
        if symbol not in NONMETALS:
            yield Decoration(kind, {"A": symbol})


def crystal_of(crystal_id: str, decoration: Decoration) -> Crystal:
    """The unrelaxed crystal of a decoration."""
    structure = STRUCTURE_TYPES[decoration.kind].build(
        decoration.elements,
        volumes={role: VOLUMES[symbol] for role, symbol in decoration.elements.items()},
        radii=decoration.radii or None,
    )
    name = f"{decoration.kind}:{structure.composition.reduced_formula}"
    return Crystal.from_structure(crystal_id, structure, source_id=name)
