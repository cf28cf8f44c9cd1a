"""Oxidation states guessed from a formula: those of pymatgen, where it guesses any."""

import csv
import gzip
import itertools
import time
from pathlib import Path

import pytest
from pymatgen.core import Composition

from miad.core.oxidation_states import guess


@pytest.mark.parametrize("formula", ["NaCl", "Fe3O4", "LiFePO4", "Nb2TeSe17", "FeAl", "Mn7(OH)3O9", "NaHe"])
def test_the_first_guess_of_pymatgen(formula: str) -> None:
    composition = Composition(formula)
    assert guess(composition) == (composition.oxi_state_guesses() or ({},))[0]
    assert guess(composition * 3) == guess(composition)


def test_without_icsd_states_all_states_of_an_element_are_tried() -> None:
    # As pymatgen did in 2023; later versions try only the common ones, and find none.
    assert guess(Composition("KTeAu")) == {"K": 1, "Te": -2, "Au": 1}
    assert guess(Composition("Ca2H6Os"))["H"] < 0


def test_parts_of_atoms_have_none() -> None:
    assert guess(Composition("Fe0.5Cl2.25")) == {}


def test_large_formulas_take_no_time() -> None:
    start = time.perf_counter()
    # All assignments of this one, which pymatgen tries, would take hours.
    assert guess(Composition("La41Fe38Sb37C52N33O101Mn47"))
    assert time.perf_counter() - start < 5


def test_the_first_guess_of_pymatgen_for_real_formulas(real_data: Path) -> None:
    csv.field_size_limit(10**9)
    with gzip.open(real_data / "mp_20_rebuilt" / "test.csv.gz", "rt") as text:
        formulas = [row["pretty_formula"] for row in itertools.islice(csv.DictReader(text), 500)]
    no_states = {"Tc", "Pm", "Os", "Pt", "Au", "Ac", "Pa", "Np", "Pu", "He", "Ne", "Ar", "Kr", "Xe"}
    small = [one for one in map(Composition, formulas) if len(one) > 1 and one.num_atoms <= 20]
    asked = [one for one in small if no_states.isdisjoint(element.symbol for element in one)]
    assert len(asked) > 300
    for composition in asked:
        assert guess(composition) == (composition.oxi_state_guesses() or ({},))[0], composition
