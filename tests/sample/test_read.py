"""Crystals of other programs in the place of samples."""

from pathlib import Path

import pytest

from miad.__main__ import main
from miad.core.crystal import read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.hull.convex import Entry, HullTable, write_table
from miad.relax import step as relax
from miad.sample import read, trajectories
from tests.builders import toy
from tests.builders.crystals import rock_salt


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {"crystals": tmp_path / "0.jsonl", "given": tmp_path / "0.given.jsonl"}


def source(tmp_path: Path, **known) -> Path:
    write_crystals(tmp_path / "theirs.jsonl", [one.replace(**known) for one in toy.crystals(3)])
    return tmp_path / "theirs.jsonl"


KNOWN = {"energy_per_atom": -3.0, "energy_frame": "mp2020", "calculator": "DFT"}


def test_crystals_with_energies_pass_through_the_relaxation(tmp_path: Path, files: dict) -> None:
    read.run(source(tmp_path, **KNOWN), **files, run="theirs")
    relax.run(None, crystals=files["given"], relaxed=tmp_path / "relaxed.jsonl", calculator="none")
    relaxed = read_crystals(tmp_path / "relaxed.jsonl")
    assert [one.crystal_id for one in relaxed] == [one.crystal_id for one in toy.crystals(3)]
    assert {(one.energy_per_atom, one.energy_frame, one.calculator) for one in relaxed} == {(-3.0, "mp2020", "DFT")}


def test_cells_before_relaxation_know_no_energies(tmp_path: Path, files: dict) -> None:
    write_crystals(tmp_path / "before.jsonl", [one.replace(**KNOWN) for one in toy.crystals(4)])
    read.run(source(tmp_path, **KNOWN), **files, run="theirs", generated=tmp_path / "before.jsonl")
    generated, given = read_crystals(files["crystals"]), read_crystals(files["given"])
    assert [one.crystal_id for one in generated] == [one.crystal_id for one in given]
    assert {one.energy_per_atom for one in generated} == {None}
    # The fourth was generated only: attempted, and lost.
    assert [one.failure is None for one in given] == [True] * 3 + [False]


def test_nothing_is_known_of_how_they_were_generated(tmp_path: Path, files: dict) -> None:
    read.run(source(tmp_path), **files, run="theirs", trajectories=tmp_path / "0.safetensors")
    assert trajectories.read(tmp_path / "0.safetensors") is None
    assert files["crystals"].read_bytes() == files["given"].read_bytes()


def test_a_potential_of_another_frame_than_the_hull_is_refused_only_if_it_is_needed(
    tmp_path: Path, files: dict
) -> None:
    write_table(tmp_path / "hull.csv", HullTable("theirs", "uncorrected", "test", [Entry("Na", -1.0)]))
    flags = {"hull": tmp_path / "hull.csv", "calculator": "chgnet", "relaxed_frame": "mp2020", "run": "theirs", **files}
    with pytest.raises(MiadError, match=r"chgnet.*'mp2020'.*'uncorrected'"):
        read.run(source(tmp_path), **flags)
    assert not files["given"].exists()
    read.run(source(tmp_path, **{**KNOWN, "energy_frame": "uncorrected"}), **flags)
    assert len(read_crystals(files["given"])) == 3


def mixed(tmp_path: Path, energies: list[float | None]) -> Path:
    ones = [
        one.replace(energy_per_atom=energy, energy_frame="mp2020") for one, energy in zip(SALTS, energies, strict=True)
    ]
    write_crystals(tmp_path / "mixed.jsonl", ones)
    return tmp_path / "mixed.jsonl"


SALTS = [rock_salt(f"salt-{number}") for number in range(3)]


@pytest.mark.parametrize("odd", [None, float("nan")])
def test_a_crystal_without_energy_among_others_fails_alone(tmp_path: Path, files: dict, caplog, odd) -> None:
    read.run(mixed(tmp_path, [-3.0, odd, -3.1]), **files, run="theirs")
    given = read_crystals(files["given"])
    assert [one.energy_per_atom for one in given] == [-3.0, None, -3.1]
    assert str(given[1].failure) == "read: it carries no energy, unlike 2 of the 3 crystals"
    assert "mixed.jsonl: 1 of 3 crystals failed and count as attempted" in caplog.text
    # The others are taken as relaxed.
    relax.run(None, crystals=files["given"], relaxed=tmp_path / "relaxed.jsonl", calculator="none")
    assert [one.calculator for one in read_crystals(tmp_path / "relaxed.jsonl")] == ["as given", None, "as given"]


def test_a_few_energies_among_many_crystals_are_refused(tmp_path: Path, files: dict) -> None:
    with pytest.raises(MiadError, match="1 of 3 crystals carry energies, the others do not"):
        read.run(mixed(tmp_path, [None, -3.0, None]), **files, run="theirs")
    assert not files["given"].exists()


def test_a_column_of_a_table_is_read_by_the_command_line(tmp_path: Path, files: dict) -> None:
    table = "id,other\n" + "".join(f'{n},"{one.structure.to(fmt="cif")}"\n' for n, one in enumerate(toy.crystals(2)))
    (tmp_path / "t.csv").write_text(table)
    flags = [f"--{name}={path}" for name, path in files.items()]
    assert main(["read", str(tmp_path / "t.csv"), *flags, "--run=t", "--column=other"]) == 0
    assert [one.source_id for one in read_crystals(files["given"])] == ["0", "1"]
    assert main(["read", str(tmp_path / "t.csv"), *flags, "--run=t"]) == MiadError.EXIT_CODE
