"""A few samples of every fate, and the files that `miad sun` judges them by."""

from pathlib import Path

import numpy as np

from miad.core.crystal import Crystal, write_crystals
from miad.hull.convex import Entry, HullTable, write_table
from tests.builders.crystals import caesium_chloride, rock_salt


def with_energy(crystal: Crystal, energy: float, **known) -> Crystal:
    known = {"calculator": "CHGNet 0.3.0", "energy_frame": "mp2020", "converged": True, **known}
    return crystal.replace(energy_per_atom=energy, **known)


def salt(name: str, energy: float, **known) -> Crystal:
    return with_energy(rock_salt(name), energy, **known)


# NaCl in rock salt lies at −3 on the hull; in the training set it is known as CsCl structure only.
ELEMENT = Crystal("element", np.eye(3) * 4, np.zeros((1, 3)), np.array([11]))
SAMPLES = [
    salt("r-0-0", -2.95),  # metastable, but a duplicate of the next
    salt("r-0-1", -3.20),  # S.U.N.
    with_energy(caesium_chloride("r-0-2"), -3.10),  # stable, known
    with_energy(caesium_chloride("r-0-3"), -2.50),  # far above
    with_energy(rock_salt("r-0-4", anion=35), -3.00),  # bromide: no entry with Br
    rock_salt("r-0-5", anion=9).failed("relax", "exploding volume"),
    Crystal("r-0-6", np.eye(3), np.zeros((0, 3)), np.zeros(0, dtype=int)).failed("sample", "no real atom is left"),
    with_energy(ELEMENT.replace(crystal_id="r-0-7"), -1.5, converged=False),  # below the hull, one element
    with_energy(rock_salt("r-0-8", anion=19, a=6.0), -1.5),  # NaK: on the line between Na and K
]


def write_sun_inputs(folder: Path) -> dict:
    """The inputs of `miad sun` for SAMPLES, and where its results are to be: the arguments of its run()."""
    entries = [Entry("Na", -1.0), Entry("Cl2", -2.0), Entry("NaCl", -3.0), Entry("K", -2.0)]
    write_table(folder / "entries.csv.gz", HullTable("by hand", "mp2020", "test", entries))
    write_crystals(folder / "train.jsonl.gz", [caesium_chloride("train-0")])
    write_crystals(folder / "relaxed-0.jsonl", SAMPLES[:5])
    write_crystals(folder / "relaxed-1.jsonl", SAMPLES[5:])
    write_crystals(folder / "generated.jsonl", [one.replace(energy_per_atom=None) for one in SAMPLES])
    return {
        "relaxed": [folder / "relaxed-0.jsonl", folder / "relaxed-1.jsonl"],
        "generated": [folder / "generated.jsonl"],
        "train": folder / "train.jsonl.gz",
        "hull": folder / "entries.csv.gz",
        "ledger": folder / "ledger.jsonl",
        "verdicts": folder / "verdicts.jsonl",
        "row": folder / "row.json",
        "run": "toy",
    }
