"""Reference energies of every provider end as the same plain table, in a frame that is known."""

import gzip
import json
from pathlib import Path

import pytest

from miad.core.errors import MiadError
from miad.core.files import checksum
from miad.hull.convex import ConvexHull, HullTable, read_table
from miad.hull.step import run
from tests.builders.pickled_diagram import pickled_diagram
from tests.builders.settings import hull_settings


def table_of(tmp_path: Path, **changes) -> HullTable:
    run(hull_settings(**changes), hull=tmp_path / "entries.csv.gz")
    return read_table(tmp_path / "entries.csv.gz")


def energies(table: HullTable) -> dict[str, float]:
    return {entry.formula: entry.energy_per_atom for entry in table.entries}


def test_csv_of_total_energies_names_its_frame(tmp_path: Path) -> None:
    path = tmp_path / "points.csv.gz"
    path.write_bytes(gzip.compress(b"reduced_formula,e_total_MP2020_per_atom\nNa,-1.3\nCl2,-1.8\nNaCl,-3.4\n"))
    table = table_of(tmp_path, source=str(path))
    assert table.energy_frame == "mp2020"
    assert table.name == "points.csv.gz"
    assert checksum(path, "sha256") in table.source
    assert energies(table) == {"Na": -1.3, "Cl2": -1.8, "NaCl": -3.4}
    with pytest.raises(MiadError, match=r"mp2020.*uncorrected"):
        table_of(tmp_path, source=str(path), energy_frame="uncorrected")


def test_csv_of_a_spreadsheet_begins_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("reduced_formula,e_total_MP2020_per_atom\nNa,-1.3\n", encoding="utf-8-sig")
    assert energies(table_of(tmp_path, source=str(path))) == {"Na": -1.3}
    path.write_text("reduced_formula,e_total_MP2020_per_atom,by\nNa,-1.3,Müller\n", encoding="latin-1")
    with pytest.raises(MiadError, match=r"points\.csv is no readable CSV"):
        table_of(tmp_path, source=str(path))


def test_a_frame_that_nobody_states_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("formula,energy_per_atom,entry_id\nNa2Cl2,-3.4,a\nNaCl,-3.5,b\n")
    with pytest.raises(MiadError, match=r"hull\.energy_frame"):
        table_of(tmp_path, source=str(path))
    table = table_of(tmp_path, source=str(path), energy_frame="uncorrected")
    assert [(entry.formula, entry.entry_id) for entry in table.entries] == [("NaCl", "b")]


def test_formation_energies_need_references(tmp_path: Path) -> None:
    path, references = tmp_path / "formation.csv", tmp_path / "elements.json"
    path.write_text("formula,formation_energy_per_atom\nNa3Cl,-1.0\n")
    references.write_text(json.dumps({"Na": -1.0, "Cl": -2.0}))
    with pytest.raises(MiadError, match=r"hull\.references"):
        table_of(tmp_path, source=str(path), energy_frame="mp2020")
    table = table_of(tmp_path, source=str(path), energy_frame="mp2020", references=str(references))
    assert energies(table) == pytest.approx({"Na3Cl": -1.0 - 0.75 - 0.5, "Na": -1.0, "Cl2": -2.0})


def test_computed_entries_are_corrected_once_or_not_at_all(tmp_path: Path) -> None:
    from pymatgen.entries.computed_entries import ComputedEntry

    entries = [ComputedEntry("Na2Cl2", -12.0, correction=-1.2, entry_id="mp-1"), ComputedEntry("Na", -1.3)]
    path = tmp_path / "entries.json"
    path.write_text(json.dumps([entry.as_dict() for entry in entries]))
    corrected = energies(table_of(tmp_path, source=str(path), energy_frame="mp2020"))
    raw = energies(table_of(tmp_path, source=str(path), energy_frame="uncorrected"))
    assert corrected == pytest.approx({"NaCl": entries[0].energy_per_atom, "Na": -1.3})
    assert raw == pytest.approx({"NaCl": -3.0, "Na": -1.3})


def test_energies_that_look_raw_are_wondered_at(tmp_path: Path, caplog) -> None:
    path = tmp_path / "entries.json"
    path.write_text(json.dumps([{"composition": {"Na": 1, "Cl": 1}, "energy": -6.0, "correction": 0.0}]))
    table_of(tmp_path, source=str(path), energy_frame="mp2020")
    assert "no entry carries a correction" in caplog.text
    caplog.clear()
    table_of(tmp_path, source=str(path), energy_frame="uncorrected")
    assert not caplog.text


def test_checksums_and_absent_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("formula,e_total_MP2020_per_atom\nNa,-1.3\n")
    with pytest.raises(MiadError, match="md5"):
        table_of(tmp_path, source=str(path), checksum="md5:" + "0" * 32)
    with pytest.raises(MiadError, match=r"hull\.source"):
        table_of(tmp_path, source=str(tmp_path / "nowhere.csv"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("formula,energy\nNa,1\n", "columns formula, energy"),
        ("formula,e_total_MP2020_per_atom\nNa,high\n", "'high' is no energy"),
        ("formula,e_total_MP2020_per_atom\nNaQq,-1\n", "NaQq"),
    ],
)
def test_odd_tables_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "odd.csv"
    path.write_text(text)
    with pytest.raises(MiadError, match=message):
        table_of(tmp_path, source=str(path))


def test_materials_project_from_its_pickle(tmp_path: Path, monkeypatch) -> None:
    from miad.hull import sources as hull_sources

    path = pickled_diagram(tmp_path / "ppd.pkl.gz")
    expected = "md5:" + checksum(path, "md5")
    monkeypatch.setattr(hull_sources, "MATERIALS_PROJECT_CHECKSUM", expected)
    monkeypatch.setattr(hull_sources.download, "fetch", lambda url, *, checksum, setting: path)
    table = table_of(tmp_path, source="mp-2023-02-07")
    assert table.name == "Materials Project 2023-02-07"
    assert table.energy_frame == "mp2020"
    assert expected in table.source


def test_the_rebuilt_hull_of_materials_project(real_data: Path, tmp_path: Path) -> None:
    table = table_of(tmp_path, source=str(real_data / "hull" / "mp_hull_points.csv.gz"))
    hull = ConvexHull(table)
    assert len(hull.elements) > 85
    point = hull.height({"Na": 3, "Cl": 1})
    assert point.decomposition == pytest.approx({"NaCl": 0.5, "Na": 0.5})


def test_a_row_that_holds_no_energy_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    for last in ("mp2020,Cl", "mp2020,Cl,x", "mp2020,Cl,nan"):  # the first one ends too soon
        path.write_text(f"energy_frame,formula,energy_per_atom\nmp2020,Na,-1.0\n{last}\n")
        with pytest.raises(MiadError, match="row 3"):
            table_of(tmp_path, source=str(path))


def test_elemental_references_may_be_whole_numbers_and_odd_ones_are_named(tmp_path: Path) -> None:
    path, references = tmp_path / "mine.csv", tmp_path / "elements.json"
    path.write_text("formula,energy_per_atom\nNaCl,-3.4\n", encoding="utf-8-sig")
    references.write_text('{"Na": -1, "Cl": -2}')
    table = table_of(tmp_path, source=str(path), energy_frame="mp2020", references=str(references))
    assert energies(table) == {"Na": -1.0, "Cl2": -2.0, "NaCl": -3.4}
    for odd in ('{"Na": null}', "[1]"):
        references.write_text(odd)
        with pytest.raises(MiadError, match=r"elements\.json is no JSON"):
            table_of(tmp_path, source=str(path), energy_frame="mp2020", references=str(references))
