"""Compositions by hand, against every choice of oxidation states, and the shipped table against the installed SMACT."""

import itertools

import numpy as np
import pytest
import smact
from pymatgen.core import Element as Periodic

from miad.metrics.validity import composition_fault, table


@pytest.mark.parametrize(
    ("elements", "counts", "reason"),
    [
        (("Na", "Cl"), (1, 1), None),
        (("Na", "Cl"), (1, 2), "order of electronegativity"),  # Na has no state above +1
        (("O", "Al"), (3, 2), None),
        (("Al", "Ni"), (1, 1), None),  # an alloy
        (("Xe",), (1,), None),
        (("Rf",), (1,), None),  # one element alone is valid, whatever it is
        (("F", "Xe"), (2, 1), None),
        (("Na", "Ar"), (1, 1), "no oxidation states of Ar"),
        (("He", "Ne"), (1, 1), "no oxidation states of He, Ne"),
        (("O", "Rf"), (2, 1), "does not know Rf"),
        (("O", "Cf"), (1, 1), None),
    ],
)
def test_compositions_by_hand(elements: tuple, counts: tuple, reason: str | None) -> None:
    found = composition_fault(elements, counts)
    assert found is None if reason is None else reason in found


def test_an_unknown_electronegativity_counts_as_in_cdvaes_script() -> None:
    """Promethium has none. The script looks at the first pair with it, and passes only opposite charges."""
    assert composition_fault(("O", "Pm"), (3, 2)) is None
    assert composition_fault(("O", "Pd", "Pm"), (4, 1, 2)) is None
    # Pd and Pm are both cations, and come before I and Pm: SMACT says that the order is wrong.
    assert composition_fault(("Pd", "I", "Pm"), (1, 5, 1)) is not None
    assert composition_fault(("Pd", "I", "Nd"), (1, 5, 1)) is None


def script_says(elements: tuple[str, ...], counts: tuple[int, ...]) -> bool:
    """CDVAE's definition: some choice is neutral, and SMACT 2.2.1 finds it in order or fails on comparing with None."""
    known = [table()[element] for element in elements]
    for choice in itertools.product(*(one.states for one in known)):
        if np.dot(choice, counts) == 0:
            try:
                if in_order(choice, [one.electronegativity for one in known]):
                    return True
            except TypeError:
                return True
    return False


def in_order(charges: tuple[int, ...], values: list) -> bool:
    """`eneg_states_test` of SMACT 2.2.1, told anew: raises TypeError where it does."""
    for (charge, value), (other, its) in itertools.combinations(zip(charges, values, strict=True), 2):
        if charge > 0 > other:
            if value >= its:
                return False
        elif charge < 0 < other:
            if value <= its:
                return False
        elif value is None or its is None:
            return False
    return True


def test_the_verdict_is_that_of_trying_every_choice_of_oxidation_states() -> None:
    generator = np.random.default_rng(0)
    symbols = sorted(table(), key=lambda symbol: Periodic(symbol).Z)
    verdicts, num_unknown = [], 0
    for number in range(900):
        chosen = set(generator.choice(len(symbols), generator.integers(2, 5), replace=False).tolist())
        if number % 3 == 0:
            chosen |= {symbols.index(generator.choice(["Pm", "Rn"]))}
        elements = tuple(symbols[index] for index in sorted(chosen))
        if all(table()[element].is_metal for element in elements):
            continue
        num_unknown += any(table()[element].electronegativity is None for element in elements)
        counts = tuple(generator.integers(1, 5, len(elements)).tolist())
        verdicts.append(composition_fault(elements, counts) is None)
        assert verdicts[-1] == script_says(elements, counts), (elements, counts)
    assert 50 < sum(verdicts) < len(verdicts) - 50 and num_unknown > 200


def test_many_elements_are_judged_at_once() -> None:
    # 10¹⁰ choices, none of them neutral: an untrained model makes such samples
    elements = ("Si", "Ti", "V", "Mn", "Fe", "As", "Nb", "I", "Sm", "Hf", "W", "Os", "Bi", "Pa")
    assert composition_fault(elements, (101, *[1] * 13)) is not None


def test_the_shipped_table_is_that_of_later_releases_but_for_two_elements() -> None:
    differing = {}
    for symbol, ours in table().items():
        theirs = smact.Element(symbol)
        states = tuple(theirs.oxidation_states_smact14 or ())
        if (ours.electronegativity, ours.states) != (theirs.pauling_eneg, states):
            differing[symbol] = (ours.electronegativity, theirs.pauling_eneg, set(ours.states) ^ set(states))
        assert ours.is_metal == (symbol in smact.metals)
    assert differing == {"Zr": (0.33, 1.33, set()), "Ir": (2.2, 2.2, {-2, -3})}
