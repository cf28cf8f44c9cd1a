"""Templates are primitive cells without elements, each crystal once."""

import numpy as np
import pytest

from miad.prototypes.templates import LARGER, MAX_ATOMS, aflow, binary_templates, of_structure


@pytest.fixture(scope="module")
def found():
    return {one.name: one for one in binary_templates()}


def test_a_template_has_one_cubic_angstrom_per_atom_and_two_elements(found):
    assert len(found) == len(binary_templates()) > 100
    for one in found.values():
        assert one.num_roles == 2 and set(one.roles) == {0, 1}
        assert len(one.roles) == len(one.frac_coords) and (len(one.roles) <= MAX_ATOMS or one.name in LARGER)
        assert abs(np.linalg.det(one.lattice)) == pytest.approx(len(one.roles))


def test_an_exchange_of_elements_is_left_out_where_it_gives_the_same_crystal(found):
    assert found["AB_cF8_225_a_b"].is_even  # rock salt
    assert found["AB_cF8_216_c_a"].is_even  # zincblende
    assert not found["AB_hP4_194_c_a"].is_even  # NiAs
    assert not found["AB2_cF12_225_a_c"].is_even  # fluorite


def test_a_structure_type_that_aflow_has_comes_once(found):
    assert "rocksalt" not in found and "rutile" not in found
    assert {"cadmium-chloride", "cooperite"} <= set(
        found
    )  # of which AFLOW's part in pymatgen has none or another shape


def test_roles_follow_the_symbols():
    calcite = of_structure("calcite", aflow()["ABC3_hR10_167_a_b_e:CaCO3"])
    counts = np.bincount(calcite.roles)
    assert counts.tolist() == [2, 2, 6] and calcite.num_roles == 3  # C, Ca, O
