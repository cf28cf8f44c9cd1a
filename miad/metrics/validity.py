"""Validity of a composition as CDVAE's script judges it, with the tables of SMACT 2.2.1 that the script names."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from miad.core.tabular import read_csv

# Installed releases have other tables, and judge some compositions otherwise: docs/evaluate.md.
SMACT = "2.2.1"
TABLE = Path(__file__).with_name("smact_2_2_1.csv")


@dataclass(frozen=True)
class Element:
    """A row of the table: Pauling electronegativity (None: unknown), whether it is a metal, oxidation states."""

    electronegativity: float | None
    is_metal: bool
    states: tuple[int, ...]


@cache
def table() -> dict[str, Element]:
    """The elements from H to Lr by symbol."""
    return {
        row["element"]: Element(
            float(row["electronegativity"]) if row["electronegativity"] else None,
            row["is_metal"] == "1",
            tuple(map(int, (row["oxidation_states"] or "").split())),
        )
        for row in read_csv(TABLE)
    }


@cache
def composition_fault(elements: tuple[str, ...], counts: tuple[int, ...]) -> str | None:
    """Reason why a composition is not valid; None if it is.

    It is valid if some oxidation states, one per element, make it neutral with anions that are all more electronegative
    than the cations. One-element crystals and alloys of metals are valid.

    Args:
        elements: symbols in the order of atomic numbers, in which SMACT compares them.
        counts: how many of each, without a common divisor.

    Source: `smact_validity` of CDVAE, arXiv:2110.06197, with SMACT, Davies et al., J. Open Source Softw. 4, 1361
    (2019). DiffCSP's copy also calls a composition invalid that has more than 10⁷ choices of oxidation states.
    """
    if len(elements) == 1:
        return None
    if unknown := [element for element in elements if element not in table()]:
        return f"SMACT {SMACT} does not know {', '.join(unknown)}"
    known = [table()[element] for element in elements]
    if all(element.is_metal for element in known):
        return None
    if inert := [element for element in elements if not table()[element].states]:
        return f"SMACT {SMACT} has no oxidation states of {', '.join(inert)}"
    if any(_can_be_neutral(states, counts) for states in _ordered_states(known)):
        return None
    return "no oxidation states are neutral and in the order of electronegativity"


def _ordered_states(elements: list[Element]) -> Iterator[list[list[int]]]:
    """Oxidation states of each element, all choices of which are in the order of electronegativity."""
    values = [one.electronegativity for one in elements if one.electronegativity is not None]
    if len(values) < len(elements):
        yield from _states_with_an_unknown(elements)
        return
    # The anions are all more electronegative than the cations: those from some value on, and no others.
    for least in {*values, math.inf}:
        yield [
            [state for state in one.states if (state <= 0 if value >= least else state >= 0)]
            for one, value in zip(elements, values, strict=True)
        ]


def _states_with_an_unknown(elements: list[Element]) -> Iterator[list[list[int]]]:
    """The same if an electronegativity is unknown (promethium, radon, lawrencium).

    SMACT goes through the pairs of elements, (first, second), (first, third) and so on, and stops at the first pair
    with an unknown electronegativity. CDVAE's script takes its error for "right" if the charges of that pair are
    opposite; otherwise SMACT calls the order wrong. The pairs behind it are never looked at.
    """
    first, *_ = elements
    stop = max(1, next(index for index, one in enumerate(elements) if one.electronegativity is None))
    for charge in first.states:
        before = [
            [state for state in one.states if not _is_wrong(charge, first, state, one)] for one in elements[1:stop]
        ]
        opposite = [state for state in elements[stop].states if charge * state < 0]
        yield [[charge], *before, opposite, *(list(one.states) for one in elements[stop + 1 :])]


def _is_wrong(charge: int, one: Element, other_charge: int, other: Element) -> bool:
    """Whether the cation of two elements of known electronegativity is at least as electronegative as the anion."""
    if charge * other_charge >= 0:
        return False
    cation, anion = (one, other) if charge > 0 else (other, one)
    return (cation.electronegativity or 0.0) >= (anion.electronegativity or 0.0)


def _can_be_neutral(states: list[list[int]], counts: tuple[int, ...]) -> bool:
    """Whether one state of each element can add up to no charge; sums, since of 12 elements there are 10¹⁰ choices."""
    sums = {0}
    for its, number in zip(states, counts, strict=True):
        sums = {total + number * state for total in sums for state in its}
    return 0 in sums
