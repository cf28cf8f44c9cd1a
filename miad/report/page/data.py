"""Candidates with their structures, a generation, and the provenance of all figures, as the page shows them."""

from pathlib import Path
from typing import Any

import numpy as np

from miad.config.layout import Run
from miad.core.crystal import Crystal, read_crystals
from miad.core.files import checksum
from miad.core.json_text import as_json
from miad.core.redact import redacted, shown
from miad.core.tabular import read_csv
from miad.report.candidates import CANDIDATE_COLUMNS
from miad.report.figures.space_groups import crystal_system
from miad.report.outcomes import Outcome
from miad.report.page.viewer import structure
from miad.report.tables import flat, varied

NUMBERS = ("e_above_hull", "num_atoms", "density", "energy_per_atom")  # columns of candidates.csv
# The table of candidates: column of candidates.csv and heading.
SHOWN = {
    "reduced_formula": "formula",
    "e_above_hull": "above hull (eV/atom)",
    "space_group": "space group",
    "num_atoms": "atoms",
    "density": "density (g/cm³)",
    "run": "run",
    "calculator": "calculator",
    "crystal_id": "id",
}


def candidates_of(run: Run, limit: int) -> tuple[list[dict[str, Any]], int]:
    """The most stable candidates of a run with CIF and structure, and how many there are in all."""
    lines = read_csv(run.file("candidates", "candidates"), CANDIDATE_COLUMNS)
    ledgers = map(read_crystals, run.judged("ledger"))
    crystals = {(one.crystal_id, one.calculator): one for ledger in ledgers for one in ledger}
    found = [
        {
            **{name: line[name] for name in (*SHOWN, "chemical_system", "decomposition", "energy_per_atom")},
            **{name: round(float(line[name]), 5) for name in NUMBERS if line[name] is not None},
            "flags": line.get("flags"),
            "has_rivals": line["num_rivals"] != "0",
            "run": run.name,
            "crystal_system": crystal_system(line["space_group"]),
            "file": line["cif"],
            # By its last part alone: the table of a stranger may say ../../any/file.
            "cif": (run.file("candidates", "cif") / Path(line["cif"]).name).read_text(encoding="utf-8"),
            "structure": structure(crystals[line["crystal_id"], line["calculator"]]),
        }
        for line in lines[:limit]
    ]
    return found, len(lines)


def generation(path: Path) -> dict[str, Any] | None:
    """The recorded generation of one crystal, frame by frame, or None if there is none."""
    import ase.io

    if not path.is_file():
        return None
    frames = ase.io.read(path, ":", format="extxyz")  # not what its first bytes say
    crystals = [
        Crystal(str(atoms.info["time"]), np.array(atoms.cell), atoms.get_scaled_positions(), atoms.numbers)
        for atoms in frames
    ]
    return {
        "crystal_id": str(frames[-1].info["crystal_id"]),
        "formula": crystals[-1].reduced_formula,
        "times": [int(atoms.info["time"]) for atoms in frames],
        "frames": [structure(crystal) for crystal in crystals],
    }


def provenance(runs: list[Run], outcomes: list[Outcome]) -> dict[str, Any]:
    """Versions, commits, seeds and energy frames behind the figures, and what each run changes."""
    main = runs[0]
    versions: dict[str, dict[str, None]] = {}
    for one in outcomes:
        for name, version in one.record["versions"].items():
            versions.setdefault(name, {})[str(version)] = None
    return {
        "versions": {name: list(found) for name, found in versions.items()},
        "energies": [{**one.record, **_origin(one), "run": one.run.name, "file": one.file} for one in outcomes],
        "changes": {run.name: _changes(run, main) for run in runs[1:]},
        "config": as_json(redacted(main.sections), indent=1, ensure_ascii=False),
    }


def _origin(one: Outcome) -> dict[str, Any]:
    """Where the hull came from; an earlier version of miad wrote that down with all folders on the way."""
    return {name: shown(one.record[name]) for name in ("hull", "hull_source") if one.record.get(name)}


def _changes(run: Run, main: Run) -> list[str]:
    ours, theirs = flat(redacted(run.sections)), flat(redacted(main.sections))
    return [
        f"{key}: {as_json(ours.get(key))} instead of {as_json(theirs.get(key))}" for key in sorted(varied(run, main))
    ]


def hashes(runs: list[Run], folder: Path, named: list[Path]) -> list[dict[str, str]]:
    """SHA-256 of what decides the figures: data, hull, weights, verdicts, and the tables that were read."""
    paths = []
    for run in runs:
        paths += [run.file("dataset", "train"), run.file("hull", "hull"), run.file("train", "model"), *run.rows]
        paths += [run.file("candidates", "candidates"), run.file("candidates", "ledger_csv")]
    found = [path for path in dict.fromkeys([*paths, *named]) if path.is_file()]
    return [{"file": str(path.relative_to(folder)), "sha256": checksum(path, "sha256")} for path in found]
