"""Every format gives the same crystals, and a broken one costs only itself."""

import gzip
import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas
import pytest
from ase import Atoms
from ase.io import write
from pymatgen.core import Structure

from miad.core.crystal import Crystal, write_crystals
from miad.core.errors import MiadError
from miad.io import any_format, cif_files
from miad.io.any_format import read_any
from tests.builders.crystals import rock_salt
from tests.builders.inputs import (
    cifs,
    make_blocks,
    make_csv,
    make_entries,
    make_folder,
    make_json,
    make_lines,
    make_xyz,
    make_zip,
    make_zip_of_blocks,
    structures,
    xyz,
)

BROKEN = "data_x\n_cell_length_a wrong\n"


ONE_FILE = [make_csv, make_blocks, make_json, make_entries, make_lines, make_xyz]


def other_packing(path: Path) -> Path:
    """The same file packed if it was plain, and plain if it was packed."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        other, content = path.with_suffix(""), gzip.decompress(content)
    else:
        other, content = path.with_name(f"{path.name}.gz"), gzip.compress(content)
    path.unlink()
    other.write_bytes(content)
    return other


FORMATS = [(make, False) for make in (*ONE_FILE, make_folder, make_zip, make_zip_of_blocks)]
FORMATS += [(make, True) for make in ONE_FILE]


@pytest.mark.parametrize(("make", "is_repacked"), FORMATS)
def test_every_format_gives_the_same_crystals(tmp_path: Path, make, is_repacked: bool) -> None:
    path = other_packing(make(tmp_path)) if is_repacked else make(tmp_path)
    found = {crystal.source_id: crystal for crystal in read_any(path, "set")}
    assert set(found) == {"salt-7", "cscl-8"}
    assert {crystal.crystal_id for crystal in found.values()} == {"set-0-0", "set-0-1"}
    for name, structure in structures().items():
        assert found[name].failure is None
        assert found[name].volume == pytest.approx(structure.volume, rel=1e-6)
        assert sorted(found[name].atomic_numbers) == sorted(structure.atomic_numbers)
        distances = found[name].structure.distance_matrix
        assert np.allclose(np.sort(distances.ravel()), np.sort(structure.distance_matrix.ravel()), atol=1e-6)


def test_our_own_lines_keep_their_ids(tmp_path: Path) -> None:
    write_crystals(tmp_path / "a.jsonl.gz", [rock_salt("run-0-7")])
    assert [crystal.crystal_id for crystal in read_any(tmp_path / "a.jsonl.gz", "set")] == ["run-0-7"]


def test_energies_that_the_input_carries_are_per_atom(tmp_path: Path) -> None:
    (tmp_path / "e.xyz").write_text(xyz(energies=True))
    assert [(one.energy_per_atom, one.energy_frame) for one in read_any(tmp_path / "e.xyz", "s")] == [
        (-3.0, "mp2020")
    ] * 2


def test_an_energy_of_nobody_knows_how_many_atoms_is_not_read_and_this_is_said(tmp_path: Path, caplog) -> None:
    rows = "".join(f'{name},-24.0,"{text}"\n' for name, text in cifs().items())
    (tmp_path / "e.csv").write_text("id,energy,cif\n" + rows)
    lines = [
        json.dumps({"id": name, "energy": -24.0, "structure": one.as_dict()}) for name, one in structures().items()
    ]
    (tmp_path / "e.jsonl").write_text("\n".join(lines))
    for name in ("e.csv", "e.jsonl"):
        caplog.clear()
        assert [one.energy_per_atom for one in read_any(tmp_path / name, "e")] == [None, None]
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert [name in said for said in warnings] == [True]
        assert "Name it energy_per_atom" in caplog.text
    caplog.clear()
    (tmp_path / "e.csv").write_text("id,energy_per_atom,cif\n" + rows)
    read_any(tmp_path / "e.csv", "e")
    read_any(make_entries(tmp_path), "e")
    assert "energy" not in caplog.text


def test_a_broken_crystal_keeps_its_place_and_gains_a_reason(tmp_path: Path) -> None:
    rows = f'good,"{cifs()["salt-7"]}"\nbad,"{BROKEN}"\nempty,\n'
    (tmp_path / "mixed.csv").write_text("id,cif\n" + rows)
    crystals = read_any(tmp_path / "mixed.csv", "m")
    assert [crystal.source_id for crystal in crystals] == ["good", "bad", "empty"]
    assert [crystal.failure is None for crystal in crystals] == [True, False, False]
    assert all(crystal.failure.step == "read" for crystal in crystals[1:])


def test_a_broken_frame_costs_only_itself(tmp_path: Path) -> None:
    head, *_ = xyz().split("Cl", 1)
    frames = xyz().splitlines(keepends=True)
    frames[3] = "Xx one two three\n"
    no_cell = "1\nProperties=species:S:1:pos:R:3 id=free\nNa 0 0 0\n"
    (tmp_path / "a.xyz").write_text("".join(frames) + no_cell)
    crystals = read_any(tmp_path / "a.xyz", "x")
    assert head and [crystal.failure is None for crystal in crystals] == [False, True, False]
    assert "Lattice" in crystals[2].failure.reason


def test_deuterium_and_tritium_are_hydrogen(tmp_path: Path) -> None:
    species_first = xyz().replace("Cl ", "D ").replace("Na ", "T ", 1)
    rows = ["2", 'Lattice="3 0 0 0 3 0 0 0 3" Properties=pos:R:3:species:S:1 pbc="T T T"', "0 0 0 D", "1.5 1.5 1.5 Li"]
    (tmp_path / "a.xyz").write_text(species_first + "\n".join(rows))
    crystals = read_any(tmp_path / "a.xyz", "a")
    assert [one.failure for one in crystals] == [None] * 3
    assert sorted(crystals[0].atomic_numbers) == [1] * 5 + [11] * 3
    assert sorted(crystals[2].atomic_numbers) == [1, 3]


@pytest.mark.parametrize("energy", ["none", '"1 2"', '""'])
def test_an_odd_energy_is_none(tmp_path: Path, energy: str) -> None:
    (tmp_path / "a.extxyz").write_text(xyz().replace(' pbc="', f' energy={energy} pbc="', 1))
    crystals = read_any(tmp_path / "a.extxyz", "a")
    assert [(one.failure, one.energy_per_atom) for one in crystals] == [(None, None)] * 2


def test_a_broken_file_of_a_folder_costs_only_itself(tmp_path: Path) -> None:
    path = make_folder(tmp_path)
    (path / "author.cif").write_bytes(b"# M\xfcller\n" + cifs()["salt-7"].encode())  # Latin-1, as many CIFs are
    (path / "torn.cif.gz").write_bytes(gzip.compress(cifs()["salt-7"].encode())[:-30])
    (path / "folder.cif").mkdir()
    crystals = read_any(path, "a")
    assert [one.source_id for one in crystals] == ["author", "cscl-8", "salt-7", "torn"]
    assert [bool(one.failure) for one in crystals] == [False, False, False, True]
    with pytest.raises(MiadError, match=r"torn\.cif\.gz cannot be read"):
        read_any(path / "torn.cif.gz", "a")


def test_a_crystal_that_costs_its_reader_more_than_an_error_keeps_its_place(tmp_path: Path, monkeypatch) -> None:
    def check(crystal: Crystal, step: str) -> Crystal:
        if crystal.num_atoms == 2:
            raise RecursionError("too deep")
        return crystal

    monkeypatch.setattr(any_format, "sound", check)
    found = read_any(make_blocks(tmp_path), "a")
    assert [(one.crystal_id, one.source_id) for one in found] == [("a-0-0", "salt-7"), ("a-0-1", "cscl-8")]
    assert found[0].failure is None and str(found[1].failure).startswith("read: RecursionError: too deep (")


def test_partly_occupied_and_dummy_sites_are_refused(tmp_path: Path) -> None:
    lattice = np.eye(3) * 4
    mixed = Structure(lattice, [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    dummy = Structure(lattice, ["X"], [[0, 0, 0]])
    heavy = Structure(lattice, ["Fm"], [[0, 0, 0]])
    (tmp_path / "odd.json").write_text(json.dumps([one.as_dict() for one in (mixed, dummy, heavy)] + [{"id": "none"}]))
    failures = [one.failure.reason for one in read_any(tmp_path / "odd.json", "o")]
    for failure, word in zip(failures, ("partly", "X", "Fm", "structure"), strict=True):
        assert word in failure


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.poscar", "x", "no known format"),
        ("a.xyz", "two\n", "number of atoms"),
        ("a.json", "{", "not JSON"),
        ("a.zip", "PK", "not a zip"),
        ("a.json", "[]", "no crystals"),
        ("a.json", "[" * 100_000, "not JSON"),
        ("a.jsonl", '{"sites": ' + "[" * 100_000, "line 1 is not JSON"),
    ],
)
def test_files_that_are_damaged_as_a_whole_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(MiadError, match=message):
        read_any(tmp_path / name, "a")


def test_a_frame_that_promises_more_atoms_than_the_file_has_ends_with_it(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text(xyz() + "1000000000000\n")
    assert [one.failure is None for one in read_any(tmp_path / "a.xyz", "a")] == [True, True, False]


def test_names_in_other_encodings_cost_nothing_in_cif_and_are_named_elsewhere(tmp_path: Path) -> None:
    text = "# M\u00fcller\n" + cifs()["salt-7"]
    (tmp_path / "a.cif").write_bytes(text.encode("latin-1"))
    assert [one.failure for one in read_any(tmp_path / "a.cif", "a")] == [None]
    (tmp_path / "a.xyz").write_bytes(xyz().replace("id=", "name=M\u00fcller id=").encode("latin-1"))
    with pytest.raises(MiadError, match=r"a\.xyz is damaged, or no text in UTF-8"):
        read_any(tmp_path / "a.xyz", "a")
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"[1, 2, 3]" * 100)[:-9])
    with pytest.raises(MiadError, match="is damaged"):
        read_any(tmp_path / "a.json.gz", "a")


def test_a_bad_file_of_a_folder_costs_only_itself(tmp_path: Path, monkeypatch) -> None:
    folder = make_folder(tmp_path)
    (folder / "bad.cif.gz").write_bytes(b"\x1f\x8bno gzip")
    (folder / "gone.cif").symlink_to("nowhere")
    (folder / "large.cif").write_text("#" * 5000)
    monkeypatch.setattr(cif_files, "MAX_FILE", 4000)
    failures = {one.source_id: one.failure for one in read_any(folder, "f")}
    assert failures.keys() == {"bad", "gone", "large", "salt-7", "cscl-8"}
    assert {name for name, failure in failures.items() if failure is None} == {"salt-7", "cscl-8"}
    assert "cannot be read" in failures["bad"].reason and "refused unread" in failures["large"].reason


def test_a_file_of_short_lines_takes_no_more_memory_than_its_text(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.cif", "a\n" * 2_000_000)
    tracemalloc.start()
    [read] = read_any(tmp_path / "a.zip", "a")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "refused unread" in read.failure.reason
    assert peak < 5 * 4_000_000


def test_a_block_without_sites_beside_those_of_crystals_is_none(tmp_path: Path) -> None:
    about = "data_global\n_publ_author_name 'A. B.'\n"
    (tmp_path / "two.cif").write_text(about + make_blocks(tmp_path).read_text())
    assert [(one.source_id, one.failure) for one in read_any(tmp_path / "two.cif", "a")] == [
        ("salt-7", None),
        ("cscl-8", None),
    ]
    (tmp_path / "one.cif").write_text(about + cifs()["salt-7"])
    assert [(one.source_id, one.failure) for one in read_any(tmp_path / "one.cif", "a")] == [("one", None)]
    (tmp_path / "none.cif").write_text(about + about)
    assert all(one.failure for one in read_any(tmp_path / "none.cif", "a"))


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MiadError, match="does not exist"):
        read_any(tmp_path / "nowhere.cif", "a")


def test_samples_of_another_program(real_data: Path) -> None:
    crystals = read_any(real_data / "generated" / "diffcsp_mp20_first1000.extxyz.gz", "diffcsp")
    assert len(crystals) == 1000
    assert not any(isinstance(one, Crystal) and one.failure for one in crystals)
    assert crystals[7].source_id == "diffcsp-00007"


def test_a_blank_line_between_frames_hides_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("\ufeff" + xyz().replace("\n2\nLattice", "\n\n2\nLattice") + "\n\n")
    assert [one.source_id for one in read_any(tmp_path / "a.xyz", "a")] == ["salt-7", "cscl-8"]


@pytest.mark.parametrize("identity", ["007", "12e4", "F", "1_000"])
def test_ids_of_frames_are_kept_as_they_are_written(tmp_path: Path, identity: str) -> None:
    (tmp_path / "a.xyz").write_text(xyz().replace("salt-7", identity).replace("id=cscl-8", 'name="1 2"'))
    assert [one.source_id for one in read_any(tmp_path / "a.xyz", "a")] == [identity, "1 2"]


@pytest.mark.parametrize("energy", ["N/A", '"1 2"'])
def test_an_odd_energy_is_no_energy(tmp_path: Path, energy: str) -> None:
    (tmp_path / "a.xyz").write_text(xyz(energies=True).replace("energy=-24.0", f"energy={energy}"))
    assert [one.energy_per_atom for one in read_any(tmp_path / "a.xyz", "a")] == [None, -3.0]


@pytest.mark.parametrize(("energy", "value"), [("nan", "nan"), ("inf", "inf"), ("1e400", "inf")])
def test_an_energy_that_is_not_finite_fails_its_crystal_by_name(tmp_path: Path, energy: str, value: str) -> None:
    (tmp_path / "a.xyz").write_text(xyz(energies=True).replace("energy=-24.0", f"energy={energy}"))
    bad, good = read_any(tmp_path / "a.xyz", "a")
    assert (str(bad.failure), good.failure) == (f"read: its energy_per_atom is {value}, no finite number", None)
    assert (bad.source_id, bad.num_atoms) == ("salt-7", 0)


@pytest.mark.parametrize("name", ["ID", "Material_ID", "Name", "", "Unnamed: 0"])
def test_an_id_has_any_case_or_is_the_index_of_pandas(tmp_path: Path, name: str) -> None:
    rows = "".join(f'{identity},"{text}",1\n' for identity, text in cifs().items())
    (tmp_path / "a.csv").write_text(f"{name},cif,n\n{rows}")
    assert [one.source_id for one in read_any(tmp_path / "a.csv", "a")] == ["salt-7", "cscl-8"]
    (tmp_path / "a.csv").write_text(f"{name},cif,Entry_ID\n{rows}")
    assert read_any(tmp_path / "a.csv", "a")[0].source_id == ("salt-7" if name and ":" not in name else "1")


def test_an_id_of_a_frame_or_of_json_has_any_case(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text(xyz().replace(" id=", " ID="))
    (tmp_path / "a.json").write_text(json.dumps([{"Id": n, "structure": s.as_dict()} for n, s in structures().items()]))
    for name in ("a.xyz", "a.json"):
        assert [one.source_id for one in read_any(tmp_path / name, "a")] == ["salt-7", "cscl-8"]


def test_a_folder_holds_what_was_put_there_and_a_broken_file_costs_only_itself(tmp_path: Path) -> None:
    folder, text = make_folder(tmp_path), cifs()["salt-7"]
    for name in ("__MACOSX/._salt-7.cif", "._salt-7.cif", ".ipynb_checkpoints/salt-7-checkpoint.cif"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\x00\x05\x16\x07\xb0")
    (folder / "latin.cif").write_bytes(text.replace("data_NaCl", "data_NaCl\n# Müller").encode("latin-1"))
    (folder / "torn.cif.gz").write_bytes(gzip.compress(text.encode())[:-20])
    found = {one.source_id: one.failure for one in read_any(folder, "f")}
    assert set(found) == {"salt-7", "cscl-8", "latin", "torn"}
    assert [name for name, failure in found.items() if failure] == ["torn"]


def test_a_zip_holds_what_was_put_there(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("in/a.cif", "in/._a.cif", "in/__MACOSX/._a.cif"):
            archive.writestr(name, cifs()["salt-7"])
    assert [one.source_id for one in read_any(tmp_path / "a.zip", "a")] == ["a"]


@pytest.mark.parametrize("make", [make_xyz, make_json, make_lines, make_blocks])
def test_a_torn_file_is_named(tmp_path: Path, make) -> None:
    path = other_packing(make(tmp_path))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(MiadError, match=rf"{path.name} (is damaged|cannot be read)"):
        read_any(path, "a")


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes(xyz().replace("id=salt-7", "by=Müller").encode("latin-1"))
    with pytest.raises(MiadError, match="UTF-8"):
        read_any(tmp_path / "a.xyz", "a")


@pytest.mark.parametrize(("correction", "frame"), [(0.0, None), (-8.0, "mp2020")])
def test_computed_entries_carry_their_energies(tmp_path: Path, correction: float, frame: str | None) -> None:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    entry = ComputedStructureEntry(rock_salt("a").structure, -24.0, correction=correction, entry_id="salt")
    (tmp_path / "a.json").write_text(json.dumps([entry.as_dict()]))
    (found,) = read_any(tmp_path / "a.json", "a")
    assert (found.energy_per_atom, found.energy_frame) == (pytest.approx(-3.0 + correction / 8), frame)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("orient", ["columns", "index", "records", "split", "table", "entries"])
def test_a_data_frame_is_read_in_every_orient(tmp_path: Path, orient: str, named: bool) -> None:
    rows = [{"structure": one.as_dict(), "energy_per_atom": -1.0 - n} for n, one in enumerate(structures().values())]
    rows = [{"material_id": f"wbm-1-{n}", **row} if named else row for n, row in enumerate(rows)]
    frame = pandas.DataFrame(rows, index=["a", "b"])
    content = json.dumps({"entries": rows}) if orient == "entries" else frame.to_json(orient=orient)
    (tmp_path / "frame.json").write_text(content)
    found = read_any(tmp_path / "frame.json", "f")
    assert [one.failure for one in found] == [None, None]
    assert [one.energy_per_atom for one in found] == [-1.0, -2.0]
    assert [one.structure.reduced_formula for one in found] == [one.reduced_formula for one in structures().values()]
    if orient in ("columns", "split", "table"):
        assert [one.source_id for one in found] == (["wbm-1-0", "wbm-1-1"] if named else ["a", "b"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"structure": {"0": {}, "1": {}}, "id": {"0": "a"}}, "column id"),
        ({"columns": ["id", "structure"], "index": [0], "data": [["a"]]}, "row 0"),
        ({"columns": ["structure"], "index": [0, 1], "data": [[{}]]}, "2 labels for 1 rows"),
    ],
)
def test_a_torn_data_frame_is_named(tmp_path: Path, content: dict, reason: str) -> None:
    (tmp_path / "frame.json").write_text(json.dumps(content))
    with pytest.raises(MiadError, match=rf"frame\.json is no whole data frame.*{reason}"):
        read_any(tmp_path / "frame.json", "f")


def test_occupancies_that_ase_notes_are_refused_as_in_cif(tmp_path: Path) -> None:
    noted = Atoms("CsCl", scaled_positions=[[0, 0, 0], [0.5] * 3], cell=[4.1] * 3, pbc=True)
    frames = [noted.copy() for _ in range(5)]
    frames[0].info["occupancy"] = {"0": {"Cs": 0.6, "Rb": 0.4}, "1": {"Cl": 1}}
    frames[1].info["occupancy"] = {"0": {"Cs": 1.0}, "1": {"Cl": 1}}
    frames[2].arrays["occupancy"] = np.array([0.5, 1.0])
    frames[3].arrays["occupancy"] = np.array([1.0, 1.0])
    write(tmp_path / "noted.extxyz", frames, format="extxyz")
    found = read_any(tmp_path / "noted.extxyz", "o")
    assert [one.failure is not None for one in found] == [True, False, True, False, False]
    assert all("partly occupied" in str(found[n].failure) for n in (0, 2))
