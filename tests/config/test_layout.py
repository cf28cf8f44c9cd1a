"""The map of the results of each run."""

import json
from pathlib import Path

import pytest

from miad.config.layout import FILES, part_of, record, runs_of, table_rows
from miad.core.errors import MiadError
from tests.builders import finished


def test_runs_name_the_files_that_the_workflow_writes():
    given = finished.config()
    given["ablations"] = {"quick": {"relax": {"max_steps": 10}}, "small": {"mirage": {"num_atoms": 8}}}
    given["external"] = {"other": {"crystals": "x.cif"}}
    runs, kept = runs_of(json.dumps(given), Path("results"))
    assert [run.name for run in runs] == ["miad", "quick", "small", "other"] and kept == []
    main, quick, small, other = runs
    assert main.rows == [Path("results/miad/sun/chgnet/row.json")]
    # What runs share lies with the first of them.
    assert quick.path("sample", "0.jsonl") == Path("results/miad/sample/0.jsonl")
    assert quick.verdicts == [Path("results/quick/sun/chgnet/verdicts.jsonl")]
    assert small.path("train", "losses.csv") == Path("results/small/train/losses.csv")
    assert small.path("hull", "entries.csv.gz") == Path("results/miad/hull/entries.csv.gz")
    # Crystals of another program have samples and all after them of their own, data set and hull of the main run.
    assert other.rows == [Path("results/other/sun/chgnet/row.json")] and list(other.shards) == [0]
    assert other.path("sample", "0.jsonl") == Path("results/other/sample/0.jsonl")
    assert other.path("dataset", "train.jsonl.gz") == Path("results/miad/dataset/train.jsonl.gz")
    assert other.file("candidates", "candidates") == Path("results/other/candidates.csv")
    assert quick.file("candidates", "cif") == Path("results/quick/cif")


def test_dft_is_one_more_row_of_a_run_but_not_of_its_kept_models():
    given = finished.config()
    given["ablations"] = None
    given["train"]["keep_every"] = 100
    given["report"]["epochs"] = given["dft"]["enabled"] = True
    [main], kept = runs_of(json.dumps(given), Path("results"))
    assert [row.parent.name for row in main.rows] == ["chgnet", "dft"]
    assert main.rows[1] == Path("results/miad/dft/row.json")
    assert [(run.name, run.epoch_of) for run in kept] == [("miad_epoch_100", "miad"), ("miad_epoch_200", "miad")]
    assert all(len(run.rows) == 1 for run in kept)
    assert kept[0].path("train", "model.safetensors") == Path("results/miad/train/model.safetensors")


def test_every_file_has_one_place_and_every_run_fills_it_in():
    patterns = [pattern for files in FILES.values() for pattern in files.values()]
    assert len(set(patterns)) == len(patterns)
    [main, small], _ = runs_of(json.dumps(finished.config()), Path("results"))
    assert main.files("relax", "relaxed") == [Path("results/miad/relax/chgnet/0.jsonl")]
    assert main.files("relax", "relaxed", calculator="eqv2", shard=3) == [Path("results/miad/relax/eqv2/3.jsonl")]
    assert small.files("dataset", "val") == main.files("dataset", "val")
    assert small.files("candidates", "cif") == [Path("results/small/cif")]


def test_crystals_of_other_programs_share_what_they_have_in_common():
    given = finished.config(ablations=None)
    one = {"crystals": "x.cif"}
    given["external"] = {"first": one, "second": {**one, "calculator": "eqv2"}, "third": {"crystals": "y.cif"}}
    (_, first, second, third), _ = runs_of(json.dumps(given), Path("results"))
    assert first.files("sample", "crystals") == second.files("sample", "crystals") != third.files("sample", "crystals")
    assert second.rows == [Path("results/second/sun/eqv2/row.json")]


def test_steps_at_the_end_are_told_the_settings_that_they_read():
    def told(step: str, **changes: dict) -> str:
        given = finished.config()
        for section, keys in changes.items():
            given[section] = {**(given[section] or {}), **keys}
        runs, kept = runs_of(json.dumps(given), Path("results"))
        return record(step, runs, kept)

    for step in ("compare", "figures", "report"):
        unrelated = {"relax": {"workers": 3}, "vasp": {"command": "srun vasp"}, "train": {"checkpoint_minutes": 9.0}}
        assert told(step, **unrelated) == told(step)
    assert told("figures", relax={"fmax": 0.2}) == told("figures")
    assert told("compare", relax={"fmax": 0.2}) != told("compare")
    assert told("report", report={"title": "Mine"}) != told("report")
    assert told("compare", report={"title": "Mine"}) == told("compare")


def test_what_a_step_is_told_gives_the_same_runs():
    given = finished.config()
    given["train"]["keep_every"] = 100
    given["report"]["epochs"] = given["dft"]["enabled"] = True
    runs, kept = runs_of(json.dumps(given), Path("results"))
    for step in ("compare", "figures", "report"):
        again = runs_of(record(step, runs, kept), Path("results"))
        for before, after in zip([*runs, *kept], [*again[0], *again[1]], strict=True):
            assert (after.name, after.homes, after.epoch_of) == (before.name, before.homes, before.epoch_of)
            assert (after.rows, after.verdicts) == (before.rows, before.verdicts)
            assert after.file("candidates", "cif") == before.file("candidates", "cif")


def test_rows_of_dft_stand_behind_those_of_potentials_and_crystals_of_others_last():
    given = finished.config()
    given["dft"]["enabled"] = True
    given["external"] = {"other": {"crystals": "x.cif"}}
    runs, _ = runs_of(json.dumps(given), Path("results"))
    assert [(name, path.parent.name) for name, path in table_rows(runs)] == [
        ("miad", "chgnet"),
        ("small", "chgnet"),
        ("miad", "dft"),
        ("small", "dft"),
        ("other", "chgnet"),
    ]


def test_crystals_of_others_cannot_have_the_name_of_a_kept_model():
    given = finished.config(ablations=None, external={"miad_epoch_100": {"crystals": "x.cif"}})
    runs_of(json.dumps(given), Path("results"))
    given["train"]["keep_every"], given["report"]["epochs"] = 100, True
    with pytest.raises(MiadError, match=r"external\.miad_epoch_100 has the name of a run that report\.epochs makes"):
        runs_of(json.dumps(given), Path("results"))


@pytest.mark.parametrize(
    ("step", "path", "part"),
    [
        ("train", "results/miad/train/model.safetensors", "miad"),
        ("relax", "/home/me/results/miad_epoch_2/relax/chgnet/3.jsonl", "miad_epoch_2/chgnet/3"),
        ("read", "results/others/sample/0.given.jsonl", "others/0"),
        ("dft-energies", "results/miad/dft/row.json", "miad"),
        ("vasp", "results/miad/vasp/chunks/7.jsonl", "miad/7"),
        ("train", "elsewhere/model.bin", ""),
        ("doctor", "results/miad/train/model.safetensors", ""),
    ],
)
def test_the_part_of_a_step_is_told_by_its_files(step, path, part):
    assert part_of(step, [Path("config.yaml"), Path(path)]) == part
