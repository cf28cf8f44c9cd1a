"""Bad and hostile input to the workflow: refused before anything costly runs, in words that say what to do."""

import csv
import os
import re
import signal
from pathlib import Path

import pytest

from miad.core.crystal import Crystal, write_crystals
from tests.builders import tiny
from tests.builders.tiny import COSTLY, RESULTS, Project

CLOSED_PORT = "http://127.0.0.1:9/train.csv"


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory):
    """A run on a machine without network; it retries for half a minute, meanwhile the others work."""
    project = Project.create(tmp_path_factory.mktemp("offline"))
    project.configure({"dataset": {"files": {"train": CLOSED_PORT}, "checksums": {"train": f"md5:{'0' * 32}"}}})
    process = project.start("snakemake", "results/sun_table.csv")
    yield project, process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mirage": {"num_atmos": 10}}, ["mirage.num_atmos is not a known key", "Did you mean num_atoms?"]),
        ({"mirage": {"num_atoms": "ten"}}, ["mirage.num_atoms", "'ten'", "integer"]),
        ({"diffusion": {"sigma_min": 3.0}}, ["diffusion.sigma_min", "3.0", "at most 0.1"]),
        ({"relax": {"calculators": ["chgnett"]}}, ["relax.calculators", "chgnett is not one of", "config.yaml"]),
        ({"relax": {"calculators": ["chgnet", "eqv2"]}}, ["eqV2_153M_omat_mp_salex.pt", "potentials.eqv2.checkpoint"]),
        ({"dataset": {"files": {"train": "nowhere.csv"}}}, ["dataset.files.train: nowhere.csv", "Correct the path"]),
    ],
    ids=["misspelt", "type", "range", "calculator", "weights", "path"],
)
def test_a_bad_config_is_refused_before_anything_runs(copy, change, said):
    before = copy.contents("results/**/*")
    copy.configure(change)
    code, output = copy.run("snakemake", "results/sun_table.csv")
    assert code != 0
    assert all(words in output for words in said), output
    assert "Traceback" not in output and len(output.splitlines()) <= 6, output
    assert copy.contents("results/**/*") == before


def torn_cif(folder: Path) -> dict:
    tiny.write_csv(folder / "bad.csv", [*tiny.rows()[:3], {**tiny.rows()[3], "cif": "data_torn\n_cell_length_a 4"}])
    return {"dataset": {"files": {"train": "bad.csv"}}}


def empty_csv(folder: Path) -> dict:
    (folder / "bad.csv").write_text("")
    return {"dataset": {"files": {"train": "bad.csv"}}}


def no_cif_column(folder: Path) -> dict:
    tiny.write_csv(folder / "bad.csv", [{"structure": row.pop("cif"), **row} for row in tiny.rows()])
    return {"dataset": {"files": {"train": "bad.csv"}}}


def wrong_checksum(folder: Path) -> dict:
    return {"dataset": {"checksums": {"train": f"sha256:{'0' * 64}"}}}


def too_few_places(folder: Path) -> dict:
    return {"mirage": {"num_atoms": 1}}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (torn_cif, ["bad.csv, row 3", "tiny-3", "dataset.unreadable: skip"]),
        (empty_csv, ["bad.csv is empty", "Give a CSV file with a header"]),
        (no_cif_column, ["bad.csv has no column cif", "it has structure", "Rename the column"]),
        (wrong_checksum, ["tiny.csv has sha256", "correct dataset.checksums.train in config.yaml"]),
        (too_few_places, ["mirage.num_atoms is 1", "has 2 atoms", "Set mirage.num_atoms to 7"]),
    ],
)
def test_bad_input_stops_before_the_training_and_costs_nothing(copy, spoil, said):
    before = copy.contents(*RESULTS, *COSTLY)
    copy.configure(spoil(copy.folder))
    trained = (copy.folder / "results/miad/train/train.log").stat()
    code, output = copy.run("snakemake", "results/sun_table.csv")
    assert code != 0
    [message] = [line for line in output.splitlines() if re.match(r"\s*miad (dataset|infuse): ", line)]
    assert all(words in message for words in said), message
    assert "Traceback" not in output
    assert copy.contents(*RESULTS, *COSTLY) == before
    assert (copy.folder / "results/miad/train/train.log").stat() == trained


def test_a_mistake_mended_does_not_train_again(copy):
    model = copy.contents("results/miad/train/model.safetensors", "results/miad/train/losses.csv")
    copy.configure({"mirage": {"num_atoms": 1}})
    assert copy.run("snakemake", "results/sun_table.csv")[0] != 0
    copy.configure(tiny.SETTINGS)
    code, output = copy.run("snakemake", "results/miad/train/model.safetensors")
    assert code == 0, output
    assert "continuing at epoch 400" in copy.text("results/miad/train/train.log")
    assert copy.contents("results/miad/train/model.safetensors", "results/miad/train/losses.csv") == model


def test_without_network_the_message_says_how_to_give_the_file(offline):
    project, process = offline
    output, _ = process.communicate(timeout=600)
    assert process.returncode != 0
    [message] = [line for line in output.splitlines() if line.lstrip().startswith("miad dataset: ")]
    assert CLOSED_PORT in message and "no connection" in message
    assert "dataset.files.train: /path/to/the/file" in message and str(project.folder / "cache") in message
    assert "Traceback" not in output and not (project.folder / "results/miad/train").exists()


def test_hostile_names_reach_no_shell_and_leave_no_folder(copy):
    name = "x; touch pwned $(touch pwned) `touch pwned` 'q\".jsonl"
    evil = [
        Crystal.from_structure(f"../../{index}; touch pwned", structure, energy_per_atom=9.0, energy_frame="mp2020")
        for index, (structure, _) in enumerate(tiny.crystals()[:3])
    ]
    write_crystals(copy.folder / name, evil)
    copy.configure({"external": {"evil": {"crystals": name}}})
    before = {path for path in copy.folder.parent.rglob("*") if "evil" not in path.parts}
    code, output = copy.run("snakemake", "results/evil/ledger.csv")
    assert code == 0, output
    ledger = list(csv.DictReader(copy.text("results/evil/ledger.csv").splitlines()))
    assert [line["crystal_id"] for line in ledger] == [crystal.crystal_id for crystal in evil]
    after = {path for path in copy.folder.parent.rglob("*") if "evil" not in path.parts}
    new = {path for path in after - before if ".snakemake" not in path.parts and "__pycache__" not in path.parts}
    assert new <= {copy.folder / "results/miad/dataset/train.reduced.jsonl.gz"}, new
