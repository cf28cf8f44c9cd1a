"""A data set of thirty simple crystals, and a copy of the workflow to run on it in seconds."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from pymatgen.core import Lattice, Structure

from tests.builders import ROOT
from tests.builders.symmetric import symmetric

CATIONS = {"Li": 0.76, "Na": 1.02, "K": 1.38}  # ionic radii, Å
ANIONS = {"F": 1.33, "Cl": 1.81, "Br": 1.96}
NUM_CRYSTALS = 30

# What makes the workflow tiny; everything else is as in config.yaml.
SETTINGS = {
    "seed": 1,
    "dataset": {
        "name": "tiny",
        "files": {"train": "tiny.csv"},
        "energy_column": "energy_per_atom",
        "energy_frame": "mp2020",
    },
    "mirage": {"num_atoms": 4},
    "diffusion": {"num_timesteps": 50},
    "network": {"hidden_dim": 64, "num_layers": 1, "num_frequencies": 4, "time_dim": 16, "gram_scale": 0.05},
    "train": {
        "num_epochs": 400,
        "batch_size": 18,
        "validate_every": 100,
        "learning_rate": 0.003,
        "warmup_steps": 5,
        "ema_decay": None,  # 400 steps are too few to average over
    },
    "sample": {"num_crystals": 8, "num_shards": 2, "stride": 1, "corrector_steps": 50},
    "relax": {"max_steps": 3, "workers": 1},
    "hull": {"source": "dataset", "energy_frame": "mp2020"},
}

# What people take away, and what is costly: the same bytes whatever happened on the way.
RESULTS = (
    "results/sun_table.*",
    "results/tables/*",
    "results/miad/*.csv",
    "results/*/*.parquet",
    "results/*/cif/*.cif",
    "results/figures/waterfall.*",
)
COSTLY = ("results/*/train/model.*", "results/*/sample/*.jsonl", "results/*/relax/*/*.jsonl")


def crystals() -> list[tuple[Structure, float]]:
    """Thirty crystals and invented energies, eV/atom, far above CHGNet's: what the tiny network dreams up is stable.

    Elements lie at 14.8 (bcc) and 14.9 (fcc), salts at 14.3 (rock salt) and 14.4 (CsCl structure).
    """
    made = []
    for element, radius in {**CATIONS, **ANIONS}.items():
        made.append((symmetric("Im-3m", Lattice.cubic(3 * radius), [element], [[0, 0, 0]]), 14.8))
        made.append((symmetric("Fm-3m", Lattice.cubic(4 * radius), [element], [[0, 0, 0]]), 14.9))
    for cation, small in CATIONS.items():
        for anion, large in ANIONS.items():
            distance = small + large
            for group, edge, energy in (("Fm-3m", 2 * distance, 14.3), ("Pm-3m", 2 * distance / 3**0.5, 14.4)):
                places = [[0, 0, 0], [0.5, 0.5, 0.5]]
                made.append(
                    (symmetric(group, Lattice.cubic(edge), [cation, anion], places), energy),
                )
    return made


def rows() -> list[dict[str, str]]:
    """The data set in the layout of CDVAE's CSV files."""
    return [
        {"material_id": f"tiny-{index}", "cif": structure.to(fmt="cif"), "energy_per_atom": str(energy)}
        for index, (structure, energy) in enumerate(crystals())
    ]


def write_csv(path: Path, table: list[dict[str, str]]) -> None:
    """Rows of equal columns, with a header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


class Project:
    """A copy of the repository's workflow and package in a folder of its own, as a user's clone would be.

    A copy, so that the tests neither touch the results of the checkout nor see edits made to it meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        """An existing copy; `create` and `copy` make one."""
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MIAD_CACHE": str(folder / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    @classmethod
    def create(cls, folder: Path) -> "Project":
        """A fresh clone with the tiny data set and settings."""
        for name in ("workflow", "profiles", "envs", "miad"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Snakefile", "config.yaml", "Makefile"):
            shutil.copy(ROOT / name, folder / name)
        write_csv(folder / "tiny.csv", rows())
        # Jobs of one thread each: so small a network is slower on two.
        with (folder / "profiles" / "default" / "config.yaml").open("a", encoding="utf-8") as profile:
            profile.write("max-threads: 1\n")
        project = cls(folder)
        project.configure(SETTINGS)
        return project

    def copy(self, folder: Path) -> "Project":
        """The same with everything computed so far; times of files are kept."""
        shutil.copytree(self.folder, folder)
        return Project(folder)

    def configure(self, changes: dict) -> None:
        """Lay changes over config.yaml."""
        from miad.config.resolve import merge

        path = self.folder / "config.yaml"
        merged = merge(yaml.safe_load(path.read_text(encoding="utf-8")), changes)
        path.write_text(yaml.safe_dump(merged, sort_keys=False, allow_unicode=True), encoding="utf-8")

    def start(self, *command: str) -> subprocess.Popen:
        """Start a command in the folder, as the leader of its own session; both outputs go to one pipe."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str) -> tuple[int, str]:
        """The exit code and all that was printed."""
        process = self.start(*command)
        output, _ = process.communicate(timeout=900)
        return process.returncode, output

    def planned(self, *options: str, target: str = "results/sun_table.csv") -> dict[str, int]:
        """Jobs of a dry run: {rule: number of jobs}."""
        code, output = self.run("snakemake", "--dry-run", target, *options)
        assert code == 0, output
        if "Nothing to be done" in output:
            return {}
        table = output.rpartition("Job stats:")[2].partition("total")[0]
        return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}

    def text(self, path: str) -> str:
        """A file of the project."""
        return (self.folder / path).read_text(encoding="utf-8")

    def contents(self, *patterns: str) -> dict[str, bytes]:
        """{path: bytes} of the files that match."""
        paths = sorted(path for pattern in patterns for path in self.folder.glob(pattern) if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}
