"""MP2020 corrections: the values of protocol section 6, and that they are never made twice."""

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry

from miad.core.energy_frames import correct, correction_per_atom, hubbard_values
from miad.core.errors import MiadError
from tests.builders.relaxation import rocksalt
from tests.builders.symmetric import symmetric


def salt(cation: str, anion: str, edge: float) -> Structure:
    """A rock salt."""
    return symmetric("Fm-3m", Lattice.cubic(edge), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("cation", "anion", "edge", "added"), [("Mg", "O", 4.21, -0.34), ("Na", "Cl", 5.64, -0.31), ("Fe", "O", 4.3, -1.47)]
)
def test_known_corrections(cation, anion, edge, added):
    assert correction_per_atom(salt(cation, anion, edge)) == pytest.approx(added, abs=5e-3)


def test_elements_and_alloys_stay_as_they_are():
    assert correction_per_atom(Structure(Lattice.cubic(2.87), ["Fe"], [[0, 0, 0]])) == 0
    assert correction_per_atom(Structure(Lattice.cubic(3), ["Cu", "Au"], [[0, 0, 0], [0.5] * 3])) == 0


def test_u_is_that_of_oxides_and_fluorides_only():
    assert hubbard_values(salt("Fe", "O", 4.3)) == {"Fe": 5.3}
    assert hubbard_values(salt("Fe", "S", 5.0)) == {}
    assert hubbard_values(salt("Mg", "O", 4.2)) == {}


def test_a_peroxide_is_told_from_an_oxide_by_its_bonds():
    oxide = Structure(
        Lattice.cubic(5), ["Na", "Na", "O", "O"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    )
    peroxide = oxide.copy()
    peroxide.replace(3, "O", [0.5, 0.3, 0.5])
    assert correction_per_atom(oxide) < correction_per_atom(peroxide) < 0


def test_the_same_as_pymatgen_adds_to_an_entry_of_the_materials_project():
    structure = salt("Mn", "O", 4.44)
    parameters = {"run_type": "GGA+U", "hubbards": {"Mn": 3.9, "O": 0.0}, "is_hubbard": True}
    entry = ComputedStructureEntry(structure, -10.0, parameters=parameters)
    [processed] = MaterialsProject2020Compatibility(check_potcar=False).process_entries([entry])
    assert correction_per_atom(structure) == pytest.approx(processed.correction / len(structure))
    assert correction_per_atom(structure, parameters) == pytest.approx(processed.correction / len(structure))


def test_energies_are_corrected_once():
    raw = rocksalt("mgo", 4.21, (12, 8)).replace(
        energy_per_atom=-6.0, initial_energy_per_atom=-5.5, energy_frame="uncorrected"
    )
    once = correct(raw, "mp2020", "relax")
    assert once.energy_frame == "mp2020"
    assert once.energy_per_atom == pytest.approx(-6.3435) and once.initial_energy_per_atom == pytest.approx(-5.8435)
    assert correct(once, "mp2020", "relax") is once
    assert correct(raw, "uncorrected", "relax") is raw
    with pytest.raises(MiadError, match="mgo has energies in the frame 'mp2020'"):
        correct(once, "uncorrected", "relax")
    failed = raw.failed("relax", "why")
    assert correct(failed, "mp2020", "relax") is failed
