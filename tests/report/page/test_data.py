"""Candidates, generation and provenance in the page agree with the files that they are taken from."""

import json
from dataclasses import replace

import pytest

from miad.config.layout import Run, runs_of
from miad.core.files import checksum
from miad.core.tabular import read_csv
from miad.report.outcomes import Outcome, outcomes_of
from miad.report.page import data as page_data
from tests.builders import finished
from tests.builders.finished import NUM_SALTS


@pytest.fixture(scope="module")
def runs(results) -> list[Run]:
    return runs_of(json.dumps(finished.config()), results)[0]


@pytest.fixture(scope="module")
def outcomes(runs) -> list[Outcome]:
    return outcomes_of(runs)


def test_the_most_stable_candidates_come_with_their_own_files(runs):
    shown, number = page_data.candidates_of(runs[0], limit=4)
    assert number == NUM_SALTS and len(shown) == 4
    lines = read_csv(runs[0].file("candidates", "candidates"))
    assert [one["crystal_id"] for one in shown] == [line["crystal_id"] for line in lines[:4]]
    for one in shown:
        assert one["cif"] == (runs[0].file("candidates", "cif") / one["file"]).read_text(encoding="utf-8")
        assert (one["run"], one["crystal_system"], one["structure"]["size"]) == ("miad", "cubic", one["num_atoms"])
    assert all(isinstance(one["e_above_hull"], float) for one in shown)
    assert [one["has_rivals"] for one in shown] == [line["num_rivals"] != "0" for line in lines[:4]]


def test_a_generation_is_named_by_what_it_ends_as(results, tmp_path):
    found = page_data.generation(results / "figures" / "generation.extxyz")
    assert found["times"] == finished.TIMES
    assert [frame["size"] for frame in found["frames"]] == [3, 4, 3, 2, 2]
    [candidate] = [
        line for line in read_csv(results / "miad/candidates.csv") if line["crystal_id"] == found["crystal_id"]
    ]
    assert found["formula"] == candidate["reduced_formula"]
    assert page_data.generation(tmp_path / "generation.extxyz") is None


def test_provenance_tells_every_version_once_and_what_each_run_changes(runs, outcomes):
    older = replace(outcomes[1], record={**outcomes[1].record, "versions": {"pymatgen": "2020.1.1"}})
    found = page_data.provenance(runs, [outcomes[0], outcomes[0], older])
    assert found["versions"]["pymatgen"] == [outcomes[0].record["versions"]["pymatgen"], "2020.1.1"]
    assert found["changes"] == {"small": ["mirage.num_atoms: 8 instead of 9"]}
    assert [one["hull_energy_frame"] for one in found["energies"]] == ["mp2020"] * 3
    assert json.loads(found["config"])["mirage"]["num_atoms"] == 9


def test_checksums_are_those_of_the_files_that_are_there_each_once(results, runs):
    table = results / "sun_table.csv"
    found = page_data.hashes(runs, results, [table, table, results / "nowhere.csv"])
    assert {one["file"]: one["sha256"] for one in found}["sun_table.csv"] == checksum(table, "sha256")
    # The second run has the data set and the hull of the first.
    shared = ["miad/dataset/train.jsonl.gz", "miad/hull/entries.csv.gz"]
    own = ("train/model.safetensors", "sun/chgnet/row.json", "candidates.csv", "ledger.csv")
    expected = [*shared, "sun_table.csv", *(f"{run}/{name}" for run in ("miad", "small") for name in own)]
    assert sorted(one["file"] for one in found) == sorted(expected)
