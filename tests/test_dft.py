"""Triage for DFT: every crystal is either queued or left out for a reason."""

import csv

import numpy as np
import pytest

from miad.config import Dft
from miad.crystal import Crystal, read_crystals, write_crystals
from miad.dft import excluded_because, run

SETTINGS = Dft(enabled=True, calculator="chgnet", max_e_above_hull=0.1)


def judged(name: str, energy: float | None = 0.0, unique: bool | None = True, novel: bool | None = True) -> Crystal:
    known = {"e_above_hull": energy, "is_unique": unique, "is_novel": novel}
    return Crystal(name, 4 * np.eye(3), np.zeros((1, 3)), np.array([3]), **known)


LEDGER = [
    judged("c", 0.05),
    judged("far", 0.2),
    judged("b", -0.3),
    judged("limit", 0.1),
    judged("twin", -0.1, unique=False),
    judged("known", -0.1, novel=False),
    judged("a", 0.05),
    judged("lost", None).failed("hull", "no entry with Tc"),
    judged("dark", None),
    judged("alone", -0.2, unique=None, novel=None),
    judged("exploded", -0.5).failed("relax", "exploding volume"),
]


@pytest.fixture
def result(tmp_path):
    write_crystals(tmp_path / "ledger.jsonl", LEDGER)
    paths = {name: tmp_path / name for name in ("queue", "excluded")}
    run(SETTINGS, ledger=tmp_path / "ledger.jsonl", **paths)
    with paths["excluded"].open() as rows:
        return [crystal.crystal_id for crystal in read_crystals(paths["queue"])], list(csv.DictReader(rows))


def test_the_queue_is_sorted_by_energy_then_by_id(result):
    assert result[0] == ["b", "a", "c"]


def test_every_crystal_is_in_one_of_the_two(result):
    queue, excluded = result
    assert sorted([*queue, *(row["crystal_id"] for row in excluded)]) == sorted(one.crystal_id for one in LEDGER)


def test_reasons(result):
    assert {row["crystal_id"]: row["reason"] for row in result[1]} == {
        "far": "0.200 eV/atom above the hull, limit 0.1",
        "limit": "0.100 eV/atom above the hull, limit 0.1",
        "twin": "duplicate of another sample",
        "known": "known from the training data",
        "lost": "hull: no entry with Tc",
        "dark": "energy above hull unknown",
        "alone": "not compared with the others",
        "exploded": "relax: exploding volume",
    }


def test_an_empty_ledger_gives_an_empty_queue(tmp_path):
    write_crystals(tmp_path / "ledger.jsonl", [])
    run(SETTINGS, ledger=tmp_path / "ledger.jsonl", queue=tmp_path / "queue", excluded=tmp_path / "excluded")
    assert (tmp_path / "queue").read_text() == "" and (tmp_path / "excluded").read_text() == "crystal_id,reason\n"


def test_the_limit_is_that_of_the_settings():
    assert excluded_because(judged("far", 0.2), Dft(True, "chgnet", 0.3)) is None
