"""Systems to search: all pairs once, the useful ones first, and cells that chemistry allows."""

import itertools
from importlib.resources import files

import pytest

from miad.core.crystal import read_crystals
from miad.prototypes.properties import VOLUMES
from miad.prototypes.systems import binary_cells, lots, ternary_cells


@pytest.fixture(scope="module")
def ternary():
    return ternary_cells(0)


def test_every_pair_is_searched_once_and_oxides_come_first(ternary):
    crystals = read_crystals(
        *(files("miad.prototypes") / f"prototypes_{name}.jsonl.gz" for name in ("train", "val", "test"))
    )
    found = lots(crystals, 0)
    pairs = [lot[0] for lot in found if lot[0].count("-") == 1]
    elements = {symbol for crystal in crystals for symbol in crystal.element_counts}
    assert sorted(pairs) == sorted(map("-".join, itertools.combinations(sorted(elements), 2)))
    num_oxides = len(elements) - 1
    assert all("O" in pair.split("-") for pair in pairs[:num_oxides])
    assert found.index(["Fe-Rb"]) < found.index(["Cs-K"])  # frequent in the data set's ternaries, and not at all
    many = [system for lot in found if lot[0].count("-") == 2 for system in lot]
    assert sorted(many) == sorted(ternary)


def test_cells_of_a_pair_are_decorated_both_ways():
    cells = binary_cells("Ca-F")
    formulas = {cell.reduced_formula for cell in cells if cell.source_id == "AB2_cF12_225_a_c"}
    assert formulas == {"CaF2", "Ca2F"}
    assert len([cell for cell in cells if cell.source_id == "AB_cF8_225_a_b"]) == 1
    assert {cell.chemical_system for cell in cells} == {"Ca-F"}
    assert len({cell.crystal_id for cell in cells}) == len(cells)


def test_molecules_are_tried_between_nonmetals_only():
    assert "carbon-dioxide" in {cell.source_id for cell in binary_cells("C-O")}
    assert "carbon-dioxide" not in {cell.source_id for cell in binary_cells("Ca-O")}


@pytest.mark.parametrize(
    ("system", "template", "formula"),
    [
        ("C-Ca-O", "ABC3_hR10_167_a_b_e:CaCO3", "CaCO3"),
        ("N-Na-O", "ABC3_hR10_167_a_b_e:CaCO3", "NaNO3"),
        ("Fe-O-Ti", "AB3C_hR10_148_c_f_c", "TiFeO3"),
        ("Cu-Fe-S", "ABC2_tI16_122_a_b_d", "FeCuS2"),
        ("As-Ge-Zn", "ABC2_tI16_122_a_b_d", "ZnGeAs2"),
        ("O-Si-Zr", "zircon", "ZrSiO4"),
        ("O-P-Y", "zircon", "YPO4"),
        ("Ca-O-W", "scheelite", "CaWO4"),
        ("Ca-O-S", "anhydrite", "CaSO4"),
        ("Al-Mg-O", "spinel", "MgAl2O4"),
        ("Al-O-P", "AB4C_tI12_82_c_g_a", "AlPO4"),
        ("C-Cr-Al", "ABC2_hP8_194_d_a_f", "AlCr2C"),
        ("Cu-S-V", "A3B4C_cP8_215_d_e_a", "VCu3S4"),
        ("Cl-K-Pt", "potassium-hexachloroplatinate", "K2PtCl6"),
        ("Cu-La-O", "AB2C4_tI14_139_a_e_ce", "La2CuO4"),
    ],
)
def test_textbook_compounds_are_tried(ternary, system, template, formula):
    cells = ternary["-".join(sorted(system.split("-")))]
    assert any(formula == cell.reduced_formula and template == cell.source_id for cell in cells)


def test_ids_are_unique_and_elements_known(ternary):
    cells = [cell for part in ternary.values() for cell in part]
    assert len({cell.crystal_id for cell in cells}) == len(cells)
    assert {symbol for system in ternary for symbol in system.split("-")} <= set(VOLUMES)
    assert all(cell.chemical_system == system for system, part in ternary.items() for cell in part)
