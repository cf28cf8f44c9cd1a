"""Every file that a step reads is an input of its rule: each step runs in a folder that holds nothing else.

One run of everything, crystals of other programs and the older metrics included, with snakemake's `shadow: minimal`,
which links the declared inputs into an empty folder and takes the declared outputs out of it.
"""

import csv
import json
import re

import pytest

from miad.core.crystal import read_crystals, write_crystals
from miad.report.sun_table import COLUMNS
from tests.builders import tiny
from tests.builders.tiny import Project

ATTEMPTED = tiny.SETTINGS["sample"]["num_crystals"]
NUM_GIVEN = 5
CONFIG = {
    "metrics": {"enabled": True},
    "dft": {"enabled": True},
    "vasp": {"replay": "runs"},
    "external": {
        "other": {"crystals": "tiny.csv", "energy_frame": "mp2020"},
        "both": {"crystals": "given.jsonl", "generated": "before.jsonl"},
        "bare": {"crystals": "before.jsonl", "calculator": "chgnet"},
    },
}


@pytest.fixture(scope="module")
def shadowed(finished, tmp_path_factory) -> Project:
    """A run of everything, each step among its inputs only."""
    project = finished.copy(tmp_path_factory.mktemp("shadowed") / "project")
    for path in (project.folder / "workflow" / "rules").glob("*.smk"):
        text = re.sub(r"^(rule \w+:\n)", r'\1    shadow: "minimal"\n', path.read_text(), flags=re.MULTILINE)
        path.write_text(text)
    given = read_crystals(project.folder / "results/miad/dataset/train.jsonl.gz")[:NUM_GIVEN]
    write_crystals(project.folder / "given.jsonl", given)
    write_crystals(project.folder / "before.jsonl", [one.replace(energy_per_atom=None) for one in given])
    run = project.folder / "runs" / "of-nobody" / "static" / "vasprun.xml"
    run.parent.mkdir(parents=True)
    run.write_text("torn")
    project.configure(CONFIG)
    # The package itself, which a step finds in the folder where it is started otherwise.
    project.environment["PYTHONPATH"] = str(project.folder)
    code, output = project.run("snakemake", "--forceall", "all")
    assert code == 0, output
    return project


def rows_of(project: Project, path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(project.text(path).splitlines()))


def test_each_step_finds_all_that_it_reads_among_its_inputs(shadowed, finished):
    # Nothing was missing, and nothing came out otherwise: a step may read more than it needs to fail.
    same = ("results/*/sample/?.jsonl", "results/*/relax/*/*.jsonl", "results/*/train/model.safetensors")
    expected = finished.contents(*same)
    assert expected == {path: content for path, content in shadowed.contents(*same).items() if path in expected}
    assert shadowed.text("results/sun_table.csv").startswith(finished.text("results/sun_table.csv").split("\n")[0])
    recorded = ("results/figures/real_atoms.csv", "results/figures/losses.csv", "results/figures/generation.extxyz")
    assert all(len(shadowed.text(path).splitlines()) > 2 for path in recorded)
    # The report names the checksums of what decides the figures, as far as it finds it.
    report = shadowed.text("results/report.html")
    named = ("dataset/train.jsonl.gz", "hull/entries.csv.gz", "train/model.safetensors", "ledger.csv", "candidates.csv")
    assert [name for name in named if f"miad/{name}" not in report] == []


def test_crystals_of_other_programs_are_runs(shadowed):
    rows = rows_of(shadowed, "results/sun_table.csv")
    assert tuple(rows[0]) == COLUMNS
    measured = [row for row in rows if row["kind"] == "measured"]
    assert [row["run"] for row in measured] == ["miad", "miad", "other", "both", "bare"]
    other, both, bare = measured[2:]
    assert (other["attempted"], both["attempted"], bare["attempted"]) == (str(tiny.NUM_CRYSTALS), "5", "5")
    # Taken as relaxed, so nothing is said of a relaxation; those without energies were relaxed.
    assert (other["calculator"], both["calculator"]) == ("as given", "tiny energy_per_atom")
    assert other["fmax"] == both["fmax"] == ""
    assert bare["calculator"].startswith("CHGNet") and bare["max_steps"] == "3"
    for name in ("other", "both", "bare"):
        folder = shadowed.folder / "results" / name
        assert {"candidates.csv", "cif", "ledger.csv", "export"} <= {path.name for path in folder.iterdir()}


def test_cells_as_generated_count_where_they_are_known(shadowed):
    protocols = {
        name: json.loads(shadowed.text(f"results/{name}/sun/chgnet/row.json"))["protocols"]
        for name in ("other", "both", "bare")
    }
    assert "as_paper" not in protocols["other"]
    assert {"strict", "as_paper"} <= set(protocols["both"]) and {"strict", "as_paper"} <= set(protocols["bare"])


def test_the_older_metrics_of_runs_and_of_crystals_of_others(shadowed):
    rows = [row for row in rows_of(shadowed, "results/metrics.csv") if row["kind"] == "measured"]
    samples = [(row["run"], int(row["samples"])) for row in rows]
    assert samples == [("miad", ATTEMPTED), ("other", tiny.NUM_CRYSTALS), ("both", NUM_GIVEN), ("bare", NUM_GIVEN)]
    # The test split is among the crystals of the other program.
    assert float(rows[1]["coverage_recall_percent"]) == 100.0


def test_settings_that_no_step_at_the_end_reads_make_nothing_anew(finished):
    assert finished.planned("--config", 'vasp={"command": "srun vasp"}', target="all") == {}
    assert finished.planned("--config", 'report={"title": "Mine"}', target="all") == {"table": 1, "report": 1, "all": 1}
