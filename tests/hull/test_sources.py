"""Reference energies of every provider end as the same plain table, in a frame that is known."""

import dataclasses
import gzip
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from miad.config.sections import Unreadable
from miad.core.crystal import Crystal
from miad.core.errors import MiadError
from miad.core.files import checksum
from miad.hull.convex import ConvexHull, HullTable, read_table
from miad.hull.sources import COMPETING_PHASES, from_crystals, read_source
from miad.hull.step import run
from tests.builders.pickled_diagram import pickled_diagram
from tests.builders.settings import dataset_settings, hull_settings


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
    with pytest.raises(MiadError, match=r"points\.csv is broken"):
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
        ("", "is empty"),
        ("formula,e_total_MP2020_per_atom\n", "has no rows"),
        ("formula,energy\nNa,1\n", "columns formula, energy"),
        (
            "formula,e_total_MP2020_per_atom\nNa,high\n",
            "row 2 \\(Na\\): its e_total_MP2020_per_atom 'high' is no number",
        ),
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
        with pytest.raises(MiadError, match=r"elements\.json.* is .*JSON of \{element: eV/atom\}"):
            table_of(tmp_path, source=str(path), energy_frame="mp2020", references=str(references))


def computed(tmp_path: Path, *changes: dict) -> Path:
    """A hull of Cs, Cl2 and CsCl as pymatgen writes it, with more entries, or others of the same id."""
    entries = {
        "Cs": {"energy": -0.9, "composition": {"Cs": 1.0}},
        "Cl": {"energy": -3.6, "composition": {"Cl": 2.0}},
        "CsCl": {"energy": -6.186, "composition": {"Cs": 1.0, "Cl": 1.0}, "correction": -0.614},
    }
    for name, entry in entries.items():
        entry |= {"entry_id": name, "parameters": {"run_type": "GGA"}}
    for change in changes:
        entries[change["entry_id"]] = entries.get(change["entry_id"], {}) | change
    path = tmp_path / "computed.json"
    path.write_text(json.dumps(list(entries.values())))
    return path


SOUND = {"Cl2": -1.8, "Cs": -0.9, "CsCl": -3.4}


@pytest.mark.parametrize(
    "run_type", ["R2SCAN", "r2SCAN", "R2SCAN+U", "HSE06", {"@class": "RunType", "value": "r2SCAN"}, "PBESOL", "LDA"]
)
def test_other_functionals_are_left_out_with_a_word(tmp_path: Path, caplog, run_type) -> None:
    other = {"entry_id": "b", "energy": -60.0, "composition": {"Cs": 1, "Cl": 1}, "parameters": {"run_type": run_type}}
    path = computed(tmp_path, other)
    assert energies(table_of(tmp_path, source=str(path), energy_frame="mp2020")) == pytest.approx(SOUND)
    assert "computed.json: 1 of " in caplog.text
    assert "left out" in caplog.text


@pytest.mark.parametrize("run_type", ["GGA+U", "GGA_U", "PBE", "PBE+U", "PE", None])
def test_gga_and_gga_with_u_go_together(tmp_path: Path, caplog, run_type) -> None:
    other = {"entry_id": "b", "energy": -8.0, "composition": {"Cs": 1, "Cl": 1}, "parameters": {"run_type": run_type}}
    table = table_of(tmp_path, source=str(computed(tmp_path, other)), energy_frame="mp2020")
    assert energies(table) == pytest.approx(SOUND | {"CsCl": -4.0})
    assert not caplog.text


def test_a_hull_without_gga_is_of_one_functional_and_uncorrected(tmp_path: Path, caplog) -> None:
    scan = [{"entry_id": name, "parameters": {"run_type": "R2SCAN"}} for name in ("Cs", "Cl", "CsCl")]
    path = computed(tmp_path, *scan)
    with pytest.raises(MiadError, match=r"computed\.json has no entry .* only 3 of R2SCAN"):
        table_of(tmp_path, source=str(path), energy_frame="mp2020")
    assert energies(table_of(tmp_path, source=str(path), energy_frame="uncorrected"))["CsCl"] == -3.093
    assert "all entries are R2SCAN" in caplog.text
    path = computed(tmp_path, *scan, {"entry_id": "Cs", "parameters": {"run_type": "HSE06"}})
    with pytest.raises(MiadError, match="1 of HSE06, 2 of R2SCAN"):
        table_of(tmp_path, source=str(path), energy_frame="uncorrected")


def test_functionals_of_a_csv_are_not_mixed(tmp_path: Path, caplog) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("formula,corrected_energy_per_atom,run_type\nNa,-1.3,GGA\nNa,-30,R2SCAN\nNaCl,-3.4,GGA+U\n")
    assert energies(table_of(tmp_path, source=str(path))) == {"Na": -1.3, "NaCl": -3.4}
    assert "1 of R2SCAN left out" in caplog.text


@pytest.mark.parametrize(
    "ions",
    [{"Cs+": 1, "Cl-": 1}, {"Cs1+": 1, "Cl1-": 1}, {"Cs+1": 1, "Cl-,spin=0": 1}, {"Cs+": 1, "Cs0+": 1, "Cl-": 2}],
)
def test_charged_species_are_their_elements(tmp_path: Path, ions: dict) -> None:
    size = sum(ions.values()) / 2
    charged = {"entry_id": "CsCl", "composition": ions, "energy": -6.186 * size, "correction": -0.614 * size}
    table = table_of(tmp_path, source=str(computed(tmp_path, charged)), energy_frame="mp2020")
    assert energies(table) == pytest.approx(SOUND)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ({"energy": float("nan")}, "its energy 'nan' is no number"),
        ({"energy": float("-inf")}, "its energy '-inf' is no number"),
        ({"energy": 10**400}, "is no number"),
        ({"energy": "low"}, "its energy 'low' is no number"),
        ({"energy": None}, "its energy 'None' is no number"),
        ({"correction": float("nan")}, "its correction 'nan' is no number"),
        ({"composition": {}}, "its composition is empty"),
        ({"composition": {"Cs": 0.0}}, "its composition is empty"),
        ({"composition": {"Cs": float("nan")}}, "'Cs: nan' is no amount"),
        ({"composition": {"Cs": -1}}, "'Cs: -1' is no amount"),
        ({"composition": {"CsCl": 1}}, "it contains CsCl, which is not an element"),
        ({"composition": {"Cs2": 1}}, "it contains Cs2, which is not an element"),
        ({"composition": {"X": 1}}, "it contains X, which is not an element"),
    ],
)
def test_an_entry_that_is_none_is_named(tmp_path: Path, odd: dict, message: str) -> None:
    bad = {"entry_id": "bad", "energy": -1.0, "composition": {"Cs": 2, "Cl": 1}} | odd
    with pytest.raises(MiadError, match=rf"computed\.json: 1 of 4 entries .*{message}.* \(e\.g\. entry 4 \(bad\)\)"):
        table_of(tmp_path, source=str(computed(tmp_path, bad)), energy_frame="mp2020")


def test_an_empty_hull_and_references_without_energy_are_named(tmp_path: Path) -> None:
    path, references = tmp_path / "none.json", tmp_path / "elements.json"
    path.write_text("[]")
    with pytest.raises(MiadError, match=r"none\.json holds no entries"):
        table_of(tmp_path, source=str(path), energy_frame="mp2020")
    references.write_text('{"Cs": NaN}')
    with pytest.raises(MiadError, match=r"elements\.json, Cs: nan is no energy"):
        table_of(tmp_path, source=str(computed(tmp_path)), energy_frame="mp2020", references=str(references))


def test_a_table_of_ours_without_a_number_is_named(tmp_path: Path) -> None:
    path = tmp_path / "entries.csv"
    path.write_text("formula,num_atoms,energy_per_atom,entry_id,energy_frame,hull,source\nCs,1,nan,a,mp2020,h,s\n")
    with pytest.raises(MiadError, match=r"entries\.csv, line 2 is no entry \(its energy is nan\)"):
        table_of(tmp_path, source=str(path))


def test_the_functional_can_be_chosen(tmp_path: Path, caplog) -> None:
    scan = [{"entry_id": f"{name}-scan", "composition": {name: 1}, "energy": -30.0} for name in ("Cs", "Cl")]
    path = computed(tmp_path, *[one | {"parameters": {"run_type": "R2SCAN+U"}} for one in scan])
    table = table_of(tmp_path, source=str(path), energy_frame="uncorrected", functional="r2SCAN")
    assert energies(table) == {"Cs": -30.0, "Cl2": -30.0}
    assert "3 of GGA left out" in caplog.text
    with pytest.raises(MiadError, match=r"only 3 of GGA, 2 of R2SCAN, of which hull\.functional takes R2SCAN"):
        table_of(tmp_path, source=str(path), energy_frame="mp2020", functional="r2SCAN")
    with pytest.raises(MiadError, match=r"no entry whose run_type is HSE06, only 3 of GGA, 2 of R2SCAN"):
        table_of(tmp_path, source=str(path), energy_frame="uncorrected", functional="HSE06")


def test_a_few_entries_that_cannot_be_read_are_left_out_with_a_word(tmp_path: Path, caplog) -> None:
    many = [{"entry_id": f"x{n}", "energy": 1.0, "composition": {"Cs": 1}} for n in range(17)]
    odd = [{"entry_id": f"bad{n}", "energy": energy, "composition": {"Cl": 1}} for n, energy in enumerate(("x", "y"))]
    path = computed(tmp_path, *many, odd[0], odd[1])
    assert energies(table_of(tmp_path, source=str(path), energy_frame="mp2020")) == pytest.approx(SOUND)
    assert "2 of 22 entries failed and are left out of the hull: 2 × its energy 'x' is no number" in caplog.text
    strict = dataclasses.replace(hull_settings().dataset, bound=Unreadable(max_share=0.05))
    with pytest.raises(MiadError, match=r"2 of 22 entries cannot be read, more than 0\.05 .*unreadable\.max_share"):
        table_of(tmp_path, source=str(path), energy_frame="mp2020", dataset=strict)
    path = tmp_path / "mine.csv"
    path.write_text("formula,e_total_MP2020_per_atom\n" + "Na,-1.3\n" * 10 + "Cl,\n")
    assert energies(table_of(tmp_path, source=str(path))) == {"Na": -1.3}
    assert "1 of 11 entries failed" in caplog.text and "row 12 (Cl)" in caplog.text


def test_an_id_with_two_energies_is_refused_and_repeated_entries_count_once(tmp_path: Path, caplog) -> None:
    entries = json.loads(computed(tmp_path).read_text())
    path = tmp_path / "twice.json"
    path.write_text(json.dumps([*entries, entries[2]]))
    assert energies(table_of(tmp_path, source=str(path), energy_frame="mp2020")) == pytest.approx(SOUND)
    assert "1 entries repeat others of the same id and count once" in caplog.text
    for change in ({"energy": -9.0}, {"composition": {"Cs": 1.0, "Cl": 3.0}}):
        path.write_text(json.dumps([*entries, entries[2] | change]))
        with pytest.raises(
            MiadError, match=r"the id CsCl is that of entry 3 \(CsCl\), CsCl at -3\.4.* entry 4 \(CsCl\)"
        ):
            table_of(tmp_path, source=str(path), energy_frame="mp2020")
    path = tmp_path / "twice.csv"
    path.write_text("formula,e_total_MP2020_per_atom,material_id\nNa,-1.3,a\nNa,-1.2,a\n")
    with pytest.raises(MiadError, match=r"the id a is that of row 2 \(a\), Na at -1\.3.* row 3 \(a\), Na at -1\.2"):
        table_of(tmp_path, source=str(path))


@pytest.mark.parametrize("odd", [7, "x", None, [], {}, {"composition": [1]}, {"composition": {"Cs": 1}}])
def test_a_record_that_is_no_entry_is_named(tmp_path: Path, odd) -> None:
    path = tmp_path / "odd.json"
    path.write_text(json.dumps([{"composition": {"Cs": 1}, "energy": -0.9}, odd]))
    with pytest.raises(MiadError, match=r"odd\.json: 1 of 2 entries cannot be read.* its? .*\(e\.g\. entry 2\)"):
        table_of(tmp_path, source=str(path), energy_frame="uncorrected")


def test_entries_may_stand_under_a_key_of_that_name(tmp_path: Path) -> None:
    path = tmp_path / "entries.json"
    path.write_text(json.dumps({"entries": json.loads(computed(tmp_path).read_text())}))
    assert energies(table_of(tmp_path, source=str(path), energy_frame="mp2020")) == pytest.approx(SOUND)


PLAIN = "formula,energy_per_atom\nCs,-0.9\nCl,-1.8\nCsCl,-3.4\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace(",", ";"),
        "sep=;\n" + PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", ", "),
        "formula_pretty" + PLAIN.removeprefix("formula"),  # of Materials Project's interface
        "formula,energy_per_atom,energy_type\nCs,-0.9,GGA\nCl,-1.8,GGA\nCsCl,-3.4,GGA+U\nCsCl,-30,R2SCAN\n",
        "formula,energy_per_atom,functional\nCs,-0.9,pbe\nCl,-1.8,pbe\nCsCl,-3.4,pbe\nCsCl,-30,scan\n",  # of LeMat
    ],
)
def test_tables_of_other_programs_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.csv").write_text(text)
    table = table_of(tmp_path, source=str(tmp_path / "mine.csv"), energy_frame="mp2020")
    assert energies(table) == {"Cs": -0.9, "Cl2": -1.8, "CsCl": -3.4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.replace("-3.4", "-3,4"), "more fields than the header"),
        ("formula;energy_per_atom\nCs;-0,9\n", "-0,9' is no number"),
        (PLAIN.replace("formula,", "energy_per_atom,formula,").replace("\nC", "\n-1,C"), "several columns energy_per"),
        (PLAIN.replace("-3.4", "-1e300"), "no finite number below"),
        (PLAIN + "CuSO4.5H2O,-5\n", "hydrate"),
    ],
)
def test_tables_that_may_mean_something_else_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(MiadError, match=message):
        table_of(tmp_path, source=str(tmp_path / "mine.csv"), energy_frame="mp2020")


def test_the_built_in_set_is_judged_together_with_its_competing_phases(tmp_path: Path) -> None:
    """Each set of energies is in the hull, and a set of another name or with files of its own stands alone."""
    phases = read_table(Path(str(files("miad.prototypes"))) / COMPETING_PHASES)
    known = {"calculator": phases.source, "energy_frame": phases.energy_frame}
    crystals = [Crystal("a", np.eye(3) * 3, np.zeros((1, 3)), np.array([20]), energy_per_atom=-2.0, **known)]
    named = dataclasses.replace(dataset_settings(), name="prototypes", files={})
    table = from_crystals(hull_settings(dataset=named), crystals)
    assert {"Ca", *(entry.formula for entry in phases.entries)} == set(energies(table))
    assert table.name.startswith("prototypes and competing phases (CHGNet 0.3.0")
    assert table.source == f"1 crystals of the data set and {len(phases.entries)} competing phases"
    for other in (dataclasses.replace(named, name="mine"), dataclasses.replace(named, files={"train": "mine.csv"})):
        assert energies(from_crystals(hull_settings(dataset=other), crystals)) == {"Ca": -2.0}
    with pytest.raises(MiadError, match="mixes energies"):
        from_crystals(hull_settings(dataset=named), [crystals[0].replace(calculator="another")])


def test_the_hull_of_the_built_in_set_has_a_name_for_crystals_of_any_origin() -> None:
    table = read_source(hull_settings(source="prototypes"), [])
    assert table.name.startswith("prototypes and competing phases (CHGNet 0.3.0")
    assert {entry.formula for entry in table.entries} >= {"NaCl", "O2", "Si"} and table.energy_frame == "mp2020"
