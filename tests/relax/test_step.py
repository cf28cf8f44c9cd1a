"""Relaxation: what comes out, what is kept, and what happens to hostile input."""

import dataclasses
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from miad.core.crystal import Crystal, read_crystals, to_line, write_crystals
from miad.relax import step as relax
from miad.relax.journal import Journal
from tests.builders.hostile import HOSTILE, hostile
from tests.builders.relaxation import SETTINGS, rocksalt
from tests.builders.tiny import ROOT


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Good and bad crystals before and after a run with CHGNet."""
    given = [
        rocksalt("good", 5.9),
        rocksalt("touching", 5.9, apart=0.01),
        rocksalt("upstream", 5.9).failed("sample", "no real atom left"),
        rocksalt("noble", 5.9, (86, 17)),
        rocksalt("nan", np.nan),
        rocksalt("lonely", 80.0),
        rocksalt("slow", 4.9),
        rocksalt("mirrored", -5.9),
    ]
    folder = tmp_path_factory.mktemp("relax")
    write_crystals(folder / "in.jsonl", given)
    relax.run(SETTINGS, crystals=folder / "in.jsonl", relaxed=folder / "out.jsonl", calculator="chgnet")
    return folder, {crystal.crystal_id: crystal for crystal in read_crystals(folder / "out.jsonl")}


def test_lines_in_are_lines_out_in_order(mixed):
    folder, relaxed = mixed
    assert [crystal.crystal_id for crystal in read_crystals(folder / "in.jsonl")] == list(relaxed)
    assert not list(folder.glob(".*"))


def test_salt_relaxes_to_its_lattice_constant(mixed):
    good = mixed[1]["good"]
    assert good.failure is None and good.converged and good.num_steps > 0
    assert (4 * good.volume) ** (1 / 3) == pytest.approx(5.69, abs=0.08)  # PBE, Å
    assert good.volume_change == pytest.approx(good.volume / rocksalt("", 5.9).volume - 1)
    assert good.energy_per_atom < good.initial_energy_per_atom
    assert good.rms_displacement == pytest.approx(0, abs=1e-3)
    assert good.energy_frame == "mp2020" and good.calculator.startswith("CHGNet 0.3.0")


def test_left_handed_cell_relaxes_to_the_same(mixed):
    good, mirrored = mixed[1]["good"], mixed[1]["mirrored"]
    assert mirrored.energy_per_atom == pytest.approx(good.energy_per_atom, abs=1e-3)
    assert np.linalg.det(mirrored.lattice) < 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("touching", "closer than 0.5"),
        ("noble", "Rn"),
        ("nan", "not a finite number"),
        ("lonely", "no atom has a neighbour"),
    ],
)
def test_bad_crystals_get_a_reason(mixed, name, reason):
    failed = mixed[1][name]
    assert failed.failure.step == "relax" and reason in failed.failure.reason
    assert failed.energy_per_atom is None


def test_failed_upstream_is_kept_untouched(mixed):
    folder, relaxed = mixed
    before = {crystal.crystal_id: crystal for crystal in read_crystals(folder / "in.jsonl")}
    assert to_line(relaxed["upstream"]) == to_line(before["upstream"])


def test_continues_from_the_journal_and_does_not_relax_again(mixed, tmp_path, monkeypatch, caplog):
    folder, relaxed = mixed
    keys = []

    class Spy(Journal):
        def __init__(self, output, key):
            keys.append(key)
            super().__init__(output, key)

    monkeypatch.setattr(relax, "Journal", Spy)
    monkeypatch.setattr(relax, "relax_all", lambda waiting, *_: (crystal.replace(num_steps=99) for crystal in waiting))
    run = {"crystals": folder / "in.jsonl", "relaxed": tmp_path / "out.jsonl", "calculator": "chgnet"}
    relax.run(SETTINGS, **run)
    killed = Journal(tmp_path / "out.jsonl", keys[0])
    killed.add(relaxed["good"])
    with caplog.at_level(logging.INFO, logger="miad"):
        relax.run(dataclasses.replace(SETTINGS, workers=2), **run)
    assert "1 of 8 crystals were finished before" in caplog.text
    after = {crystal.crystal_id: crystal for crystal in read_crystals(tmp_path / "out.jsonl")}
    assert after["good"].num_steps == relaxed["good"].num_steps and after["slow"].num_steps == 99
    killed = Journal(tmp_path / "out.jsonl", keys[0])
    killed.add(relaxed["good"])
    relax.run(dataclasses.replace(SETTINGS, fmax=0.2), **run)  # the journal is of fmax 0.1: of no use
    assert all(crystal.num_steps == 99 for crystal in read_crystals(tmp_path / "out.jsonl"))


@pytest.mark.parametrize("before", [["good"], ["nan"], []])
def test_a_run_that_goes_on_is_told_whether_the_potential_has_relaxed_any(before, mixed, tmp_path, monkeypatch):
    """Those that killed their worker are not in the journal and come first again."""
    folder, relaxed = mixed
    told = []
    real = Journal._read
    monkeypatch.setattr(Journal, "_read", lambda *_: {name: relaxed[name] for name in before} or real(*_))
    monkeypatch.setattr(relax, "relax_all", lambda waiting, _, __, is_proven: told.append(is_proven) or iter(waiting))
    relax.run(SETTINGS, crystals=folder / "in.jsonl", relaxed=tmp_path / "out.jsonl", calculator="chgnet")
    assert told == [before == ["good"]]


def test_the_journal_stays_until_the_output_is_written(mixed, tmp_path, monkeypatch):
    folder, _ = mixed
    monkeypatch.setattr(relax, "relax_all", lambda waiting, *_: (crystal.replace(num_steps=99) for crystal in waiting))
    run = {"crystals": folder / "in.jsonl", "relaxed": tmp_path / "out.jsonl", "calculator": "chgnet"}

    def full(path, crystals):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(relax, "write_crystals", full)
        relax.run(SETTINGS, **run)
    monkeypatch.setattr(relax, "relax_all", lambda waiting, *_: iter(waiting))
    relax.run(SETTINGS, **run)
    assert all(crystal.num_steps == 99 for crystal in read_crystals(tmp_path / "out.jsonl"))


def test_five_hundred_hostile_crystals_cost_no_line_and_no_more_memory_than_allowed(tmp_path):
    # Iron at high density comes close to what one crystal may take.
    edge, grid = 5 * 2.87, np.array(list(np.ndindex(5, 5, 5))) / 5
    iron = Crystal("iron", edge * np.eye(3), np.concatenate([grid, grid + 0.1]) + 1e-4, np.full(250, 26))
    given = [*hostile(500), iron]
    write_crystals(tmp_path / "in.jsonl", given)
    settings = dataclasses.replace(SETTINGS, max_steps=1)
    script = f"""
import resource, warnings
from pathlib import Path
from miad.relax import step as relax
from miad.config.sections import Relax
if __name__ == "__main__":
    warnings.simplefilter("ignore")
    relax.run({settings!r}, crystals=Path("in.jsonl"), relaxed=Path("out.jsonl"), calculator="chgnet")
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
    (tmp_path / "script.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    scale = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * scale < 1.5e9
    relaxed = read_crystals(tmp_path / "out.jsonl")
    assert [crystal.crystal_id for crystal in relaxed] == [crystal.crystal_id for crystal in given]
    allowed = {kind.__name__: reasons for kind, reasons in HOSTILE.items()} | {"iron": [None]}
    for crystal in relaxed:
        reasons = allowed[crystal.crystal_id.split("-")[0]]
        if crystal.failure is None:
            assert None in reasons, crystal.crystal_id
            assert np.isfinite(crystal.energy_per_atom) and crystal.num_steps <= 1
        else:
            assert crystal.failure.step == "relax" and crystal.energy_per_atom is None
            assert any(reason in crystal.failure.reason for reason in reasons if reason), crystal.failure
