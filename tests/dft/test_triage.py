"""Triage for DFT: every crystal is either queued or left out for a reason, and in exactly one stratum."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from miad.config.sections import Dft
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.dft.triage import draw, place, run
from tests.builders.vasp_stand_in.site import Site

SETTINGS = Dft(0, True, "chgnet", 0.1, 0, [0.2, 0.4], "not_sun", 40.0)


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
    judged("farther", 0.39),
    judged("farthest", 3.0),
]


def drawn_from(ledger, settings):
    """The strata of a ledger, with all and the drawn of each."""
    return draw({one.crystal_id: place(one, settings)[0] for one in ledger}, settings)


def triaged(folder, ledger, settings=SETTINGS, **vasp):
    write_crystals(folder / "ledger.jsonl", ledger)
    paths = {name: folder / name for name in ("queue", "plan", "costs", "excluded")}
    run(settings, vasp=Site(folder).vasp(**vasp), ledger=folder / "ledger.jsonl", **paths)
    return paths


@pytest.fixture
def result(tmp_path):
    paths = triaged(tmp_path, LEDGER)
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
        "farther": "0.390 eV/atom above the hull, limit 0.1",
        "farthest": "3.000 eV/atom above the hull, limit 0.1",
    }


def test_an_empty_ledger_gives_an_empty_queue(tmp_path):
    paths = triaged(tmp_path, [])
    assert paths["queue"].read_text() == "" and paths["excluded"].read_text() == "crystal_id,reason\n"
    assert json.loads(paths["plan"].read_text())["core_hours"] == 0


def test_the_limit_is_that_of_the_settings():
    assert place(judged("far", 0.2), dataclasses.replace(SETTINGS, max_e_above_hull=0.3)) == ("chosen", "")


def test_strata_are_a_partition_at_the_edges_too():
    expected = {
        "b": "chosen",
        "limit": "0.1 to 0.2 eV/atom",
        "far": "0.2 to 0.4 eV/atom",
        "farther": "0.2 to 0.4 eV/atom",
        "farthest": "above 0.4 eV/atom",
        "twin": "duplicate",
        "known": "known",
        "lost": "failed",
        "dark": "failed",
        "alone": "failed",
    }
    by_name = {crystal.crystal_id: crystal for crystal in LEDGER}
    assert {name: place(by_name[name], SETTINGS)[0] for name in expected} == expected
    parts = drawn_from(LEDGER, SETTINGS)
    assert sorted(name for part in parts.values() for name in part["all"]) == sorted(by_name)


def test_a_subsample_is_drawn_from_every_stratum_but_the_failed_one(tmp_path):
    crowd = [judged(f"high-{index:03d}", 0.3) for index in range(200)]
    settings = dataclasses.replace(SETTINGS, subsample=20)
    parts = drawn_from([*LEDGER, *crowd], settings)
    sizes = {name: len(part["sent"]) for name, part in parts.items()}
    assert sizes == {
        "chosen": 3,
        "failed": 0,
        "0.1 to 0.2 eV/atom": 1,
        "0.2 to 0.4 eV/atom": 20,
        "above 0.4 eV/atom": 1,
        "duplicate": 1,
        "known": 1,
    }
    drawn = parts["0.2 to 0.4 eV/atom"]["sent"]
    assert drawn == drawn_from([*LEDGER, *crowd], settings)["0.2 to 0.4 eV/atom"]["sent"]
    assert drawn != drawn_from([*LEDGER, *crowd], dataclasses.replace(settings, seed=1))["0.2 to 0.4 eV/atom"]["sent"]
    # At random: the first half of two hundred is as likely as the second.
    firsts = [
        sum(int(name[-3:]) < 100 for name in drawn_from(crowd, dataclasses.replace(settings, seed=seed))[key]["sent"])
        for seed in range(50)
        for key in ["0.2 to 0.4 eV/atom"]
    ]
    assert sum(firsts) == pytest.approx(500, abs=5 * np.sqrt(250))
    paths = triaged(tmp_path, [*LEDGER, *crowd], settings)
    assert len(read_crystals(paths["queue"])) == sum(sizes.values())


def test_what_has_no_pseudopotential_is_neither_queued_nor_drawn(tmp_path):
    """Its energy would not belong on the hull; said before anything is submitted, not after days in the queue."""
    tungsten, astatine = (np.array([number]) for number in (74, 85))
    odd = [
        judged("tungsten", 0.0).replace(atomic_numbers=tungsten),
        judged("astatine", -0.1, novel=False).replace(atomic_numbers=astatine),
        judged("high", 0.3).replace(atomic_numbers=tungsten),
        judged("gone", 0.0).replace(atomic_numbers=tungsten).failed("relax", "exploded"),
    ]
    settings = dataclasses.replace(SETTINGS, subsample=100)
    paths = triaged(tmp_path, [*LEDGER, *odd], settings, functional="PBE_54")
    plan = json.loads(paths["plan"].read_text())
    assert plan["strata"]["no pseudopotential"] == {"all": ["tungsten", "astatine", "high"], "sent": []}
    assert plan["excluded"]["no pseudopotential"] == 3
    members = [name for part in plan["strata"].values() for name in part["all"]]
    assert sorted(members) == sorted(one.crystal_id for one in [*LEDGER, *odd])
    with paths["excluded"].open() as rows:
        reasons = {row["crystal_id"]: row["reason"] for row in csv.DictReader(rows)}
    assert reasons["tungsten"] == "no pseudopotential of MPRelaxSet for W" and reasons["gone"] == "relax: exploded"
    assert not {"tungsten", "astatine", "high"} & {one.crystal_id for one in read_crystals(paths["queue"])}
    # PBE has W_pv. What is calculated already needs none.
    queued = {one.crystal_id for one in read_crystals(triaged(tmp_path, odd, functional="PBE")["queue"])}
    replayed = triaged(tmp_path, odd, settings, functional="PBE_54", replay="runs")["queue"]
    assert queued == {"tungsten"}
    assert {one.crystal_id for one in read_crystals(replayed)} == {"tungsten", "astatine", "high"}


def test_the_plan_adds_up_the_costs(tmp_path):
    paths = triaged(tmp_path, LEDGER)
    plan = json.loads(paths["plan"].read_text())
    with paths["costs"].open() as rows:
        costs = [float(row["core_hours"]) for row in csv.DictReader(rows)]
    assert plan["core_hours"] == pytest.approx(sum(costs), abs=0.02) and plan["core_hours"] > 0
    assert plan["sent"]["chosen"] == 3 and plan["excluded"]["duplicate"] == 1
