"""The built-in data set as it is shipped."""

import dataclasses
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest

from miad.core.crystal import Crystal, read_crystals
from miad.core.files import text_lines
from miad.dataset.step import standardise
from miad.hull.convex import ConvexHull, Entry, HullTable, atom_fractions, lowest_entries, read_table
from miad.hull.sources import COMPETING_PHASES
from miad.prototypes import selection
from miad.prototypes.competing import KEEP, SYSTEMS
from miad.prototypes.step import relax_settings

FOLDER = files("miad.prototypes")
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def shipped() -> dict[str, list[Crystal]]:
    """The shipped crystals, by split."""
    return {name: read_crystals(FOLDER / f"prototypes_{name}.jsonl.gz") for name in SPLITS}


@pytest.fixture(scope="module")
def crystals(shipped) -> list[Crystal]:
    """All shipped crystals."""
    return [crystal for part in shipped.values() for crystal in part]


def test_size_types_elements_and_splits(shipped, crystals):
    assert len(crystals) >= 2500
    assert len({crystal.crystal_id for crystal in crystals}) == len(crystals)
    assert len({crystal.source_id.split(":")[0] for crystal in crystals}) >= 18
    assert len({symbol for crystal in crystals for symbol in crystal.element_counts}) >= 50
    assert len(shipped["train"]) == pytest.approx(0.6 * len(crystals), abs=1)
    assert len(shipped["val"]) == pytest.approx(0.2 * len(crystals), abs=1)
    assert max(crystal.num_atoms for crystal in crystals) <= selection.MAX_ATOMS
    assert sum((FOLDER / f"prototypes_{name}.jsonl.gz").stat().st_size for name in SPLITS) < 2_000_000


def test_energies_name_their_calculator_and_frame(crystals):
    [calculator] = {crystal.calculator for crystal in crystals}
    assert calculator.startswith("CHGNet 0.3.0") and "sha256" in calculator
    assert {crystal.energy_frame for crystal in crystals} == {"mp2020"}


def test_hull_of_the_shipped_crystals_is_the_hull_they_were_sifted_by(crystals):
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    for crystal, above in zip(crystals, selection.energies_above_hull(crystals), strict=True):
        assert -1e-6 <= above <= selection.MAX_E_ABOVE_HULL + 1e-6
        assert crystal.e_above_hull == pytest.approx(above, abs=2e-6)
    # pymatgen's own phase diagram, on a few chemical systems.
    for system in sorted({crystal.chemical_system for crystal in crystals if crystal.chemical_system.count("-") == 2})[
        ::200
    ]:
        inside = [c for c in crystals if set(c.chemical_system.split("-")) <= set(system.split("-"))]
        entries = [PDEntry(Composition(c.element_counts), c.energy_per_atom * c.num_atoms) for c in inside]
        diagram = PhaseDiagram(entries)
        for crystal, entry in zip(inside, entries, strict=True):
            assert diagram.get_e_above_hull(entry) == pytest.approx(crystal.e_above_hull, abs=1e-5)


def test_no_two_crystals_are_the_same(crystals):
    from pymatgen.analysis.structure_matcher import StructureMatcher

    formulas = Counter(crystal.reduced_formula for crystal in crystals)
    many = [formula for formula, count in formulas.most_common() if count > 1][::10]
    judge = StructureMatcher()
    for formula in many[:30]:
        group = [crystal.structure for crystal in crystals if crystal.reduced_formula == formula]
        assert len(judge.group_structures(group)) == len(group), formula


def test_cells_are_standard_already(crystals):
    for crystal in crystals[::50]:
        again = standardise(crystal.structure)
        assert len(again) == crystal.num_atoms
        assert again.volume == pytest.approx(crystal.volume, rel=1e-4)
        np.testing.assert_allclose(
            sorted(again.lattice.abc), sorted(np.linalg.norm(crystal.lattice, axis=1)), rtol=1e-3
        )


def test_shipped_crystals_are_at_rest(crystals):
    """The energies are those of the shipped cells, and nothing moves when they are relaxed again."""
    import torch

    from miad.relax.potentials.chgnet import Chgnet
    from miad.relax.step import in_flight

    torch.set_num_threads(1)
    limit = (
        2 * relax_settings(1).fmax
    )  # niggli reduction and rounding move nothing, but change the cell's forces a little
    settings = dataclasses.replace(relax_settings(1), fmax=limit, max_steps=0)
    chosen = crystals[::100]
    again = {crystal.crystal_id: crystal for crystal in in_flight(chosen, settings, Chgnet(), "cpu", 1e9)}
    for crystal in chosen:
        assert again[crystal.crystal_id].energy_per_atom == pytest.approx(crystal.energy_per_atom, abs=1e-4)
        assert again[crystal.crystal_id].converged, crystal.source_id


@pytest.fixture(scope="module")
def phases() -> HullTable:
    """The shipped competing phases."""
    return read_table(FOLDER / COMPETING_PHASES)


@pytest.fixture(scope="module")
def hull(crystals, phases) -> ConvexHull:
    """The hull of shipped crystals and competing phases."""
    entries = [Entry(one.reduced_formula, one.energy_per_atom) for one in crystals] + phases.entries
    return ConvexHull(HullTable("", "", "", lowest_entries(entries)))


def test_competing_phases_are_of_the_calculator_and_frame_of_the_crystals(crystals, phases):
    assert {phases.source} == {crystal.calculator for crystal in crystals}
    assert {phases.energy_frame} == {crystal.energy_frame for crystal in crystals}
    assert sum((FOLDER / name).stat().st_size for name in (COMPETING_PHASES, SYSTEMS)) < 1_000_000


def test_competing_phases_lie_near_the_hull_of_systems_that_were_searched(crystals, phases, hull):
    searched = {line.split(",")[0] for _, line in text_lines(FOLDER / SYSTEMS)}
    elements = {symbol for crystal in crystals for symbol in crystal.element_counts}
    assert {"Ca-O", "O-Si", "Ca-Si"} <= searched
    for entry in phases.entries:
        shares = atom_fractions(entry.formula)
        assert "-".join(sorted(shares)) in searched and set(shares) <= elements
        assert entry.energy_per_atom <= hull.height(shares).energy_per_atom + KEEP + 1e-6


def test_wollastonite_decomposes_into_oxides_or_is_stable(hull):
    """The hull of the crystals alone took CaSiO3 apart into O2, Ca3SiO and Si."""
    products = hull.height({"Ca": 1, "Si": 1, "O": 3}).decomposition
    assert set(products) & {"CaO", "SiO2", "CaSiO3", "Ca2SiO4"} and not set(products) & {"O2", "Si"}


def test_energies_of_competing_phases_are_those_of_simple_crystals_relaxed_anew(phases):
    """Rock salt from another start: a guess that is 6 % too large."""
    import torch
    from pymatgen.core import Lattice, Structure

    from miad.relax.potentials.chgnet import Chgnet
    from miad.relax.step import in_flight

    torch.set_num_threads(1)
    halite = Structure.from_spacegroup(225, Lattice.cubic(5.1), ["Ca", "O"], [[0, 0, 0], [0.5] * 3])
    given = [Crystal.from_structure("CaO", halite.get_primitive_structure())]
    [again] = in_flight(given, relax_settings(1), Chgnet(), "cpu", 1e9)
    [known] = [entry for entry in phases.entries if entry.formula == "CaO"]
    assert again.energy_per_atom == pytest.approx(known.energy_per_atom, abs=2e-3)
