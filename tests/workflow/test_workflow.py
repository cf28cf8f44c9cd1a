"""The workflow as users meet it: a tiny end-to-end run, exact reruns, kills, bad input, and the two commands.

One finished run (every step real, CHGNet included) is shared by all tests; most of them only plan on a copy of it.
"""

import csv
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from miad import cancel
from miad.core.crystal import read_crystals
from miad.report import published
from miad.report.candidates import CANDIDATE_COLUMNS, LEDGER_COLUMNS
from miad.report.sun_table import COLUMNS
from miad.sun.judge import COUNTS, RATES, REASONS
from tests.builders import tiny, tiny_eqv2
from tests.builders.at_work import processes, steps
from tests.builders.tiny import COSTLY, RESULTS, Project

ATTEMPTED = tiny.SETTINGS["sample"]["num_crystals"]
SHARDS = tiny.SETTINGS["sample"]["num_shards"]
SHOWN = {"compare": 1, "figures": 1, "report": 1, "all": 1}  # what is made anew when anything has changed: seconds
AFTER_INFUSE = {"train": 1, "sample": SHARDS, "relax": SHARDS, "sun": 1, "candidates": 1, "table": 1}


def table_of(project: Project) -> list[dict[str, str]]:
    return list(csv.DictReader(project.text("results/sun_table.csv").splitlines()))


# ------------------------------------------------------------------------------------------------ end to end


def test_the_table_has_the_measured_row_and_the_published_ones(finished):
    measured, *others = table_of(finished)
    assert tuple(measured) == COLUMNS
    assert (measured["run"], measured["kind"], measured["protocol"]) == ("miad", "measured", "strict")
    assert "CHGNet 0.3.0" in measured["calculator"] and measured["energy_frame"] == "mp2020"
    assert measured["hull"].startswith("tiny")
    assert measured["arithmetic"].startswith("sample: ") and "; train: " in measured["arithmetic"]
    assert not any(row["arithmetic"] for row in others)
    assert [row["kind"] for row in others] == ["published"] * sum(len(paper.rows) for paper in published.TABLES[:2])
    assert "12.9" in {row["sun_percent"].rstrip("0") for row in others if "MiAD" in row["run"]}


def test_a_run_that_has_ended_leaves_no_record_of_its_owner(finished):
    assert list((finished.folder / cancel.SIGNED).iterdir()) == []


def test_counts_are_a_funnel_and_rates_are_shares_of_attempted(finished):
    row = table_of(finished)[0]
    counts = {name: int(row[name]) for name in COUNTS}
    assert counts["attempted"] == ATTEMPTED
    funnel = [counts[name] for name in ("attempted", "decoded", "relaxed", "on_hull", "metastable", "stable", "sun")]
    assert funnel == sorted(funnel, reverse=True)
    assert counts["sun"] <= counts["msun"] <= min(counts["unique_novel"], counts["metastable"])
    # The invented hull lies far above CHGNet's energies: what has a place on it is stable.
    assert counts["on_hull"] == counts["stable"] > 0
    for rate, (part, whole) in RATES.items():
        share = 100 * counts[part] / counts[whole]
        assert float(row[f"{rate}_percent"]) == pytest.approx(share, abs=1e-3)
        assert float(row[f"{rate}_percent_low"]) <= share + 1e-3
        assert float(row[f"{rate}_percent_high"]) >= share - 1e-3


def test_every_attempted_sample_has_a_line_in_every_ledger(finished):
    folder = finished.folder / "results" / "miad"
    expected = [f"miad-{shard:03d}-{index:05d}" for shard in range(SHARDS) for index in range(ATTEMPTED // SHARDS)]
    for stage in ("sample", "relax/chgnet"):
        shards = [read_crystals(folder / stage / f"{shard}.jsonl") for shard in range(SHARDS)]
        assert [crystal.crystal_id for shard in shards for crystal in shard] == expected
    assert [crystal.crystal_id for crystal in read_crystals(folder / "sun/chgnet/ledger.jsonl")] == expected
    ledger = list(csv.DictReader(finished.text("results/miad/ledger.csv").splitlines()))
    assert [line["crystal_id"] for line in ledger] == expected
    assert {line["reason"] for line in ledger} <= set(REASONS)


def test_ledger_csv_and_parquet_say_the_same(finished):
    from pyarrow import parquet

    lines = list(csv.DictReader(finished.text("results/miad/ledger.csv").splitlines()))
    records = parquet.read_table(finished.folder / "results/miad/ledger.parquet").to_pylist()
    assert len(lines) == len(records) == ATTEMPTED
    for line, record in zip(lines, records, strict=True):
        assert list(line) == list(record) == list(LEDGER_COLUMNS)
        for name, kind in LEDGER_COLUMNS.items():
            read = {"string": str, "int64": int, "double": float, "bool": lambda text: text == "True"}[kind]
            assert record[name] == (read(line[name]) if line[name] else None)


def test_candidates_are_the_crystals_that_the_ledger_calls_sun(finished):
    lines = list(csv.DictReader(finished.text("results/miad/candidates.csv").splitlines()))
    ledger = list(csv.DictReader(finished.text("results/miad/ledger.csv").splitlines()))
    chosen = {line["crystal_id"] for line in ledger if line["reason"] == "sun"}
    assert {line["crystal_id"] for line in lines} == chosen
    assert len(lines) == int(table_of(finished)[0]["sun"])
    assert all(tuple(line) == tuple(CANDIDATE_COLUMNS) for line in lines)
    heights = [float(line["e_above_hull"]) for line in lines]
    assert heights == sorted(heights) and all(height < 0 for height in heights)
    cifs = {path.name for path in (finished.folder / "results/miad/cif").glob("*.cif")}
    assert cifs == {line["cif"] for line in lines}


def test_the_report_shows_what_the_table_says(finished):
    row = table_of(finished)[0]
    text = finished.text("results/report.html")
    assert f"{row['sun']} of {row['attempted']} samples of miad are stable, unique and novel" in text
    for name in ("waterfall", "losses", "real_atoms"):
        assert f'id="figure-{name}"' in text
    assert str(finished.folder) not in text  # paths are those below results/
    exported = list((finished.folder / "results/miad/export/generated").glob("*.cif"))
    assert len(exported) == int(row["decoded"])


def test_snakemakes_own_report_has_the_figures_with_captions(copy):
    code, output = copy.run("snakemake", "--report", "snakemake.html", "all")
    assert code == 0, output
    text = copy.text("snakemake.html")
    assert "From attempted to S.U.N.: Every attempted sample ends at one reason, the first that applies" in text
    assert "Every run with its difference to the first one" in text and "The S.U.N. crystals of" in text


# ------------------------------------------------------------------------------------------------ exact reruns


def test_nothing_changed_reruns_nothing(finished):
    assert finished.planned() == {}
    assert finished.planned(target="all") == {}


def test_num_atoms_reruns_infuse_and_all_after_it(finished):
    # As config.yaml says it is written on the command line.
    planned = finished.planned("--config", 'mirage={"num_atoms": 5}')
    assert planned == {"infuse": 1, **AFTER_INFUSE}


def test_a_threshold_reruns_only_the_verdicts(finished):
    planned = finished.planned("--config", 'sun={"protocols": {"strict": {"stable_below": -0.01}}}')
    assert planned == {"sun": 1, "candidates": 1, "table": 1}


def test_a_second_calculator_is_a_second_row_and_leaves_the_first_as_it_is(copy):
    tiny_eqv2.make(copy.folder / "tiny.pt")
    before = copy.contents("results/miad/relax/chgnet/*")
    relax = {"calculators": ["chgnet", "eqv2"], "potentials": {"eqv2": {"checkpoint": "tiny.pt", "max_steps": 2}}}
    copy.configure({"relax": relax})
    assert copy.planned() | {"relax": SHARDS, "sun": 1} == copy.planned()
    code, output = copy.run("snakemake", "results/sun_table.csv")
    assert code == 0, output
    chgnet, eqv2 = [row for row in table_of(copy) if row["run"] == "miad"]
    assert "CHGNet" in chgnet["calculator"] and eqv2["calculator"].startswith("tiny (fairchem-core 1.")
    assert chgnet["attempted"] == eqv2["attempted"] == str(ATTEMPTED) and eqv2["energy_frame"] == "mp2020"
    assert copy.contents("results/miad/relax/chgnet/*") == before


def test_an_ablation_runs_its_own_steps_only(copy):
    copy.configure({"ablations": {"no_mirage": {"mirage": {"num_atoms": None}}}})
    # Data set and hull are those of the main run.
    assert copy.planned() == {"infuse": 1, **AFTER_INFUSE}
    copy.configure({"ablations": {"no_mirage": {"mirage": {"num_atoms": 4}, "sample": {"corrector_steps": 0}}}})
    assert copy.planned() == {name: count for name, count in AFTER_INFUSE.items() if name != "train"}


def test_an_ablation_of_a_finished_run_costs_its_own_steps_and_a_new_report(copy):
    copy.configure({"ablations": {"no_mirage": {"mirage": {"num_atoms": None}}}})
    assert copy.planned(target="all") == {"infuse": 1, **AFTER_INFUSE, "export": 1, **SHOWN}
    copy.configure({"ablations": {"no_mirage": {"mirage": {"num_atoms": 4}, "relax": {"max_steps": 2}}}})
    later = {name: AFTER_INFUSE[name] for name in ("relax", "sun", "candidates", "table")}
    assert copy.planned(target="all") == {**later, "export": 1, **SHOWN}


def test_a_new_figure_is_drawn_and_nothing_else_made_anew(copy):
    (copy.folder / "miad/report/figures/mine.py").touch()
    assert copy.planned(target="all") == {"figures": 1, "report": 1, "all": 1}


def test_kept_models_are_sampled_and_judged_only_when_asked_for(copy):
    copy.configure({"train": {"keep_every": 100}})
    # The training is looked at again, and gives what it gave.
    assert copy.planned() == {name: count for name, count in AFTER_INFUSE.items() if name != "infuse"}
    copy.configure({"report": {"epochs": True}})
    planned = copy.planned(target="all")
    # Three models on the way to epoch 400, and the trained one; candidates are those of the trained one.
    assert (planned["train"], planned["sample"], planned["sun"], planned["candidates"]) == (1, 4 * SHARDS, 4, 1)


def test_own_files_are_followed_by_content(copy):
    (copy.folder / "tiny.csv").touch()
    assert copy.planned() == {}
    tiny.write_csv(copy.folder / "tiny.csv", tiny.rows()[:-1])
    assert copy.planned() == {"dataset": 1, "hull": 1, "infuse": 1, **AFTER_INFUSE}


# ------------------------------------------------------------------------------------------------ kill and resume


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Wait until a step has begun."""
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes in /proc")
def test_killed_runs_end_in_the_same_bytes(finished, tmp_path):
    (tmp_path / "killed").mkdir()
    project = Project.create(tmp_path / "killed")
    # The machine dies during the training: snakemake and its step, all at once.
    process = project.start("snakemake", "results/sun_table.csv")
    wait_for(project.folder / "results/miad/train/train.log", process)
    # While it lives nobody takes its lock away, and none runs beside it.
    for command in (["make", "-o", ".venv/installed", "run"], ["snakemake", "--nolock", "results/sun_table.csv"]):
        code, output = project.run(*command)
        assert code != 0 and re.search(rf"snakemake is at work .*process {process.pid} of", output), output
    assert list((project.folder / ".snakemake/locks").iterdir()) and process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (project.folder / "results/miad/train/model.safetensors").exists()
    # `make run` finds the lock that snakemake left, and goes on; then a step is killed.
    process = project.start("make", "-o", ".venv/installed", "run")
    wait_for(project.folder / "results/miad/relax/chgnet/0.log", process)
    while not (pids := steps(project.folder)):
        time.sleep(0.05)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert not (project.folder / "results/sun_table.csv").exists(), output
    code, output = project.run("make", "-o", ".venv/installed", "run")
    assert code == 0, output
    assert project.contents(*RESULTS, *COSTLY) == finished.contents(*RESULTS, *COSTLY)
    code, output = project.run("make", "-o", ".venv/installed", "run")
    assert code == 0 and "Nothing to be done" in output


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes in /proc")
def test_a_training_asked_to_end_with_all_processes_of_its_job_saves_first(copy):
    # As Slurm asks before it preempts. A shell around the training would end at once, and the job with it.
    shutil.rmtree(copy.folder / "results/miad/train")
    copy.configure({"train": {"num_epochs": 100_000, "checkpoint_minutes": 0.005}})
    process = copy.start("snakemake", "results/miad/train/model.safetensors")
    wait_for(copy.folder / "results/miad/train/checkpoints/last.safetensors", process)
    for pid in processes(copy.folder):
        os.kill(pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0, output
    assert "stopped by a signal" in copy.text("results/miad/train/train.log")


# ------------------------------------------------------------------------------------------------ the last stage


def test_dft_queues_or_excludes_every_attempted_sample(copy):
    copy.configure({"dft": {"enabled": True}})
    queue_file = "results/miad/dft/queue.jsonl"
    assert copy.planned(target=queue_file) == {"dft": 1}
    code, output = copy.run("snakemake", queue_file)
    assert code == 0, output
    assert "DFT is not enabled" not in output
    queue = read_crystals(copy.folder / queue_file)
    excluded = list(csv.DictReader(copy.text("results/miad/dft/excluded.csv").splitlines()))
    ids = [crystal.crystal_id for crystal in queue] + [line["crystal_id"] for line in excluded]
    ledger = read_crystals(copy.folder / "results/miad/sun/chgnet/ledger.jsonl")
    assert Counter(ids) == Counter(crystal.crystal_id for crystal in ledger)
    assert all(line["reason"] for line in excluded)


def test_finished_calculations_in_a_folder_are_followed(copy):
    """A run that is added or edited is read, however deep it lies."""
    run = copy.folder / "runs" / "of-nobody" / "static" / "vasprun.xml"
    run.parent.mkdir(parents=True)
    run.write_text("torn")
    (copy.folder / "store.yaml").write_text("docs_store: {type: MongoStore, password: hunter2hunter2}")
    copy.configure({"dft": {"enabled": True}, "vasp": {"replay": "runs", "job_store": "store.yaml"}})
    chunk = "results/miad/vasp/chunks/0.jsonl"
    code, output = copy.run("snakemake", chunk)
    assert code == 0, output
    assert copy.planned(target=chunk) == {}
    # The password of the store is in none of snakemake's records, and in no log or result.
    written = [path for top in (".snakemake", "results") for path in (copy.folder / top).rglob("*") if path.is_file()]
    assert any(b"store.yaml" in path.read_bytes() for path in written)
    assert not [path for path in written if b"hunter2hunter2" in path.read_bytes()]
    run.write_text("torn otherwise")
    assert copy.planned(target=chunk) == {"vasp": 1}


def test_the_older_metrics_are_made_where_a_run_asks_for_them(copy):
    copy.configure({"metrics": {"enabled": True}})
    assert copy.planned(target="all").get("metrics_table") == 1


# ------------------------------------------------------------------------------------------------ on GPUs


def test_training_on_two_gpus_is_started_by_torchrun(copy):
    # On the CPU: two processes, and two devices that exist in name only.
    shutil.rmtree(copy.folder / "results/miad/train")
    copy.configure({"train": {"num_epochs": 20, "validate_every": 20}})
    copy.environment |= {"CUDA_VISIBLE_DEVICES": "5,7", "MIAD_GPU_LOCKS": str(copy.folder / "locks")}
    model = "results/miad/train/model.safetensors"
    code, output = copy.run("snakemake", "--set-resources", "train:gpu=2", "--", model)
    assert code == 0, output
    log = copy.text("results/miad/train/train.log")
    assert "using GPU 5, 7" in log and log.count("epochs trained: 20 in") == 2
    # Other resources make no other model, so they are no reason to train again.
    assert copy.planned("--until", "train", target=model) == {}
