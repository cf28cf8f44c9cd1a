"""The tables behind the figures: gathered from the results of the runs, one CSV per figure."""

import csv
import json
import re
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from miad.config.layout import Run
from miad.core.files import open_text
from miad.report.compare import Outcome, outcomes_of, spread
from miad.sample import trajectories
from miad.sun.judge import REASONS
from miad.train import loss_curve

Lines = list[dict[str, Any]]

COMPONENTS = ("stable", "unique", "novel", "sun", "metastable", "msun")
# Crystal systems by the number of the first space group of each. Source: International Tables for Crystallography A,
# where trigonal and hexagonal are two systems of one family. The paper calls them space-group families.
CRYSTAL_SYSTEMS = {
    "triclinic": 1,
    "monoclinic": 3,
    "orthorhombic": 16,
    "tetragonal": 75,
    "trigonal": 143,
    "hexagonal": 168,
    "cubic": 195,
}
_RATE = ("percent", "percent_low", "percent_high", "file")
# The columns of each table.
COLUMNS: dict[str, tuple[str, ...]] = {
    "components": ("run", "calculator", "component", *_RATE),
    "epochs": ("run", "calculator", "component", "epoch", *_RATE),
    "waterfall": ("run", "calculator", "reason", "dropped", "left", "file"),
    "num_atoms": ("run", "calculator", "attempted", "num_atoms", "sun"),
    "space_groups": ("run", "calculator", "attempted", "crystal_system", "sun"),
    "e_above_hull": ("run", "calculator", "crystal_id", "reason", "e_above_hull"),
    "relaxation": (
        "run",
        "calculator",
        "crystal_id",
        "converged",
        "num_steps",
        "rms_displacement",
        "volume_change",
        "energy_gain",
    ),
    "losses": ("run", *loss_curve.COLUMNS),
    "real_atoms": ("run", "time", "mean", "low", "high"),
    "turnover": ("run", "time", "appeared", "vanished", "changed"),
    "settled": ("run", "time", "real", "mirage"),
}


def gather(runs: list[Run], kept: list[Run]) -> dict[str, Lines]:
    """All tables; one for which there is nothing has no lines.

    Args:
        runs: the main run, ablations, crystals of other programs.
        kept: runs of models that were kept on the way.

    Raises:
        MiadError: a result is missing or damaged.
    """
    outcomes = outcomes_of(runs)
    tables = {
        "components": [line for one in outcomes for line in components(one)],
        "epochs": epochs(outcomes, outcomes_of(kept)),
        "waterfall": [line for one in outcomes for line in waterfall(one)],
    }
    ledgers = {run.name: read_csv(run.own / "ledger.csv") for run in runs}
    candidates = {run.name: read_csv(run.own / "candidates.csv") for run in runs}
    attempted = {(one.run.name, one.record["calculator"]): one.counts["attempted"] for one in outcomes}
    for name, table in (("num_atoms", num_atoms), ("space_groups", space_groups)):
        lines = _each(candidates, table)
        tables[name] = [{**line, "attempted": attempted.get((line["run"], line["calculator"]))} for line in lines]
    tables["e_above_hull"] = _each(ledgers, heights)
    tables["relaxation"] = _each(ledgers, relaxation)
    tables["losses"] = losses(runs)
    for name, table in (
        ("real_atoms", trajectories.real_atoms),
        ("turnover", trajectories.turnover),
        ("settled", trajectories.settled),
    ):
        tables[name] = [{"run": run.name, **line} for run in runs if (found := recorded(run)) for line in table(found)]
    # Without infusion what is no atom is padding, which was never to settle.
    without = {run.name for run in runs if run.sections["mirage"]["num_atoms"] is None}
    tables["settled"] = [{**line, "mirage": None} if line["run"] in without else line for line in tables["settled"]]
    return tables


def _each(files: dict[str, Lines], table: Any) -> Lines:
    """One table of every run's file; what several calculators found stays apart."""
    found = []
    for run, lines in files.items():
        for calculator in dict.fromkeys(line["calculator"] for line in lines):
            part = [line for line in lines if line["calculator"] == calculator]
            found += [{"run": run, "calculator": calculator, **line} for line in table(part)]
    return found


def read_csv(path: Path) -> Lines:
    """The lines of a CSV file that miad wrote; an empty cell is None."""
    with Path(path).open(encoding="utf-8", newline="") as text:
        return [{key: value or None for key, value in line.items()} for line in csv.DictReader(text)]


def components(one: Outcome) -> Lines:
    """The parts that S.U.N. is made of, in percent of all attempted samples."""
    label = {"run": one.run.name, "calculator": one.record["calculator"], "file": one.file}
    return [{**label, "component": name, **spread("percent", one.rate(name))} for name in COMPONENTS]


def epochs(trained: list[Outcome], kept: list[Outcome]) -> Lines:
    """The same against the epoch of the model: kept ones, and the trained one at the end."""
    found = []
    for one in [*kept, *trained]:
        name = one.run.epoch_of or one.run.name
        if not any(other.run.epoch_of == name for other in kept):
            continue
        epoch = one.run.sections["sample"]["epoch"] or one.run.sections["train"]["num_epochs"]
        found += [{**line, "run": name, "epoch": epoch} for line in components(one)]
    return sorted(found, key=lambda line: (line["run"], line["calculator"] or "", line["component"], line["epoch"]))


def waterfall(one: Outcome) -> Lines:
    """From attempted to S.U.N.: how many samples each reason takes away, and how many are left after it."""
    ends = one.record["protocols"][one.record["headline"]]["reasons"]
    left = one.counts["attempted"]
    label = {"run": one.run.name, "calculator": one.record["calculator"], "file": one.file}
    found = [{**label, "reason": "attempted", "dropped": 0, "left": left}]
    for reason in REASONS:
        if reason == "sun":
            break
        left -= ends[reason]
        found.append({**label, "reason": reason, "dropped": ends[reason], "left": left})
    return found


def num_atoms(candidates: Lines) -> Lines:
    """S.U.N. crystals by number of atoms in the cell."""
    counts = Counter(int(line["num_atoms"]) for line in candidates)
    return [{"num_atoms": number, "sun": counts[number]} for number in sorted(counts)]


def space_groups(candidates: Lines) -> Lines:
    """S.U.N. crystals by crystal system, symmetry found with a tolerance of 0.1 Å; every system has a line."""
    counts = Counter(crystal_system(line["space_group"]) for line in candidates)
    names = [*CRYSTAL_SYSTEMS, *(["not found"] if counts["not found"] else [])]
    return [{"crystal_system": name, "sun": counts[name]} for name in names]


def crystal_system(space_group: str | None) -> str:
    """The crystal system of a space group written as `Fm-3m (225)`."""
    number = re.search(r"\((\d+)\)$", space_group or "")
    if number is None:
        return "not found"
    return max(
        (name for name, first in CRYSTAL_SYSTEMS.items() if first <= int(number[1])), key=CRYSTAL_SYSTEMS.__getitem__
    )


def heights(ledger: Lines) -> Lines:
    """Energy above the hull of every sample that has one, eV/atom."""
    names = ("crystal_id", "reason", "e_above_hull")
    return [{name: line[name] for name in names} for line in ledger if line["e_above_hull"] is not None]


def relaxation(ledger: Lines) -> Lines:
    """How far relaxations went: steps, root mean square displacement (Å), volume change, energy gained (eV/atom)."""
    found = []
    for line in ledger:
        if line["num_steps"] is None:
            continue
        gain = None
        if line["initial_energy_per_atom"] is not None and line["energy_per_atom"] is not None:
            gain = float(line["initial_energy_per_atom"]) - float(line["energy_per_atom"])
        names = ("crystal_id", "converged", "num_steps", "rms_displacement", "volume_change")
        found.append({**{name: line[name] for name in names}, "energy_gain": gain})
    return found


def losses(runs: list[Run]) -> Lines:
    """The loss curves; runs that share a training have one, under the name of the run that trained."""
    paths = {run.homes["train"]: run.path("train", "losses.csv") for run in runs}
    return [{"run": name, **line} for name, path in paths.items() if path.is_file() for line in read_csv(path)]


def recorded(run: Run) -> trajectories.Trajectory | None:
    """Snapshots of a run's generation; none of a run that starts from another one's samples."""
    if run.homes["sample"] != run.name:
        return None
    paths = [run.path("sample", f"{shard}.trajectories.safetensors") for shard in run.shards]
    return trajectories.joined([found for path in paths if (found := trajectories.read(path)) is not None])


def recorded_ids(run: Run) -> dict[str, tuple[trajectories.Trajectory, int]]:
    """Whose generation was recorded: {crystal_id: (snapshots of its shard, its place there)}."""
    found = {}
    for shard in run.shards:
        trajectory = trajectories.read(run.path("sample", f"{shard}.trajectories.safetensors"))
        if trajectory is None:
            continue
        with open_text(run.path("sample", f"{shard}.jsonl")) as lines:
            for index, line in enumerate(islice(lines, trajectory.species.shape[1])):
                found[json.loads(line)["crystal_id"]] = (trajectory, index)
    return found
