"""MP2020 corrections: the values of the published scheme, and that they are never made twice."""

import csv
from pathlib import Path

import pytest
from pymatgen.core import Composition, Lattice, Structure
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


# eV/atom, Table 1 of Wang et al., Scientific Reports 11, 15496 (2021); O is that of oxides.
PUBLISHED = (
    {"O": -0.687, "peroxide": -0.465, "superoxide": -0.161, "S": -0.503, "F": -0.462, "Cl": -0.614, "Br": -0.534}
    | {"I": -0.379, "N": -0.361, "Se": -0.472, "Si": 0.071, "Sb": -0.192, "Te": -0.422, "H": -0.179}
    | {"U-V": -1.700, "U-Cr": -1.999, "U-Mn": -1.668, "U-Fe": -2.256, "U-Co": -1.638, "U-Ni": -2.541}
    | {"U-W": -4.438, "U-Mo": -3.202}
)
with (Path(__file__).parent / "mp2020_values.csv").open(encoding="utf-8", newline="") as table:
    COMPOUNDS = list(csv.DictReader(table))


def spread(formula: str, bond: str) -> Structure:
    """Atoms of a formula 4 Å apart, but for those of one bond such as `O-O 1.49` (Å)."""
    names, length = bond.split() if bond else ("", "0")
    first, *others = names.split("-")
    symbols = [element.symbol for element, n in Composition(formula).items() for _ in range(int(n))]
    edge = 4.0 * (len(symbols) + 1)
    rest = list(symbols)
    points, species = [], []
    while rest:  # one after the other along x; the partners of a bond beside its first atom
        point, symbol = [4.0 * len(points), 0.0, 0.0], first if first in rest else rest[0]
        rest.remove(symbol)
        points.append(point)
        species.append(symbol)
        ends = [[0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]
        partners = others * (4 if first == "S" else 1) if symbol == first else []
        for other, end in zip(partners, ends, strict=False):
            rest.remove(other)
            points.append([at + float(length) * by for at, by in zip(point, end, strict=True)])
            species.append(other)
    return Structure(Lattice.orthorhombic(edge, 8, 8), species, points, coords_are_cartesian=True)


@pytest.mark.parametrize("row", COMPOUNDS, ids=lambda row: row["formula"])
def test_corrections_are_those_of_the_published_scheme(row: dict[str, str]) -> None:
    structure = spread(row["formula"], row["bond"])
    terms = [term.split() for term in row["terms"].split(" + ") if term]
    expected = sum(PUBLISHED[name] * int(count) for name, count in terms)
    assert correction_per_atom(structure) * len(structure) == pytest.approx(expected, abs=1e-6)


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
