"""Oxidation states guessed from a formula, as pymatgen guesses them for MP2020, but for formulas of any size."""

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.core import Composition, Species

Scores = dict[float, tuple[float, tuple[float, ...]]]  # {total charge: (score, total charge of each element)}


def guess(composition: "Composition") -> dict[str, float]:
    """{element: mean oxidation state} of the likeliest neutral assignment; empty if there is none.

    The same as the first of `Composition.oxi_state_guesses`, which tries all assignments: MP2020 asks it for formulas
    of at most 20 atoms only, since more take minutes. Sites of one element may differ (Fe₃O₄); the score of an
    assignment is how often the ICSD has its species. Here only the best assignment of each total charge is kept.
    """
    amounts = composition.reduced_composition.get_el_amt_dict()
    if any(amount != int(amount) for amount in amounts.values()):
        return {}
    best: Scores = {0: (0, ())}
    for symbol, amount in amounts.items():
        best = _joined(best, _charges(symbol, int(amount)))
    _, charges = best.get(0, (0, ()))
    return {symbol: charge / amount for (symbol, amount), charge in zip(amounts.items(), charges, strict=False)}


def _joined(others: Scores, charges: dict[float, float]) -> Scores:
    """Best assignments after one more element, of which `charges` holds the best score of each total charge."""
    best: Scores = {}
    for total, (score, parts) in others.items():
        for charge, own in charges.items():
            if total + charge not in best or score + own > best[total + charge][0]:
                best[total + charge] = (score + own, (*parts, charge))
    return best


@functools.cache
def _charges(symbol: str, amount: int) -> dict[float, float]:
    """{total charge: best score} of so many atoms of one element."""
    from pymatgen.core import Element, Species

    element, occurrence = Element(symbol), _occurrence()
    states = element.icsd_oxidation_states or element.oxidation_states
    best: dict[float, float] = {0: 0}
    for _ in range(amount):
        more: dict[float, float] = {}
        for state in states:
            own = occurrence.get(Species(symbol, state), 0)
            for total, score in best.items():
                more[total + state] = max(score + own, more.get(total + state, score + own))
        best = more
    return best


@functools.cache
def _occurrence() -> "dict[Species, float]":
    """How often the ICSD has a species, of pymatgen's table."""
    from pymatgen.core import Composition

    Composition("NaCl").oxi_state_guesses()  # reads the table
    return Composition.oxi_prob or {}
