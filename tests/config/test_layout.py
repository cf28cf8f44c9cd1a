"""Where the results of each run are."""

import json
from pathlib import Path

from miad.config.layout import runs_of
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
    assert other.is_external and other.rows == [Path("results/external/other/row.json")] and len(other.shards) == 0
    assert other.own == Path("results/external/other") and quick.own == Path("results/quick")


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
