"""Relaxation: what comes out, what is kept, and what happens to hostile input."""

import dataclasses
import logging

import numpy as np
import pytest

from miad import relax
from miad.config import Relax
from miad.crystal import Crystal, read_crystals, to_line, write_crystals
from miad.journal import Journal

SETTINGS = Relax(
    calculators=["chgnet"],
    fmax=0.1,
    max_steps=100,
    min_distance=0.5,
    max_volume_ratio=4.0,
    time_limit=60.0,
    memory=1.5,
    workers=1,
    device="cpu",
    potentials={},
)
ALL = frozenset(range(1, 119))


def rocksalt(name: str, edge: float, numbers: tuple[int, int] = (11, 17), apart: float = 0.5) -> Crystal:
    """A primitive cell of rock salt with a cubic edge in Å."""
    lattice = edge / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0.0]])
    return Crystal(name, lattice, np.array([[0, 0, 0], [apart] * 3]), np.array(numbers))


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
    [("touching", "closer than 0.5"), ("noble", "Rn"), ("nan", "not numbers"), ("lonely", "no atom has a neighbour")],
)
def test_bad_crystals_get_a_reason(mixed, name, reason):
    failed = mixed[1][name]
    assert failed.failure.startswith("relax: ") and reason in failed.failure
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
    killed.open()
    killed.add(relaxed["good"])
    with caplog.at_level(logging.INFO, logger="miad"):
        relax.run(dataclasses.replace(SETTINGS, workers=2), **run)
    assert "1 of 8 crystals were finished before" in caplog.text
    after = {crystal.crystal_id: crystal for crystal in read_crystals(tmp_path / "out.jsonl")}
    assert after["good"].num_steps == relaxed["good"].num_steps and after["slow"].num_steps == 99
    killed.open()
    killed.add(relaxed["good"])
    relax.run(dataclasses.replace(SETTINGS, fmax=0.2), **run)  # the journal is of fmax 0.1: of no use
    assert all(crystal.num_steps == 99 for crystal in read_crystals(tmp_path / "out.jsonl"))


def hostile(count: int, seed: int = 0) -> list[Crystal]:
    """Crystals of the kinds that have broken relaxers before."""
    random = np.random.default_rng(seed)
    crystals = []
    for index in range(count):
        num_atoms = int(random.choice([1, 2, 5, 20]))
        lattice = random.standard_normal((3, 3)) * random.choice([1e-3, 1.0, 4.0, 100.0, 1e8])
        coords = random.random((num_atoms, 3)) * random.choice([1.0, 0.01, -50.0])
        numbers = random.integers(1, 119, num_atoms)
        if index % 7 == 0:
            coords[0, 0] = random.choice([np.nan, np.inf])
        if index % 11 == 0:
            lattice[2] = lattice[1]
        if index % 5 == 0:
            numbers[:] = random.choice([2, 10, 18, 86, 99, 0])
        crystals.append(Crystal(f"hostile-{index}", lattice, coords, numbers))
    return crystals


def test_hostile_crystals_never_crash_and_never_vanish(tmp_path):
    write_crystals(tmp_path / "in.jsonl", hostile(60))
    settings = dataclasses.replace(SETTINGS, max_steps=2)
    relax.run(settings, crystals=tmp_path / "in.jsonl", relaxed=tmp_path / "out.jsonl", calculator="chgnet")
    relaxed = read_crystals(tmp_path / "out.jsonl")
    assert len(relaxed) == 60
    assert all(crystal.failure or np.isfinite(crystal.energy_per_atom) for crystal in relaxed)
