"""Exports, read back as the programs that they are for read them."""

import json
import zipfile
from pathlib import Path

import ase.io
import numpy as np
import pytest
from monty.serialization import loadfn
from pyarrow import parquet
from pymatgen.core import Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.ase import AseAtomsAdaptor

from miad.core.crystal import write_crystals
from miad.core.errors import MiadError
from miad.core.tabular import read_csv
from miad.io.any_format import read_any
from miad.report import export
from tests.builders.finished import HOSTILE, NUM_SALTS, salt, samples, write_run


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_run(folder, "miad", samples("miad"))
    home = folder / "miad"
    export.run(
        candidates=home / "candidates.csv",
        ledgers=[home / "sun" / "chgnet" / "ledger.jsonl"],
        rows=[home / "sun" / "chgnet" / "row.json"],
        generated=[home / "sample" / "0.jsonl"],
        out=home / "export",
        run="miad",
    )
    return home


def test_candidates_are_the_same_in_every_format(home):
    lines = read_csv(home / "candidates.csv")
    frames = ase.io.read(home / "export" / "candidates.extxyz", ":")
    entries = loadfn(home / "export" / "candidates.json")
    records = parquet.read_table(home / "export" / "candidates.parquet").to_pylist()
    assert len(lines) == len(frames) == len(entries) == len(records) == NUM_SALTS
    for line, atoms, entry, record in zip(lines, frames, entries, records, strict=True):
        assert line["crystal_id"] == entry.entry_id == record["crystal_id"] == str(atoms.info["crystal_id"])
        assert entry.composition.reduced_formula == line["reduced_formula"]
        assert entry.energy_per_atom == pytest.approx(float(line["energy_per_atom"]))
        assert atoms.info["e_above_hull"] == pytest.approx(record["e_above_hull"]) == float(line["e_above_hull"])
        assert np.allclose(entry.structure.lattice.matrix, record["lattice"])
        assert np.allclose(atoms.get_scaled_positions() % 1, np.array(record["frac_coords"]) % 1, atol=1e-6)
        assert atoms.numbers.tolist() == record["atomic_numbers"]
        assert entry.data["energy_frame"] == record["energy_frame"] == "mp2020"


def test_mattergens_evaluator_finds_structures_and_energies_in_one_order(home):
    # As its load_structures does for the path of an extxyz file.
    frames = ase.io.read(home / "export" / "relaxed_chgnet.extxyz", ":")
    structures = [AseAtomsAdaptor.get_structure(atoms) for atoms in frames]
    energies = np.load(home / "export" / "energies_chgnet.npy")
    assert len(structures) == len(energies) == 34  # one of 35 could not be relaxed
    for atoms, structure, energy in zip(frames, structures, energies, strict=True):
        parameters = {"run_type": "GGA", "hubbards": {}, "is_hubbard": False}
        entry = ComputedStructureEntry(structure, energy, parameters=parameters)
        # The evaluator corrects them: what comes out is the energy that we have.
        [corrected] = MaterialsProject2020Compatibility(check_potcar=False).process_entries([entry], verbose=False)
        assert corrected.energy_per_atom == pytest.approx(atoms.info["energy_per_atom"], abs=1e-6)
    oxides = [energy for atoms, energy in zip(frames, energies, strict=True) if 8 in atoms.numbers]
    assert oxides and all(
        energy > atoms.info["energy_per_atom"] * len(atoms) + 0.5
        for atoms, energy in zip(frames, energies, strict=True)
        if set(atoms.numbers) == {12, 8}
    )


def test_both_evaluators_take_the_folder_of_cifs(home):
    paths = sorted((home / "export" / "generated").glob("*.cif"))
    assert len(paths) == 35  # all were decoded; one failed later
    found = {Structure.from_file(path).composition.reduced_formula for path in paths}
    assert {"NaCl", "LiF", "MgF"} <= found
    assert all("/" not in path.name and "<" not in path.name for path in paths)


def test_many_samples_share_one_zip(home, tmp_path, monkeypatch):
    # A million samples must not become a million files.
    monkeypatch.setattr(export, "MAX_FILES", 34)
    for out in (tmp_path / "once", tmp_path / "again"):
        export.run(
            candidates=home / "candidates.csv",
            ledgers=[home / "sun" / "chgnet" / "ledger.jsonl"],
            rows=[home / "sun" / "chgnet" / "row.json"],
            generated=[home / "sample" / "0.jsonl"],
            out=out,
            run="miad",
        )
        assert len([path for path in out.rglob("*") if path.is_file()]) < 10
        assert "--structures_path=generated.zip" in (out / "README.md").read_text(encoding="utf-8")
    assert (tmp_path / "once" / "generated.zip").read_bytes() == (tmp_path / "again" / "generated.zip").read_bytes()
    zipped = read_any(tmp_path / "once" / "generated.zip", "zipped")
    assert {one.reduced_formula for one in zipped} >= {"NaCl", "LiF", "MgF"} and len(zipped) == 35


def test_genbench_reads_the_csv(home):
    lines = read_csv(home / "export" / "relaxed_chgnet.csv")
    assert list(lines[0]) == ["material_id", "structure"]
    structures = [Structure.from_dict(json.loads(line["structure"])) for line in lines]
    assert len(structures) == 34 and lines[0]["material_id"] == HOSTILE


def test_the_readme_tells_what_is_missing(home):
    text = (home / "export" / "README.md").read_text(encoding="utf-8")
    assert "--energies_path=energies_chgnet.npy" in text and "--csv relaxed_chgnet.csv" in text
    # Their rates are shares of what is in the files: 34 of 35 could be relaxed.
    assert "| `generated/` | 35 of 35 | as it is |" in text
    assert "`relaxed_chgnet.csv` | 34 of 35 | times 34/35 |" in text
    frames = ase.io.read(home / "export" / "relaxed_chgnet.extxyz", ":")
    assert len(frames) == 34


def test_uncorrected_energies_stay_as_they_are():
    one = salt("x", 12, 8, 4.2).replace(energy_per_atom=-5.0, energy_frame="uncorrected")
    assert export.uncorrected(one) == -5.0
    # MgO: 0.687 eV per oxide ion, half of that per atom.
    assert export.uncorrected(one.replace(energy_frame="mp2020")) == pytest.approx(-5.0 + 0.687 / 2, abs=1e-6)
    with pytest.raises(MiadError, match="frame"):
        export.uncorrected(one.replace(energy_frame=None))


def test_names_are_those_of_the_row_and_of_the_run_wherever_the_files_are(home, tmp_path):
    row = json.loads((home / "sun" / "chgnet" / "row.json").read_text(encoding="utf-8"))
    assert row["calculator_name"] == "chgnet"
    for name, expected in (("mine", "relaxed_mine.csv"), (None, "relaxed_given.csv")):
        (tmp_path / "row.json").write_text(json.dumps(row | {"calculator_name": name}), encoding="utf-8")
        export.run(
            candidates=home / "candidates.csv",
            ledgers=[home / "sun" / "chgnet" / "ledger.jsonl"],
            rows=[tmp_path / "row.json"],
            generated=[home / "sample" / "0.jsonl"],
            out=tmp_path / "export",
            run="other",
        )
        assert (tmp_path / "export" / expected).is_file()
        assert (tmp_path / "export" / "README.md").read_text(encoding="utf-8").startswith("# Exports of other\n")


def test_no_candidates_are_no_error(home, tmp_path):
    (tmp_path / "candidates.csv").write_text("crystal_id,calculator\n")
    write_crystals(tmp_path / "chgnet" / "ledger.jsonl", [])
    write_crystals(tmp_path / "0.jsonl", [])
    export.run(
        candidates=tmp_path / "candidates.csv",
        ledgers=[tmp_path / "chgnet" / "ledger.jsonl"],
        rows=[home / "sun" / "chgnet" / "row.json"],
        generated=[tmp_path / "0.jsonl"],
        out=tmp_path / "export",
        run="miad",
    )
    assert loadfn(tmp_path / "export" / "candidates.json") == []
    assert len(np.load(tmp_path / "export" / "energies_chgnet.npy")) == 0


def test_a_candidate_without_a_crystal_is_named(home, tmp_path):
    (tmp_path / "candidates.csv").write_text("crystal_id,calculator\nodd-1,CHGNet\n")
    with pytest.raises(MiadError, match=r"odd-1 .* in none of the ledgers"):
        export.run(
            candidates=tmp_path / "candidates.csv",
            ledgers=[home / "sun" / "chgnet" / "ledger.jsonl"],
            rows=[home / "sun" / "chgnet" / "row.json"],
            generated=[],
            out=tmp_path,
            run="miad",
        )


@pytest.mark.parametrize("most", [1000, 1])
def test_ids_of_others_never_lead_out_of_the_folder(most, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MAX_FILES", most)
    names = ("../../precious", "/etc/precious", "", "..", "a/b", "plain")
    export.write_generated(tmp_path / "run" / "export", [salt(name, 11, 17, 5.6) for name in names])
    if most == 1:
        with zipfile.ZipFile(tmp_path / "run" / "export" / "generated.zip") as archive:
            written = [Path(name) for name in archive.namelist()]
    else:
        written = [one.relative_to(tmp_path / "run" / "export") for one in tmp_path.rglob("*") if one.is_file()]
    assert len(set(written)) == len(names) and Path("generated/plain.cif") in written
    assert all(one.parts[0] == "generated" and len(one.parts) == 2 and ".." not in one.parts for one in written)
    assert [one.name for one in tmp_path.iterdir()] == ["run"]
