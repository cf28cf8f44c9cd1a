"""The hull by hand, against pymatgen, and what it refuses."""

import csv
import gzip
import itertools
import json

import numpy as np
import pytest

from miad.core.crystal import Crystal, write_crystals
from miad.core.energy_frames import must_match
from miad.core.errors import MiadError
from miad.hull.convex import (
    ConvexHull,
    Entry,
    HullTable,
    atom_fractions,
    energy_above,
    lowest_entries,
    read_table,
    write_table,
)
from miad.hull.step import run
from tests.builders.settings import hull_settings

SALT = [
    Entry("Na", -1.0),
    Entry("Cl2", -2.0),
    Entry("NaCl", -3.0),
    Entry("Na3Cl", -1.6),  # above the line between Na and NaCl, which is at -2.0
]


def hull_of(entries: list[Entry], frame: str = "mp2020") -> ConvexHull:
    return ConvexHull(HullTable("by hand", frame, "test", lowest_entries(entries)))


def crystal(symbols: str, energy: float | None, frame: str | None = "mp2020", name: str = "a") -> Crystal:
    from pymatgen.core import Composition

    numbers = [element.Z for element, n in Composition(symbols).items() for _ in range(int(n))]
    coords = np.linspace(0, 1, len(numbers), endpoint=False)[:, None].repeat(3, axis=1)
    return Crystal(name, np.eye(3) * 4, coords, np.array(numbers), energy_per_atom=energy, energy_frame=frame)


def above(hull: ConvexHull, one: Crystal) -> float | None:
    return energy_above(one, hull.height(one.element_counts))


def test_two_components_by_hand() -> None:
    point = hull_of(SALT).height({"Na": 3, "Cl": 1})
    assert point.energy_per_atom == pytest.approx(0.5 * -1.0 + 0.5 * -3.0, abs=1e-9)
    assert point.decomposition == pytest.approx({"Na": 0.5, "NaCl": 0.5})


def test_three_components_by_hand() -> None:
    entries = [Entry("Li", 0.0), Entry("Fe", 0.0), Entry("O2", 0.0), Entry("Li2O", -2.0), Entry("Fe2O3", -1.5)]
    # Li5FeO4 = 5/2 Li2O + 1/2 Fe2O3: 7.5 and 2.5 of its 10 atoms.
    point = hull_of(entries).height({"Li": 5, "Fe": 1, "O": 4})
    assert point.decomposition == pytest.approx({"Li2O": 0.75, "Fe2O3": 0.25})
    assert point.energy_per_atom == pytest.approx(-0.75 * 2.0 - 0.25 * 1.5, abs=1e-9)


def test_a_crystal_below_the_hull_is_negative_and_an_entry_of_it_zero() -> None:
    hull = hull_of(SALT)
    assert above(hull, crystal("NaCl", -3.2)) == pytest.approx(-0.2, abs=1e-9)
    assert above(hull, crystal("Na2Cl2", -3.0)) == pytest.approx(0.0, abs=1e-9)
    assert above(hull, crystal("Na3Cl", -1.6)) == pytest.approx(0.4, abs=1e-9)


def test_round_off_makes_nothing_stable() -> None:
    hull = hull_of([Entry("Na", -1.1), Entry("Cl2", -2.3), Entry("Na3Cl", -1.7)])
    height = hull.height({"Na": 7, "Cl": 3}).energy_per_atom
    for noise in (-1e-12, 0.0, 1e-12):
        assert above(hull, crystal("Na7Cl3", height + noise)) == 0.0
    assert above(hull, crystal("Na7Cl3", height - 1e-6)) == pytest.approx(-1e-6, rel=1e-3)


def test_the_lowest_entry_of_a_formula_counts() -> None:
    assert (
        hull_of([*SALT, Entry("Na4Cl4", -3.5), Entry("NaCl", -3.4)]).height({"Na": 1, "Cl": 1}).energy_per_atom == -3.5
    )


def test_agrees_with_pymatgen_on_random_compositions() -> None:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    generator = np.random.default_rng(0)
    for symbols in (["Li", "O"], ["Li", "Fe", "O"], ["Li", "Fe", "O", "P"], ["Li", "Fe", "O", "P", "Na", "S"]):
        entries = [Entry(symbol, float(generator.normal())) for symbol in symbols]
        for _ in range(25):
            amounts = generator.integers(0, 4, len(symbols))
            if (amounts > 0).sum() > 1:
                formula = "".join(f"{s}{n}" for s, n in zip(symbols, amounts, strict=True) if n)
                entries.append(Entry(formula, float(generator.normal() - 1)))
        theirs = PhaseDiagram(
            [PDEntry(e.formula, e.energy_per_atom * Composition(e.formula).num_atoms) for e in entries]
        )
        ours = hull_of(entries)
        for _ in range(10):
            target = dict(zip(symbols, generator.dirichlet(np.ones(len(symbols))), strict=True))
            expected = theirs.get_hull_energy_per_atom(Composition(target))
            point = ours.height(target)
            assert point.energy_per_atom == pytest.approx(expected, abs=1e-6)
            assert sum(point.decomposition.values()) == pytest.approx(1.0, abs=1e-7)


def test_hull_members_of_the_materials_project_lie_on_our_hull(real_data) -> None:
    from miad.hull.sources import read_source

    hull = ConvexHull(read_source(hull_settings(source=str(real_data / "hull" / "mp_hull_points.csv.gz")), []))
    elements = json.loads((real_data / "hull" / "mp_elemental_ref_energies_per_atom.json").read_text())
    csv.field_size_limit(10**9)
    with gzip.open(real_data / "mp_20_rebuilt" / "test.csv.gz", "rt") as text:
        rows = [row for row in itertools.islice(csv.DictReader(text), 1000) if row["e_above_hull"] == "0.0"]
    assert len(rows) > 100
    found = 0
    for row in rows:
        shares = atom_fractions(row["pretty_formula"])
        own = float(row["formation_energy_per_atom"]) + sum(share * elements[one] for one, share in shares.items())
        found += own - hull.height(shares).energy_per_atom < 1e-3
    assert found / len(rows) >= 0.95


def test_an_element_without_entries_is_a_status() -> None:
    point = hull_of(SALT).height({"Na": 1, "Tc": 1})
    assert point.energy_per_atom is None
    assert "Tc" in point.problem


def test_rivals_are_the_entries_of_exactly_the_elements() -> None:
    hull = hull_of([*SALT, Entry("K", -1.1), Entry("KNaCl2", -2.9)])
    assert hull.height({"Na": 1, "Cl": 1}).num_rivals == 2
    assert hull.height({"Na": 3, "K": 1, "Cl": 4}).num_rivals == 1
    assert hull.height({"K": 1, "Cl": 1}).num_rivals == 0
    assert hull.height({"Na": 1}).num_rivals == 1


def test_a_composition_that_entries_cannot_make_is_a_status() -> None:
    point = hull_of([Entry("NaCl", -3.0), Entry("Na", -1.0)]).height({"Na": 1, "Cl": 3})
    assert point.energy_per_atom is None
    assert "Cl-Na" in point.problem


def test_frames_must_match() -> None:
    with pytest.raises(MiadError, match=r"uncorrected.*mp2020"):
        must_match("NaCl", "uncorrected", "by hand", "mp2020")


def test_energies_that_will_not_fit_are_refused_when_the_hull_is_made(tmp_path) -> None:
    (tmp_path / "hull.csv").write_text("formula,energy_per_atom\nNa,-1\nCl,-2\n")
    chosen = hull_settings(source=str(tmp_path / "hull.csv"), energy_frame="uncorrected")
    with pytest.raises(MiadError, match=r"'mp2020'.*hull\.csv.*'uncorrected'"):
        run(chosen, hull=tmp_path / "e.csv.gz", frames=["mp2020"])
    assert not (tmp_path / "e.csv.gz").exists()
    run(chosen, hull=tmp_path / "e.csv.gz", frames=["uncorrected"])
    assert read_table(tmp_path / "e.csv.gz").energy_frame == "uncorrected"


def test_table_survives_writing_and_reading(tmp_path) -> None:
    table = HullTable("by hand, with a comma", "mp2020", "test", lowest_entries(SALT))
    path = tmp_path / "entries.csv.gz"
    write_table(path, table)
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    assert read_table(path) == table


def test_the_data_sets_own_hull(tmp_path) -> None:
    crystals = [crystal("Na", -1.0, name="x1"), crystal("Cl", -2.0, name="x2"), crystal("NaCl", -3.0, name="x3")]
    crystals = [one.replace(calculator="CHGNet 0.3.0") for one in crystals]
    write_crystals(tmp_path / "train.jsonl.gz", crystals[:2])
    write_crystals(tmp_path / "test.jsonl.gz", crystals[2:])
    out = tmp_path / "entries.csv.gz"
    run(hull_settings(), hull=out, train=tmp_path / "train.jsonl.gz", test=tmp_path / "test.jsonl.gz")
    table = read_table(out)
    assert table.name == "toy (CHGNet 0.3.0)"
    assert {entry.formula: entry.entry_id for entry in table.entries} == {"Na": "x1", "Cl2": "x2", "NaCl": "x3"}


def test_missing_stop_names_the_crystal_and_the_element(tmp_path) -> None:
    write_crystals(tmp_path / "train.jsonl", [crystal("NaTc", -1.0, name="x9")])
    (tmp_path / "hull.csv").write_text("formula,energy_per_atom\nNa,-1\nCl,-2\n")
    chosen = hull_settings(source=str(tmp_path / "hull.csv"), energy_frame="mp2020", missing="stop")
    with pytest.raises(MiadError, match=r"x9.*Tc.*hull\.missing: report"):
        run(chosen, hull=tmp_path / "e.csv.gz", train=tmp_path / "train.jsonl")
    assert not (tmp_path / "e.csv.gz").exists()
