"""The dft step: triage. Which crystals go to DFT, what that will cost, and for each other one, why it is left out."""

import csv
import io
import json
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from miad.config.sections import Dft, Vasp
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.files import write_text
from miad.core.seeding import seed_of
from miad.dft.cost import core_hours
from miad.dft.vasp.site import without_potcar

log = logging.getLogger("miad")
CHOSEN = "chosen"  # the stratum that is calculated in full
FAILED = "failed"  # the stratum that cannot be calculated: nothing to start from
NO_POTCAR = "no pseudopotential"  # nor can this one; estimates count both as not S.U.N.


def excluded_because(crystal: Crystal, settings: Dft, lacking: Collection[str] = ()) -> str | None:
    """Why a crystal does not go to DFT, or None if it does.

    Args:
        crystal: a judged sample.
        settings: section dft.
        lacking: elements without a usable pseudopotential.
    """
    if crystal.failure is not None:
        return str(crystal.failure)
    if absent := _lacked(crystal, lacking):
        return f"no pseudopotential of MPRelaxSet for {', '.join(absent)}"
    if crystal.e_above_hull is None:
        return "energy above hull unknown"
    if crystal.is_unique is None or crystal.is_novel is None:
        return "not compared with the others"
    if not crystal.is_unique:
        return "duplicate of another sample"
    if not crystal.is_novel:
        return "known from the training data"
    if crystal.e_above_hull >= settings.max_e_above_hull:
        return f"{crystal.e_above_hull:.3f} eV/atom above the hull, limit {settings.max_e_above_hull}"
    return None


def _lacked(crystal: Crystal, lacking: Collection[str]) -> list[str]:
    return sorted(set(lacking).intersection(crystal.chemical_system.split("-"))) if lacking else []


def stratum(crystal: Crystal, settings: Dft, lacking: Collection[str] = ()) -> str:
    """The part of the samples that a crystal is in; every sample is in exactly one."""
    if excluded_because(crystal, settings, lacking) is None:
        return CHOSEN
    if crystal.failure is None and _lacked(crystal, lacking):
        return NO_POTCAR  # before all others, so that none of them draws it
    if crystal.failure is not None or None in (crystal.e_above_hull, crystal.is_unique, crystal.is_novel):
        return FAILED
    if not crystal.is_unique:
        return "duplicate"
    if not crystal.is_novel:
        return "known"
    # `else` of what excluded_because asks: unique, novel, and too high.
    edges = [edge for edge in settings.strata if edge > settings.max_e_above_hull]
    low = max([settings.max_e_above_hull, *(edge for edge in edges if edge <= crystal.e_above_hull)])
    high = min((edge for edge in edges if edge > crystal.e_above_hull), default=None)
    return f"{low:g} to {high:g} eV/atom" if high is not None else f"above {low:g} eV/atom"


def triage(crystals: list[Crystal], settings: Dft, lacking: Collection[str] = ()) -> dict[str, dict[str, list[str]]]:
    """{stratum: {"all": ids, "sent": ids}}: `chosen` is sent in full, of the others `subsample` at random."""
    parts: dict[str, list[str]] = {CHOSEN: [], FAILED: []}
    for crystal in crystals:
        parts.setdefault(stratum(crystal, settings, lacking), []).append(crystal.crystal_id)
    found = {}
    for name, members in parts.items():
        if name == CHOSEN:
            sent = members
        elif name in (FAILED, NO_POTCAR):
            sent = []
        else:
            order = np.random.default_rng(seed_of(settings.seed, "dft", name)).permutation(len(members))
            sent = [members[index] for index in sorted(order[: settings.subsample])]
        found[name] = {"all": members, "sent": sent}
    return found


def run(settings: Dft, *, vasp: Vasp, ledger: Path, queue: Path, plan: Path, costs: Path, excluded: Path) -> None:
    """Choose the crystals for DFT by the ledger of one calculator, lowest energy above hull first.

    Nothing is submitted yet: look at the plan before you let the next step run.

    Args:
        settings: section dft of config.yaml.
        vasp: section vasp of config.yaml; not for every element there is a pseudopotential
        ledger: judged crystals of the sun step, JSON lines.
        queue: the crystals to calculate, JSON lines.
        plan: JSON to write: the estimated core-hours, how many are sent of each stratum, and all details
        costs: CSV to write: the queue with its stratum and estimated core-hours
        excluded: the others, CSV of crystal_id and reason.
    """
    crystals = read_crystals(ledger)
    lacking = lacking_potcars(crystals, vasp)
    strata = triage(crystals, settings, lacking)
    stratum_of = {identity: name for name, part in strata.items() for identity in part["sent"]}
    chosen = [crystal for crystal in crystals if crystal.crystal_id in stratum_of]
    chosen.sort(key=lambda crystal: (crystal.e_above_hull, crystal.crystal_id))
    hours = {crystal.crystal_id: core_hours(crystal, settings.core_hours) for crystal in chosen}
    others = [one for one in crystals if one.crystal_id not in stratum_of]
    reasons = {one.crystal_id: excluded_because(one, settings, lacking) for one in others}
    write_crystals(queue, chosen)
    lines = [
        (one.crystal_id, one.reduced_formula, one.num_atoms, f"{one.e_above_hull:.4f}", stratum_of[one.crystal_id])
        for one in chosen
    ]
    heads = ("crystal_id", "reduced_formula", "num_atoms", "e_above_hull", "stratum", "core_hours")
    _write_csv(costs, heads, [(*line, f"{hours[line[0]]:.2f}") for line in lines])
    _write_csv(excluded, ("crystal_id", "reason"), list(reasons.items()))
    record = summary(strata, hours, reasons)
    write_text(plan, json.dumps(record, indent=1) + "\n")
    log.info(
        "%d of %d crystals go to DFT, about %.0f core-hours; why the others do not is in %s",
        len(chosen),
        len(crystals),
        record["core_hours"],
        excluded,
    )


def lacking_potcars(crystals: list[Crystal], vasp: Vasp) -> list[str]:
    """Elements of these crystals without a usable pseudopotential; none where finished calculations are read."""
    if vasp.replay is not None:
        return []
    return without_potcar(
        vasp, set().union(*(one.chemical_system.split("-") for one in crystals if one.failure is None))
    )


def summary(
    strata: dict[str, dict[str, list[str]]], hours: dict[str, float], reasons: dict[str, str | None]
) -> dict[str, Any]:
    """What a person wants to know before anything is submitted, and what the samples are later counted by."""
    return {
        "core_hours": round(sum(hours.values()), 2),
        "sent": {name: len(part["sent"]) for name, part in strata.items()},
        "excluded": {name: len(part["all"]) - len(part["sent"]) for name, part in strata.items()},
        "strata": strata,
        "core_hours_of": {identity: round(one, 3) for identity, one in hours.items()},
        "reasons": reasons,
    }


def _write_csv(path: Path, heads: tuple[str, ...], lines: list[tuple]) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(lines)
    write_text(path, table.getvalue())
