"""Promise 2: nearly right inputs, drawn at random, give lines for lines, finite or failed, or one error for people.

The draws are the same in each run. For more of them, and others, set MIAD_FUZZ=1000.
"""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from miad.core.crystal import read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.dft.replay import run as replay
from miad.hull.step import run as make_hull
from miad.io.any_format import read_any
from miad.sample import read
from tests.builders import strategies
from tests.builders.settings import hull_settings

MANY = int(os.environ.get("MIAD_FUZZ", "0"))
LONGEST = 300  # characters of a reason, its step included


def few(number: int) -> settings:
    """Settings of a test that takes a few seconds, or as long as MIAD_FUZZ asks."""
    return settings(
        max_examples=MANY or number,
        derandomize=not MANY,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One folder for all draws; a fixture of a function would be that of all of them too."""
    return tmp_path_factory.mktemp("fuzz")


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def check_reading(path: Path, num_items: int | None = None) -> None:
    """Read a file as `miad evaluate` does: as many crystals as items, each finite or failed, and lines that last."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read_any(path, "fuzz")
    except MiadError as error:
        str(error).encode()
        return
    assert num_items is None or len(found) == num_items
    for one in found:
        if one.failure is not None:
            assert len(str(one.failure)) <= LONGEST and str(one.failure).isprintable()
            continue
        assert one.num_atoms and np.isfinite(one.lattice).all() and np.isfinite(one.frac_coords).all()
        assert set(one.atomic_numbers.tolist()) <= set(range(1, 119))
        assert one.energy_per_atom is None or np.isfinite(one.energy_per_atom)
    write_crystals(path.parent / "read.jsonl", found)
    assert [one.crystal_id for one in read_crystals(path.parent / "read.jsonl")] == [one.crystal_id for one in found]


@few(60)
@given(text=strategies.cif_texts())
def test_cif(folder: Path, text: str) -> None:
    (folder / "a.cif").write_bytes(encoded(text))
    check_reading(folder / "a.cif")


@few(80)
@given(text=strategies.json_texts())
def test_json(folder: Path, text: str) -> None:
    (folder / "a.json").write_bytes(encoded(text))
    check_reading(folder / "a.json")


@few(80)
@given(record=strategies.records())
def test_json_lines(folder: Path, record) -> None:
    (folder / "a.jsonl").write_text(json.dumps(record) + "\n" + json.dumps({"id": "b"}) + "\n")
    check_reading(folder / "a.jsonl", 2)


@few(60)
@given(text=strategies.csv_texts())
def test_tables(folder: Path, text: str) -> None:
    (folder / "a.csv").write_bytes(encoded(text))
    check_reading(folder / "a.csv")


@few(60)
@given(text=strategies.xyz_texts())
def test_frames(folder: Path, text: str) -> None:
    (folder / "a.extxyz").write_bytes(encoded(text))
    check_reading(folder / "a.extxyz")


@few(150)
@given(record=strategies.crystals())
def test_lines_of_ours(folder: Path, record) -> None:
    path = folder / "ours.jsonl"
    path.write_text(json.dumps(record) + "\n")
    try:
        [one] = read_crystals(path)
    except MiadError as error:
        assert "line 1" in str(error)
        return
    write_crystals(folder / "again.jsonl", [one])
    assert read_crystals(folder / "again.jsonl")[0].crystal_id == one.crystal_id
    check_reading(path)


@few(30)
@given(text=strategies.xyz_texts())
def test_the_read_step_writes_a_line_for_each_crystal(folder: Path, text: str) -> None:
    path = folder / "b.extxyz"
    path.write_bytes(encoded(text))
    try:
        read.run(path, crystals=folder / "c.jsonl", given=folder / "g.jsonl", run="fuzz", energy_frame="mp2020")
    except MiadError:
        return
    assert len(read_crystals(folder / "c.jsonl")) == len(read_crystals(folder / "g.jsonl"))


@few(100)
@given(content=strategies.hull_entries())
def test_entries_of_a_hull(folder: Path, content) -> None:
    (folder / "hull.json").write_text(json.dumps(content))
    chosen = hull_settings(source=str(folder / "hull.json"), energy_frame="mp2020")
    try:
        make_hull(chosen, hull=folder / "entries.csv.gz")
    except MiadError as error:
        str(error).encode()


# A static run of NaCl as the stand-in for VASP writes it.
VASPRUN = Path(__file__).parents[1] / "builders" / "vasprun.xml"


@few(40)
@given(text=strategies.edited(VASPRUN.read_text(encoding="utf-8"), 6))
def test_runs_of_vasp(folder: Path, text: str) -> None:
    for name, content in {"odd": text, "good": VASPRUN.read_text(encoding="utf-8")}.items():
        (folder / "runs" / name).mkdir(parents=True, exist_ok=True)
        (folder / "runs" / name / "vasprun.xml").write_bytes(encoded(content))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            replay(folder / "runs", crystals=folder / "replayed.jsonl")
    except MiadError as error:
        str(error).encode()  # the version was edited: a mixture of VASP and what is not
        return
    found = {one.crystal_id: one for one in read_crystals(folder / "replayed.jsonl")}
    assert set(found) == {"odd", "good"} and found["good"].failure is None
    assert found["odd"].failure is not None or np.isfinite(found["odd"].energy_per_atom)


@few(60)
@given(record=strategies.records())
def test_entries_of_finished_runs(folder: Path, record) -> None:
    (folder / "entries.json").write_text(json.dumps([record]))
    try:
        replay(folder / "entries.json", crystals=folder / "replayed.jsonl")
    except MiadError as error:
        str(error).encode()
        return
    assert len(read_crystals(folder / "replayed.jsonl")) == 1
