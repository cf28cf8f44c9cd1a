"""DFT in the workflow: killed in the middle, it goes on, and no finished stage is calculated again."""

import csv
import json
import os
import signal
import time
from pathlib import Path

import pytest

from miad.dft.calculation import NOT_DFT
from tests.builders import tiny
from tests.builders.tiny import Project
from tests.builders.vasp_stand_in.site import folders


def finished_stages(project: Project) -> set[tuple[str, str]]:
    """(crystal_id, stage) of every task document in the stores."""
    names = {"MP GGA relax 1": "relax_1", "MP GGA relax 2": "relax_2", "MP GGA static": "static"}
    found = set()
    for path in (project.folder / "results/miad/vasp/store").glob("*.json"):
        found |= {(path.stem, names[document["name"]]) for document in json.loads(path.read_text())}
    return found


def called(script: Path) -> list[tuple[str, str]]:
    """(crystal_id, stage) of every call of VASP."""
    return [(folder.parent.name, folder.name) for folder in folders(script)]


@pytest.mark.vasp
def test_kill_9_of_the_workflow_repeats_no_finished_stage(vasp_site, tmp_path):
    (tmp_path / "project").mkdir()
    project = Project.create(tmp_path / "project")
    changes = {"dft": {"enabled": True, "max_e_above_hull": 1.0}, "vasp": vasp_site.settings}
    project.configure({**changes, "relax": {"max_steps": 150}})
    script = tmp_path / "script"
    project.environment.update(vasp_site.script(script, {"kind": "slow"}))
    code, output = project.run("snakemake", "results/miad/dft/queue.jsonl")
    assert code == 0, output
    process = project.start("snakemake", "--cores", "1", "results/sun_table.csv")
    while len(finished_stages(project)) < 4 or len(called(script)) < 5:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finished = finished_stages(project)
    before = [stage for stage in called(script) if stage in finished]
    project.run("snakemake", "--unlock", "results/sun_table.csv")
    code, output = project.run("snakemake", "results/sun_table.csv")
    assert code == 0, output
    assert [stage for stage in called(script) if stage in finished] == before
    assert finished < finished_stages(project)
    rows = list(csv.DictReader(project.text("results/sun_table.csv").splitlines()))
    assert [row["calculator"] for row in rows[:2]][1] == NOT_DFT
    assert int(rows[1]["attempted"]) == tiny.SETTINGS["sample"]["num_crystals"]
    assert project.planned() == {}
