"""Crystals on demand: files in the formats that were asked for, a row for each crystal, the same ones from a seed."""

import csv
import dataclasses
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
import yaml
from pymatgen.core import Structure

from miad import generate
from miad.__main__ import main
from miad.core.crystal import read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.hull.convex import ConvexHull, Entry, HullTable
from tests.builders import ROOT
from tests.builders.crystals import rock_salt

HULL = HullTable("own", "mp2020", "test", [Entry("Na", -1.0), Entry("Cl2", -2.0), Entry("NaCl", -3.0)])


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "crystals.csv").open() as text:
        return list(csv.DictReader(text))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Four crystals of the model that ships, in an empty folder."""
    folder = tmp_path_factory.mktemp("generated") / "crystals"
    assert main(["generate", "--num", "4", "--seed", "5", "--format", "cif,extxyz,poscar", "--out", str(folder)]) == 0
    return folder


def test_every_format_holds_the_same_crystals(made):
    crystals = read_crystals(made / "crystals.jsonl")
    assert len(crystals) == 4
    frames = ase.io.read(made / "crystals.extxyz", ":")
    for crystal, frame in zip(crystals, frames, strict=True):
        volumes = [frame.get_volume(), crystal.volume]
        for path in (made / "cif" / f"{crystal.crystal_id}.cif", made / "poscar" / f"{crystal.crystal_id}.poscar"):
            read = (
                Structure.from_file(path) if path.suffix == ".cif" else Structure.from_str(path.read_text(), "poscar")
            )
            assert read.composition.as_dict() == crystal.element_counts
            volumes.append(read.volume)
        assert np.allclose(volumes, crystal.volume, rtol=1e-4)


def test_every_crystal_has_a_row(made):
    found = rows(made)
    assert [row["crystal_id"] for row in found] == [f"mp20-small-000-{number:05d}" for number in range(4)]
    assert all(float(row["density"]) > 0 and row["space_group"] and not row["failure"] for row in found)
    assert {row["e_above_hull"] for row in found} == {""}


def test_the_record_says_how_they_were_made(made):
    record = json.loads((made / "generated.json").read_text())
    assert (record["model"], record["settings"]["seed"], record["settings"]["num_crystals"]) == ("mp20-small", 5, 4)
    assert set(record["versions"]) >= {"miad", "torch"} and len(record["sha256"]) == 64


def test_a_folder_with_files_of_the_user_is_refused(tmp_path, capsys):
    (tmp_path / "crystals.csv").write_text("mine")
    assert main(["generate", "--num", "1", "--out", str(tmp_path)]) == 2
    assert "holds crystals.csv" in capsys.readouterr().err
    assert (tmp_path / "crystals.csv").read_text() == "mine"


def test_energies_above_the_hull_and_failures_have_their_rows(tmp_path):
    salt = rock_salt("salt").replace(energy_per_atom=-2.5, energy_frame="mp2020", calculator="x")
    foreign = salt.replace(crystal_id="foreign", atomic_numbers=np.where(salt.atomic_numbers == 11, 19, 17))
    lost = rock_salt("lost").failed("relax", "it exploded")
    generate.write(tmp_path, [salt, foreign, lost], ConvexHull(HULL), ["cif"])
    first, second, third = rows(tmp_path)
    assert float(first["e_above_hull"]) == pytest.approx(0.5)
    assert (first["decomposition"], first["num_rivals"]) == ("1 NaCl", "1")
    assert second["failure"] == "hull: no entry with K" and second["e_above_hull"] == ""
    assert third["failure"] == "relax: it exploded"
    assert sorted(path.name for path in (tmp_path / "cif").iterdir()) == ["foreign.cif", "lost.cif", "salt.cif"]


def test_a_hull_of_another_frame_is_refused_before_anything_is_generated(tmp_path, capsys):
    (tmp_path / "hull.csv").write_text("formula,energy_per_atom,energy_frame\nNa,-1.0,uncorrected\n")
    assert main(["generate", "--hull", str(tmp_path / "hull.csv"), "--out", str(tmp_path / "out")]) == 2
    assert "uncorrected" in capsys.readouterr().err and not (tmp_path / "out" / "given.jsonl").exists()


def test_relaxed_crystals_take_the_place_of_the_generated_ones(tmp_path, monkeypatch):
    def relaxation(settings, *, crystals, relaxed, calculator):
        known = {"energy_per_atom": -3.0, "energy_frame": "mp2020", "calculator": calculator, "converged": True}
        write_crystals(relaxed, [one.replace(**known) for one in read_crystals(crystals)])

    monkeypatch.setattr("miad.evaluate.relax.run", relaxation)
    assert main(["generate", "--num", "2", "--relax", "--out", str(tmp_path / "out")]) == 0
    assert [(row["energy_per_atom"], row["converged"]) for row in rows(tmp_path / "out")] == [("-3.0", "True")] * 2


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"elements": "Li,P, S"}, {"elements": {"only": ("Li", "P", "S"), "never": (), "must": ()}}),
        ({"systems": "Li-P-S,Na-Cl"}, {"systems": (("Li", "P", "S"), ("Na", "Cl"))}),
        ({"num_atoms": "6"}, {"num_atoms": {"min": 6, "max": 6}}),
        ({"num_atoms": "4-12"}, {"num_atoms": {"min": 4, "max": 12}}),
        (
            {"compositions": "NaCl,TiO2", "formula_units": "1,2"},
            {"compositions": tuple({"formula": one, "formula_units": (1, 2)} for one in ("NaCl", "TiO2"))},
        ),
        (
            {"template": Path("a.cif"), "free": "0,3"},
            {"template": {"file": "a.cif", "free": (0, 3), "keep_cell": True}},
        ),
    ],
)
def test_flags_become_constraints(flags, expected):
    found = dataclasses.asdict(generate.constraints(generate.Options(**flags)))
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"num_atoms": "few"}, "--num-atoms: few is no whole number"),
        ({"compositions": "NaCl", "formula_units": "1.5"}, "--formula-units: 1.5"),
        ({"template": Path("a.cif")}, "template.free"),
        ({"num_atoms": "-4"}, "--num-atoms: -4 is neither a whole number nor a range such as 4-12"),
        ({"num_atoms": "4-"}, "--num-atoms: 4- is neither"),
        ({"num_atoms": "9" * 5000}, "--num-atoms: 999999… has 5000 digits"),
        ({"compositions": "NaCl", "formula_units": "9" * 5000}, "--formula-units: 999999… has 5000 digits"),
        ({"calculator": "nix"}, "--calculator has no effect without --relax or --hull"),
        ({"elements": ""}, "--elements is empty"),
        ({"systems": " ,"}, "--systems is empty"),
        ({"free": "0"}, "--free has no effect without --template"),
        ({"subsystems": True}, "--subsystems has no effect without --systems"),
        ({"elements": "Na,Cl", "formula_units": "2"}, "--formula-units has no effect without --compositions"),
    ],
)
def test_flags_that_make_no_sense_are_named(flags, words):
    with pytest.raises(MiadError, match=words):
        generate.constraints(generate.Options(**flags))


def test_keys_of_an_error_are_those_of_the_flags(tmp_path):
    words = r"Fe stands in must, but not in only.*elements.only is --elements, elements.must is --must\.$"
    with pytest.raises(MiadError, match=words):
        generate.run(out=tmp_path / "out", num=1, elements="Li,P", must="Fe")


def test_some_keys_may_be_given_as_json(tmp_path, monkeypatch):
    def stop(settings, **_):
        raise MiadError(f"stride {settings.stride}, {settings.num_crystals} crystals")

    monkeypatch.setattr(generate.sample, "run", stop)
    with pytest.raises(MiadError, match=r"^stride 20, 3 crystals$"):
        generate.run(out=tmp_path / "out", num=3, settings='{"sample": {"stride": 20}}')


def test_files_of_an_earlier_call_in_another_format_go(tmp_path):
    generate.write(tmp_path, [rock_salt("a")], None, ["cif", "extxyz"])
    generate.write(tmp_path, [rock_salt("a")], None, ["poscar"])
    assert {one.name for one in tmp_path.iterdir()} == {"crystals.csv", "crystals.jsonl", "poscar"}


def test_a_format_that_is_none_is_named():
    with pytest.raises(MiadError, match="--format: xyz is none of cif, extxyz, poscar"):
        generate.run(format="cif,xyz")


def test_without_flags_the_constraints_of_the_settings_hold(tmp_path, monkeypatch):
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config["sample"]["constraints"] = {"elements": {"only": ["Li", "O"]}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    asked = []

    def stop(settings, **_):
        asked.append(settings.constraints.elements.only)
        raise MiadError("enough")

    monkeypatch.setattr(generate.sample, "run", stop)
    for flags in ({}, {"elements": "Na"}):
        with pytest.raises(MiadError, match="enough"):
            generate.run(out=tmp_path / "out", settings=str(tmp_path / "mine.yaml"), **flags)
    assert asked == [("Li", "O"), ("Na",)]


def test_results_of_an_evaluation_are_refused(tmp_path, capsys):
    for name in (".in_use", ".evaluation", "row.json", "crystals.jsonl"):
        (tmp_path / name).write_text("theirs")
    assert main(["generate", "--num", "1", "--out", str(tmp_path)]) == 2
    assert "holds crystals.jsonl, which no `miad generate` has written" in capsys.readouterr().err
    assert (tmp_path / "crystals.jsonl").read_text() == "theirs"


def test_a_record_tells_of_the_crystals_beside_it_even_after_a_kill(tmp_path, monkeypatch):
    """Killed while it samples, or when the samples are there: old record and crystals, or the new ones."""
    out = tmp_path / "out"

    def sampling(settings, *, crystals, **_):
        write_crystals(crystals, [rock_salt(f"seed-{settings.seed}")])

    def killed(*_, **__):
        raise KeyboardInterrupt

    def found() -> tuple[int, set[str]]:
        names = {one.stem for one in (out / "cif").glob("*")} if (out / "cif").is_dir() else set()
        names |= {one.crystal_id for one in read_crystals(out / "given.jsonl")}
        return json.loads((out / "generated.json").read_text())["settings"]["seed"], names

    monkeypatch.setattr(generate.sample, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        generate.run(out=out, seed=1)
    monkeypatch.setattr(generate.sample, "run", sampling)
    generate.run(out=out, seed=1)  # the same command can go on in the folder of a killed one
    assert found() == (1, {"seed-1"})
    monkeypatch.setattr(generate.sample, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        generate.run(out=out, seed=2)
    assert found() == (1, {"seed-1"})
    monkeypatch.setattr(generate.sample, "run", sampling)
    monkeypatch.setattr(generate, "relax_once", killed)
    with pytest.raises(KeyboardInterrupt):
        generate.run(out=out, seed=2, relax=True)
    assert found() == (2, {"seed-2"})


def test_the_same_samples_are_not_relaxed_again(tmp_path, monkeypatch):
    def sampling(settings, *, crystals, **_):
        write_crystals(crystals, [rock_salt(f"seed-{settings.seed}")])

    relaxed_for = []

    def relaxation(settings, *, crystals, relaxed, calculator):
        relaxed_for.append([one.crystal_id for one in read_crystals(crystals)])
        write_crystals(relaxed, read_crystals(crystals))

    monkeypatch.setattr(generate.sample, "run", sampling)
    monkeypatch.setattr("miad.evaluate.relax.run", relaxation)
    for seed in (1, 1, 2):
        generate.run(out=tmp_path / "out", seed=seed, relax=True)
    assert relaxed_for == [["seed-1"], ["seed-2"]]


def test_a_calculator_that_there_is_not_is_refused_before_anything_is_generated(tmp_path, monkeypatch):
    monkeypatch.setattr(generate.sample, "run", lambda *_, **__: pytest.fail("it was sampled"))
    with pytest.raises(MiadError, match="calculator nix is not one of chgnet"):
        generate.run(out=tmp_path / "out", relax=True, calculator="nix")


def test_more_crystals_than_fit_into_memory_are_refused(tmp_path):
    with pytest.raises(MiadError, match="the number of crystals is 1000000000000, at most 1000000"):
        generate.run(out=tmp_path / "out", num=10**12)
