"""Files for people: the S.U.N. crystals, and every sample with where it ended."""

import csv
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from pymatgen.core import Structure

from miad.io.any_format import read_any
from miad.report import candidates
from miad.report.candidates import LEDGER_COLUMNS, cif_names
from miad.sun import step as sun
from tests.builders.crystals import rock_salt
from tests.builders.finished import write_candidates
from tests.builders.judged import SAMPLES, write_sun_inputs
from tests.builders.settings import sun_settings


@pytest.fixture
def files(tmp_path: Path) -> dict:
    return write_sun_inputs(tmp_path)


def write(files: dict, folder: Path) -> None:
    sun.run(sun_settings(), **files)
    write_candidates(files, folder)


def test_candidates_are_the_sun_crystals(files: dict, tmp_path: Path) -> None:
    write(files, tmp_path)
    with (tmp_path / "candidates.csv").open() as text:
        rows = list(csv.DictReader(text))
    assert [row["crystal_id"] for row in rows] == ["r-0-1"]
    assert rows[0]["space_group"] == "Fm-3m (225)"
    assert rows[0]["decomposition"] == "1 NaCl" and rows[0]["num_rivals"] == "1"
    assert rows[0]["hull"] == "by hand"
    read = Structure.from_file(tmp_path / "cif" / rows[0]["cif"])
    assert read.composition.reduced_formula == "NaCl"
    assert np.isclose(read.density, float(rows[0]["density"]), rtol=1e-4)


def test_ledgers_hold_every_sample(files: dict, tmp_path: Path) -> None:
    write(files, tmp_path)
    table = pyarrow.parquet.read_table(tmp_path / "ledger.parquet").to_pylist()
    with (tmp_path / "ledger.csv").open() as text:
        rows = list(csv.DictReader(text))
    assert [row["crystal_id"] for row in rows] == [one.crystal_id for one in SAMPLES]
    assert [row["reason"] for row in table] == [row["reason"] for row in rows]
    assert set(table[0]) == set(LEDGER_COLUMNS)
    assert table[6]["reason"] == "not decoded" and table[6]["is_unique"] is None
    assert table[2]["known_as"] == "train-0"


def test_a_run_that_shares_all_steps_with_another_has_its_own_name(files: dict, tmp_path: Path) -> None:
    sun.run(sun_settings(), **files)
    write_candidates(files, tmp_path, run="uniform_masked")
    for name in ("candidates.csv", "ledger.csv"):
        with (tmp_path / name).open() as text:
            assert {row["run"] for row in csv.DictReader(text)} == {"uniform_masked"}


def test_a_second_writing_replaces_the_first(files: dict, tmp_path: Path) -> None:
    (tmp_path / "cif").mkdir()
    (tmp_path / "cif" / "old.cif").write_text("stale")
    write(files, tmp_path)
    assert [path.name for path in (tmp_path / "cif").iterdir()] == ["r-0-1.cif"]


def test_ids_become_safe_file_names() -> None:
    (name,) = cif_names([rock_salt("../a b/c")], several=False)
    assert re.fullmatch(r"a_b_c~[0-9a-f]{16}\.cif", name)
    assert cif_names([rock_salt("x").replace(calculator="CHGNet 0.3.0")], several=True) == ["x_CHGNet_0.3.0.cif"]


def test_many_candidates_share_files_that_can_be_read_back(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(candidates, "MAX_FILES", 2)
    crystals = {f"{name}.cif": rock_salt(name) for name in ("a-0-1", "a-0-2", "a-1-7")}
    named = candidates._write_cifs(tmp_path / "cif", crystals)
    assert named == ["candidates-0000.cif", "candidates-0000.cif", "candidates-0001.cif"]
    read = read_any(tmp_path / "cif", "again")
    assert [one.source_id for one in read[:2]] == ["a-0-1", "a-0-2"] and len(read) == 3
    assert all(one.failure is None and one.reduced_formula == "NaCl" for one in read)


def test_ids_that_differ_only_in_what_file_names_cannot_have_get_files_of_their_own():
    crystals = [rock_salt(name) for name in ("a b", "a_b", "a/b", "a_b_2")]
    names = candidates.cif_names(crystals, several=False)
    assert names[1::2] == ["a_b.cif", "a_b_2.cif"] and len(set(names)) == 4


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_cell_or_coordinate_that_is_no_number_never_reaches_spglib(odd, monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError("spglib was asked")

    monkeypatch.setattr("pymatgen.symmetry.analyzer.SpacegroupAnalyzer", refuse)
    lattice, coords = rock_salt("a").lattice.copy(), rock_salt("a").frac_coords.copy()
    lattice[0, 0] = coords[0, 0] = odd
    assert candidates.space_group(rock_salt("a").replace(lattice=lattice)) is None
    assert candidates.space_group(rock_salt("a").replace(frac_coords=coords)) is None
