"""From a ledger of judged samples to the table, through the steps dft, vasp and dft-energies, with the stand-in."""

import csv
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from miad.config.resolve import read_config, resolve
from miad.config.sections import Dft, Report, Sun, Vasp, build
from miad.core.crystal import Crystal, write_crystals
from miad.dft import energies as dft_energies
from miad.dft import triage as dft
from miad.dft.vasp import step as vasp
from miad.hull.convex import Entry, HullTable, write_table
from miad.report import sun_table
from tests.builders import ROOT
from tests.builders.symmetric import symmetric


def rock_salt(edge: float, first: str, second: str) -> Structure:
    """A primitive cell of the rock salt structure, edge of the cubic cell in Å."""
    made = symmetric("Fm-3m", Lattice.cubic(edge), [first, second], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return made.get_primitive_structure()


def caesium_chloride(edge: float, first: str, second: str) -> Structure:
    """A cell of the CsCl structure."""
    return symmetric("Pm-3m", Lattice.cubic(edge), [first, second], [[0, 0, 0], [0.5, 0.5, 0.5]])


# A +U oxide, halides, an intermetallic, an oxide without U.
SENT = {
    "FeO": rock_salt(4.3, "Fe", "O"),
    "NaCl": rock_salt(5.7, "Na", "Cl"),
    "AlNi": caesium_chloride(2.9, "Al", "Ni"),
    "MgO": rock_salt(4.25, "Mg", "O"),
    "KBr": rock_salt(6.7, "K", "Br"),
    "MnS": rock_salt(5.1, "Mn", "S"),
}


def ledger(names: list[str]) -> list[Crystal]:
    """Judged samples: those named go to DFT; six more do not, each for a reason of its own."""
    judged = {"e_above_hull": 0.02, "is_unique": True, "is_novel": True, "energy_per_atom": -3.0}
    judged |= {"calculator": "CHGNet", "energy_frame": "mp2020", "converged": True}
    others = {
        "high": {"e_above_hull": 0.5},
        "twin": {"is_unique": False},
        "known": {"is_novel": False},
        "unsure": {"is_unique": None, "is_novel": None},
    }
    samples = [Crystal.from_structure(name, SENT[name], **judged) for name in names]
    samples += [
        Crystal.from_structure(name, rock_salt(5.0, "Li", "F"), **{**judged, **what}) for name, what in others.items()
    ]
    lost = Crystal.from_structure("lost", rock_salt(5.0, "Li", "F"))
    return [*samples, lost.failed("sample", "no atoms"), lost.replace(crystal_id="torn").failed("relax", "exploded")]


def settings() -> dict[str, dict]:
    """The sections of config.yaml as it is shipped."""
    return next(iter(resolve(read_config(ROOT / "config.yaml")).values()))


@dataclass
class Chain:
    """The files of one run of the chain."""

    folder: Path
    samples: list[Crystal]
    hull: list[Entry]
    known: list[Crystal]
    dft: Dft
    vasp: Vasp

    def run(self, environment: dict[str, str]) -> None:
        """Triage, calculation of all chunks, judgement and table."""
        folder = self.folder
        self.write_inputs()
        self.triage()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            for chunk in range(self.vasp.num_chunks):
                chunks = {"calculations": folder / f"{chunk}.jsonl", "folder": folder / "vasp", "chunk": chunk}
                vasp.run(self.vasp, queue=folder / "queue.jsonl", **chunks)
        self.judge([folder / f"{chunk}.jsonl" for chunk in range(self.vasp.num_chunks)])

    def write_inputs(self) -> None:
        """Ledger, training crystals and hull."""
        write_crystals(self.folder / "samples.jsonl", self.samples)
        write_crystals(self.folder / "train.jsonl", self.known)
        write_table(self.folder / "entries.csv", HullTable("made up", "mp2020", "test", self.hull))

    def triage(self) -> None:
        """The step dft."""
        names = {"queue": "queue.jsonl", "plan": "plan.json", "costs": "costs.csv", "excluded": "excluded.csv"}
        paths = {key: self.folder / name for key, name in names.items()}
        dft.run(self.dft, vasp=self.vasp, ledger=self.folder / "samples.jsonl", **paths)

    def judge(self, calculations: list[Path]) -> None:
        """The step dft-energies, and the table of its row."""
        folder = self.folder
        inputs = {"ledger": "samples.jsonl", "plan": "plan.json"}
        inputs |= {"train": "train.jsonl", "val": "train.jsonl", "test": "train.jsonl", "hull": "entries.csv"}
        outputs = {"relaxed": "relaxed.jsonl", "dft_ledger": "ledger.jsonl", "verdicts": "verdicts.jsonl"}
        outputs |= {"row": "row.json", "energies": "energies.csv"}
        sun = build(settings(), Sun)
        only = {sun.protocol: sun.protocols[sun.protocol]}
        dft_energies.run(
            self.dft,
            judge=dataclasses.replace(sun, protocols=only, workers=1),
            calculations=calculations,
            generated=[folder / "samples.jsonl"],
            run="chain",
            **{key: folder / name for key, name in (inputs | outputs).items()},
        )
        tables = {"table": folder / "table.csv", "readable": folder / "table.md"}
        sun_table.run(Report(**{**settings()["report"], "published": False}), rows=[folder / "row.json"], **tables)

    def energies(self) -> dict[str, dict[str, str]]:
        """{crystal_id: line of energies.csv}."""
        with (self.folder / "energies.csv").open() as lines:
            return {line["crystal_id"]: line for line in csv.DictReader(lines)}

    def table(self) -> dict[str, str]:
        """The one measured row of the table."""
        with (self.folder / "table.csv").open() as lines:
            return next(csv.DictReader(lines))

    def row(self) -> dict[str, Any]:
        """The row file."""
        return json.loads((self.folder / "row.json").read_text(encoding="utf-8"))
