"""Finished calculations from elsewhere: folders, archives and tables give what VASP here would have given."""

import gzip
import json
import os
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from miad.core.crystal import Crystal, read_crystals
from miad.core.errors import MiadError
from miad.dft.calculation import NOT_DFT, Calculation, write_calculations
from miad.dft.replay import read_runs, replayed, run
from miad.dft.run_files import fingerprint
from tests.builders.vasp_stand_in import potcars
from tests.builders.vasp_stand_in.chain import SENT
from tests.builders.vasp_stand_in.runs import write_run


@pytest.fixture(scope="module")
def pseudopotentials(tmp_path_factory):
    folder = tmp_path_factory.mktemp("potcars")
    potcars.write(folder)
    return folder / "POT_GGA_PAW_PBE"


@pytest.fixture(scope="module")
def runs(pseudopotentials, tmp_path_factory):
    """FeO with both relaxations and the static run, gzipped; NaCl with one relaxation; a broken file."""
    folder = tmp_path_factory.mktemp("runs") / "runs"
    for stage, energy in (("relax_1", -12.0), ("relax_2", -13.0), ("static", -13.2)):
        write_run(folder / "sample-1" / stage, SENT["FeO"], energy, pseudopotentials, stage == "static")
        path = folder / "sample-1" / stage / "vasprun.xml"
        path.with_name("vasprun.xml.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    write_run(folder / "sample-2", SENT["NaCl"], -6.8, pseudopotentials, False)
    (folder / "sample-3").mkdir()
    (folder / "sample-3" / "vasprun.xml").write_text("<modeling> <<<")
    return folder


def check_runs(found: list[Calculation]) -> None:
    by_id = {one.crystal_id: one for one in found}
    assert list(by_id) == ["sample-1", "sample-2", "sample-3"]
    # Of several runs the static one counts.
    assert by_id["sample-1"].entry["energy"] == pytest.approx(-13.2)
    assert by_id["sample-1"].entry["parameters"]["run_type"] == "GGA+U"
    assert by_id["sample-2"].entry["energy"] == pytest.approx(-6.8)
    assert by_id["sample-3"].failure.startswith("replay: vasprun.xml cannot be read")


def test_a_folder_of_runs(runs):
    check_runs(read_runs(runs))


def test_archives_of_runs(runs, tmp_path):
    with tarfile.open(tmp_path / "runs.tar.gz", "w:gz") as archive:
        archive.add(runs, arcname="runs")
    check_runs(read_runs(tmp_path / "runs.tar.gz"))
    with zipfile.ZipFile(tmp_path / "runs.zip", "w") as archive:
        for path in runs.rglob("vasprun*"):
            archive.write(path, path.relative_to(runs))
    check_runs(read_runs(tmp_path / "runs.zip"))


def test_a_folder_of_archives_one_per_crystal(runs, tmp_path):
    for crystal in runs.iterdir():
        with tarfile.open(tmp_path / f"{crystal.name}.tar.gz", "w:gz") as archive:
            archive.add(crystal, arcname=crystal.name)
    check_runs(read_runs(tmp_path))


def test_lone_files_are_named_by_what_stands_before_vasprun(runs, tmp_path):
    shutil.copy(runs / "sample-2" / "vasprun.xml", tmp_path / "mp-22862.vasprun.xml")
    assert [one.crystal_id for one in read_runs(tmp_path)] == ["mp-22862"]


def test_nothing_is_unpacked_outside(tmp_path):
    (tmp_path / "evil").write_text("x")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.add(tmp_path / "evil", arcname="../../vasprun.xml")
    with pytest.raises(MiadError, match="cannot be unpacked"):
        read_runs(tmp_path / "evil.tar")


def test_a_table_of_entries(runs, tmp_path):
    entries = [{**one.entry, "entry_id": one.crystal_id} for one in read_runs(runs) if one.entry]
    entries[0]["correction"] = -5.0  # of an older scheme: not to be trusted, nor to be added to
    bare = {key: value for key, value in entries[1].items() if key != "structure"}
    with gzip.open(tmp_path / "entries.json.gz", "wt") as file:
        json.dump({"entries": [*entries, {**bare, "entry_id": "bare"}]}, file)
    found = {one.crystal_id: one for one in read_runs(tmp_path / "entries.json.gz")}
    assert found["sample-1"].entry == {**entries[0], "correction": 0.0}
    assert found["bare"].failure == "replay: the entry has no structure"


def test_the_queue_is_joined_by_id(runs):
    queue = [
        Crystal.from_structure("miad-000-00001", SENT["FeO"], source_id="sample-1"),
        Crystal.from_structure("sample-2", SENT["KBr"]),
        Crystal.from_structure("miad-000-00002", SENT["NaCl"]),
    ]
    found = replayed(queue, runs)
    assert [one.crystal_id for one in found] == [one.crystal_id for one in queue]
    assert found[0].entry["energy"] == pytest.approx(-13.2)
    assert found[1].failure == "replay: the run sample-2 is of NaCl"
    assert "has no run of this id" in found[2].failure


def test_published_runs_become_crystals_for_evaluate(runs, tmp_path):
    run(runs, crystals=tmp_path / "crystals.jsonl", calculations=tmp_path / "calculations.jsonl")
    iron, salt, broken = read_crystals(tmp_path / "crystals.jsonl")
    assert iron.energy_per_atom == pytest.approx((-13.2 - 0.687 - 2.256) / 2)
    assert salt.energy_per_atom == pytest.approx((-6.8 - 0.614) / 2)
    assert {iron.energy_frame, salt.energy_frame} == {"mp2020"} and {iron.calculator, salt.calculator} == {NOT_DFT}
    assert str(broken.failure).startswith("read: replay: vasprun.xml cannot be read")
    # What was written can be read in the place of the runs.
    assert read_runs(tmp_path / "calculations.jsonl") == read_runs(runs)


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(MiadError, match=r"holds no vasprun\.xml"):
        read_runs(tmp_path)
    with pytest.raises(MiadError, match="does not exist"):
        read_runs(tmp_path / "absent")


# ------------------------------------------------------------------------------------------------ names of others


def packed(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(source.read_bytes()))


def test_names_of_a_double_relaxation_by_custodian(pseudopotentials, tmp_path):
    for number, energy in ((1, -6.8), (2, -6.9)):
        write_run(tmp_path / str(number), SENT["NaCl"], energy, pseudopotentials, False)
        packed(tmp_path / str(number) / "vasprun.xml", tmp_path / "runs" / "mp-1" / f"vasprun.xml.relax{number}.gz")
    (found,) = read_runs(tmp_path / "runs")
    assert (found.crystal_id, found.entry["energy"]) == ("mp-1", pytest.approx(-6.9))


def test_a_folder_that_begins_like_a_stage_is_a_crystal(runs, tmp_path):
    for name in ("relax_mp-1", "optimized_NaCl", "static-LiCoO2"):
        shutil.copytree(runs / "sample-2", tmp_path / name)
    assert [one.crystal_id for one in read_runs(tmp_path)] == ["optimized_NaCl", "relax_mp-1", "static-LiCoO2"]


def test_names_of_any_length_are_told_at_once(runs, tmp_path):
    # With nested repetitions in the pattern this one took hours.
    shutil.copytree(runs / "sample-2", tmp_path / "sample-2" / ("relax_" + "a" * 60 + "+"))
    assert len(read_runs(tmp_path)) == 1


def test_files_of_different_crystals_are_never_one_run(pseudopotentials, tmp_path):
    write_run(tmp_path / "one" / "relax_1", SENT["NaCl"], -6.8, pseudopotentials, False)
    write_run(tmp_path / "one" / "relax_2", SENT["KBr"], -6.0, pseudopotentials, False)
    (found,) = read_runs(tmp_path)
    assert found.entry is None and "files named one are of KBr, NaCl" in found.failure


def test_archives_may_hold_files_of_the_same_name(runs, tmp_path):
    for name in ("mp-1", "mp-2"):
        with tarfile.open(tmp_path / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(runs / "sample-2" / "vasprun.xml", arcname="vasprun.xml")
    found = read_runs(tmp_path)
    assert [one.crystal_id for one in found] == ["mp-1", "mp-2"] and all(one.entry for one in found)


def test_what_custodian_set_aside_is_no_run(runs, tmp_path):
    shutil.copytree(runs / "sample-2", tmp_path / "mp-1")
    with tarfile.open(tmp_path / "mp-1" / "error.1.tar.gz", "w:gz") as archive:
        archive.add(runs / "sample-2" / "vasprun.xml", arcname="vasprun.xml")
    assert [one.crystal_id for one in read_runs(tmp_path)] == ["mp-1"]


def test_links_to_folders_are_followed_but_not_in_circles(runs, tmp_path):
    (tmp_path / "mp-1").symlink_to(runs / "sample-2")
    (tmp_path / "again").symlink_to(tmp_path)
    assert [one.crystal_id for one in read_runs(tmp_path)] == ["mp-1"]


def test_an_earlier_stage_does_not_stand_in_for_a_broken_one(runs, tmp_path):
    shutil.copytree(runs / "sample-2", tmp_path / "mp-1" / "relax_1")
    shutil.copytree(runs / "sample-3", tmp_path / "mp-1" / "relax_2")
    (found,) = read_runs(tmp_path)
    assert found.entry is None and "cannot be read" in found.failure


def test_the_fingerprint_of_a_folder_tells_runs_that_are_edited_or_added(tmp_path):
    first = tmp_path / "a" / "static" / "vasprun.xml"
    first.parent.mkdir(parents=True)
    first.write_text("<modeling>")
    seen = [fingerprint(tmp_path)]
    (tmp_path / "a" / "static" / "OUTCAR").write_text("not read")
    assert fingerprint(tmp_path) == seen[0]
    first.write_text("<modeling></modeling>")
    seen.append(fingerprint(tmp_path))
    (tmp_path / "a" / "b.tar.gz").write_text("an archive")
    seen.append(fingerprint(tmp_path))
    os.utime(first, (0, 0))
    seen.append(fingerprint(tmp_path))
    assert len(set(seen)) == 4 and fingerprint(first) is None


def table(folder: Path, *entries) -> Path:
    path = folder / "entries.json"
    path.write_text(json.dumps(entries))
    return path


def entry(**changes) -> dict:
    """An entry of NaCl as a table has it, with some keys changed or, if None, left out."""
    known = {"structure": SENT["NaCl"].as_dict(), "energy": -6.8, "entry_id": "a", **changes}
    return {key: value for key, value in known.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"energy": None}, "the entry has no energy"),
        ({"structure": None}, "the entry has no structure"),
        ({"structure": {"sites": 3}}, "the entry cannot be read: it is a molecule, or torn"),
        ({"energy": "low"}, "the entry cannot be read: ValueError"),
        ({"parameters": {"potcar_spec": [None]}}, "the entry cannot be read: TypeError"),
        ({"parameters": ["GGA"]}, "the entry cannot be read: AttributeError"),
    ],
)
def test_an_entry_that_lacks_something_fails_alone(changes, said, tmp_path):
    broken, sound = read_runs(table(tmp_path, entry(**changes), entry(entry_id="b")))
    assert broken.crystal_id == "a" and broken.failure.startswith(f"replay: {said}")
    assert sound.entry["energy"] == -6.8


@pytest.mark.parametrize("odd", ["NaCl", None, {"data": "NaCl"}])
def test_what_is_no_entry_is_named_by_its_number(odd, tmp_path):
    with pytest.raises(MiadError, match=r"entries\.json: number 1, from 0, is no ComputedStructureEntry"):
        read_runs(table(tmp_path, entry(), odd))
    (tmp_path / "entries.json").write_text('{"entries": {"a": 1}}')
    with pytest.raises(MiadError, match="holds no list of entries"):
        read_runs(tmp_path / "entries.json")


def test_two_calculations_of_one_id_are_refused(tmp_path):
    """The last one would win unseen."""
    with pytest.raises(MiadError, match="several calculations of a"):
        read_runs(table(tmp_path, entry(), entry(energy=-7.0)))


# ------------------------------------------------------------------------------------------------ several of a crystal


def test_the_last_static_run_counts_and_it_is_said(pseudopotentials, tmp_path, caplog):
    for stage, energy in (("static_2", -6.7), ("static_10", -6.9), ("relax_1", -7.0)):
        write_run(tmp_path / "mp-1" / stage, SENT["NaCl"], energy, pseudopotentials, stage.startswith("static"))
    (found,) = read_runs(tmp_path)
    assert found.entry["energy"] == pytest.approx(-6.9) and "static_10" in found.source
    assert "1 crystals have several runs that could count" in caplog.text and "mp-1" in caplog.text


def test_a_run_with_a_fixed_density_does_not_stand_before_a_relaxation(runs, tmp_path):
    shutil.copytree(runs / "sample-2", tmp_path / "mp-1")
    text = (tmp_path / "mp-1" / "vasprun.xml").read_text()
    line = re.sub(r'(name="(ICHARG|NSW)">)[^<]*', lambda match: match[1] + {"ICHARG": "11", "NSW": "0"}[match[2]], text)
    (tmp_path / "mp-1" / "vasprun_zz.xml").write_text(line)
    (found,) = read_runs(tmp_path)
    assert found.failure is None and found.entry["energy"] == pytest.approx(-6.8)


def test_only_bands_are_no_energy(runs, tmp_path):
    shutil.copytree(runs / "sample-2", tmp_path / "mp-1" / "bands")
    (found,) = read_runs(tmp_path)
    assert found.entry is None and "only runs of bands" in found.failure


def test_two_crystals_of_one_name_are_never_one(pseudopotentials, runs, tmp_path):
    write_run(tmp_path / "a" / "mp-1", SENT["NaCl"], -6.8, pseudopotentials, True)
    write_run(tmp_path / "b" / "mp-1", SENT["NaCl"], -6.0, pseudopotentials, True)
    (found,) = read_runs(tmp_path)
    assert found.entry is None and "a/mp-1 and b/mp-1 differ in energy" in found.failure
    shutil.rmtree(tmp_path / "b" / "mp-1")
    shutil.copytree(tmp_path / "a" / "mp-1", tmp_path / "b" / "mp-1")  # the same run twice is one
    assert read_runs(tmp_path)[0].failure is None


def test_a_broken_archive_is_one_failed_crystal(runs, tmp_path):
    shutil.copytree(runs / "sample-2", tmp_path / "mp-1")
    (tmp_path / "mp-2.zip").write_bytes(b"no zip")
    sound, broken = read_runs(tmp_path)
    assert sound.failure is None and broken.crystal_id == "mp-2" and "cannot be unpacked" in broken.failure


def test_odd_lines_of_calculations_fail_alone(tmp_path):
    lines = [Calculation("a", entry={"energy": -1.0}), Calculation("b", entry="text"), Calculation("c", potcars=[3])]
    lines[2] = Calculation("c", entry={"energy": -6.8, "structure": SENT["NaCl"].as_dict()}, potcars=[3])
    write_calculations(tmp_path / "odd.jsonl", lines)
    found = read_runs(tmp_path / "odd.jsonl")
    assert len(found) == 3 and all("the entry cannot be read" in one.failure for one in found)


@pytest.mark.parametrize("name", ["../../precious", "/etc/x", "", "a b"])
def test_names_of_entries_stay_names(name, tmp_path):
    (tmp_path / "in").mkdir()
    gga = entry(entry_id="b", parameters={"run_type": "GGA"})
    path = table(tmp_path / "in", gga, {**gga, "data": {"crystal_id": name or " "}})
    run(path, crystals=tmp_path / "in" / "out.jsonl")
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["entries.json", "in", "out.jsonl"]
