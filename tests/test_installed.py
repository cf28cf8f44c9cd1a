"""A wheel, installed far from the checkout: it carries all that the program reads."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from miad.core.crystal import write_crystals
from miad.hull.convex import Entry, HullTable, write_table
from tests.builders import ROOT
from tests.builders.crystals import caesium_chloride, rock_salt

CARRIED = ("config.yaml", "model/kernels/edge_loops.c", "prototypes/prototypes_train.jsonl.gz", "report/page/report.js")
CARRIED += ("prototypes/card.md", "prototypes/ions.csv", "prototypes/competing_phases.csv.gz", "metrics/published.csv")
CARRIED += ("weights/mp20-small.safetensors", "weights/mp20-small.md")
CARRIED += ("metrics/cdvae_scaler.json", "metrics/smact_2_2_1.csv", "metrics/LICENCES.md")


def run(*command: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """An empty folder with the wheel of a copy of the checkout installed into it."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "miad", source / "miad", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "weights", source / "weights")
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, source)
    offline = ("--quiet", "--no-deps", "--no-index")
    run("-m", "pip", "wheel", *offline, "--no-build-isolation", "--wheel-dir", "dist", ".", folder=source)
    [wheel] = (source / "dist").glob("*.whl")
    run("-m", "pip", "install", *offline, "--target", str(folder / "target"), str(wheel), folder=folder)
    shutil.rmtree(source)
    return folder / "target"


def test_the_wheel_carries_what_the_program_reads(installed):
    assert [name for name in CARRIED if not (installed / "miad" / name).is_file()] == []
    assert (installed / "miad" / "config.yaml").read_bytes() == (ROOT / "config.yaml").read_bytes()


def test_crystals_are_evaluated_far_from_the_checkout(installed, tmp_path):
    write_crystals(tmp_path / "train.jsonl", [caesium_chloride("known")])
    entries = [Entry("Na", -1.0), Entry("Cl2", -2.0), Entry("NaCl", -3.0)]
    write_table(tmp_path / "hull.csv", HullTable("by hand", "mp2020", "test", entries))
    atoms = rock_salt("theirs").structure.to_ase_atoms()
    atoms.info["energy"] = -3.2 * len(atoms)
    atoms.write(tmp_path / "theirs.extxyz", columns=["symbols", "positions"])
    flags = ["--train", "train.jsonl", "--hull", "hull.csv", "--energy-frame", "mp2020", "--out", "out"]
    run("-m", "miad", "evaluate", "theirs.extxyz", *flags, folder=tmp_path, PYTHONPATH=str(installed))
    row, *_ = csv.DictReader((tmp_path / "out" / "sun_table.csv").open(encoding="utf-8"))  # published rows follow
    assert (row["run"], row["attempted"], row["sun"]) == ("theirs", "1", "1")
    where = run("-c", "import miad; print(miad.__file__)", folder=tmp_path, PYTHONPATH=str(installed))
    assert Path(where.strip()).is_relative_to(installed)
