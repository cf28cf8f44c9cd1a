"""Formulas: those of chemists are read, and nothing is guessed of what is none."""

import pytest
from pymatgen.core import Composition

from miad.core.errors import MiadError
from miad.sample.formula import counts_of


@pytest.mark.parametrize(
    "text", ["NaCl", "Ti2O4", "Ca3(PO4)2", "Mg(Al(OH)4)2", "NaClNa", "(NaCl)12", "C60", "CO", "Co"]
)
def test_formulas_have_the_atoms_that_pymatgen_finds(text):
    assert counts_of(text, "key") == Composition(text).get_el_amt_dict()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Na0Cl", "0 is no positive whole number"),
        ("Na01Cl", "01 is no positive"),
        ("NaCl0.0000000000001", "0 is no positive"),
        ("Na0.5Cl", "0 is no positive"),
        ("NaCl1.5", r"'\.' cannot stand at place 6"),
        ("KF 2H2O", "' ' cannot stand at place 3"),
        ("KF2 ", "' ' cannot stand at place 4"),
        ("nacl", "'n' cannot stand at place 1"),
        ("2NaCl", "'2' cannot stand at place 1"),
        ("2(NaCl)", "'2' cannot stand"),
        ("Na(Cl", "parentheses"),
        ("NaCl)2", "parentheses"),
        ("Na()2", "parentheses"),
        ("Na(2Cl)", "cannot stand"),
        ("Na-1", "'-' cannot stand"),
        ("Na٢", "cannot stand"),
        ("", "parentheses"),
        ("Na9999999Cl", "7 digits"),
        ("Na" + "9" * 5000, "5000 digits"),
    ],
)
def test_what_is_odd_is_refused_with_its_place(text, why):
    with pytest.raises(MiadError, match=f"key: .* is not a formula of whole numbers: .*{why}") as raised:
        counts_of(text, "key")
    assert len(str(raised.value)) < 250
