"""The dft step, triage: choose the crystals for DFT, estimate the cost, and give each other one its reason."""

import logging
from collections.abc import Collection
from pathlib import Path

import numpy as np

from miad.config.sections import Dft, Vasp
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.json_text import write_json
from miad.core.seeding import seed_of
from miad.core.tabular import write_csv
from miad.dft.cost import core_hours
from miad.dft.vasp.site import without_potcar

log = logging.getLogger("miad")
CHOSEN = "chosen"  # the stratum that is calculated in full
# Strata of which nothing is sent, because nothing can be calculated; estimates count them as not S.U.N.
FAILED, NO_POTCAR = "failed", "no pseudopotential"
QUEUE_COLUMNS = ("crystal_id", "reduced_formula", "num_atoms", "e_above_hull", "stratum", "core_hours")


def place(crystal: Crystal, settings: Dft, lacking: Collection[str] = ()) -> tuple[str, str]:
    """Stratum of a judged sample, and why it is not chosen for DFT; no reason for `chosen`.

    The elements that are lacking have no usable pseudopotential.
    """
    if crystal.failure is not None:
        return FAILED, str(crystal.failure)
    if absent := sorted(set(lacking).intersection(crystal.chemical_system.split("-")) if lacking else ()):
        return NO_POTCAR, f"no pseudopotential of MPRelaxSet for {', '.join(absent)}"
    energy, limit = crystal.e_above_hull, settings.max_e_above_hull
    if energy is None:
        return FAILED, "energy above hull unknown"
    if crystal.is_unique is None or crystal.is_novel is None:
        return FAILED, "not compared with the others"
    if not crystal.is_unique:
        return "duplicate", "duplicate of another sample"
    if not crystal.is_novel:
        return "known", "known from the training data"
    if energy < limit:
        return CHOSEN, ""
    low = max([limit, *(edge for edge in settings.strata if limit < edge <= energy)])
    high = min((edge for edge in settings.strata if edge > energy), default=None)
    band = f"above {low:g} eV/atom" if high is None else f"{low:g} to {high:g} eV/atom"
    return band, f"{energy:.3f} eV/atom above the hull, limit {limit}"


def draw(strata: dict[str, str], settings: Dft) -> dict[str, dict[str, list[str]]]:
    """{stratum: {"all": ids, "sent": ids}} of {crystal_id: stratum}.

    The stratum `chosen` is sent in full, of the others `subsample` at random.
    """
    parts: dict[str, list[str]] = {CHOSEN: [], FAILED: []}
    for identity, name in strata.items():
        parts.setdefault(name, []).append(identity)
    found = {}
    for name, members in parts.items():
        sent = members if name == CHOSEN else []
        if name not in (CHOSEN, FAILED, NO_POTCAR):
            order = np.random.default_rng(seed_of(settings.seed, "dft", name)).permutation(len(members))
            sent = [members[index] for index in sorted(order[: settings.subsample])]
        found[name] = {"all": members, "sent": sent}
    return found


def run(settings: Dft, *, vasp: Vasp, ledger: Path, queue: Path, plan: Path, costs: Path, excluded: Path) -> None:
    """Choose the crystals for DFT by the ledger of one calculator, lowest energy above hull first.

    Nothing is submitted yet: look at the plan before the next step runs.

    Args:
        settings: section dft of config.yaml.
        vasp: section vasp of config.yaml, which says for what elements there is a pseudopotential
        ledger: judged crystals of the sun step, JSON lines.
        queue: the crystals to calculate, JSON lines.
        plan: JSON to write: the estimated core-hours, the number sent of each stratum, and all details
        costs: CSV to write: the queue with its stratum and estimated core-hours
        excluded: the others, CSV of crystal_id and reason.
    """
    crystals = read_crystals(ledger)
    systems = (one.chemical_system.split("-") for one in crystals if one.failure is None)
    # Finished calculations that are read need no pseudopotential.
    lacking = without_potcar(vasp, set[str]().union(*systems)) if vasp.replay is None else []
    places = {crystal.crystal_id: place(crystal, settings, lacking) for crystal in crystals}
    strata = draw({identity: stratum for identity, (stratum, _) in places.items()}, settings)
    sent = {identity for part in strata.values() for identity in part["sent"]}
    chosen = [crystal for crystal in crystals if crystal.crystal_id in sent]
    chosen.sort(key=lambda crystal: (crystal.e_above_hull, crystal.crystal_id))
    hours = {crystal.crystal_id: core_hours(crystal, settings.core_hours) for crystal in chosen}
    reasons = {identity: reason for identity, (_, reason) in places.items() if identity not in sent}
    write_crystals(queue, chosen)
    write_csv(costs, QUEUE_COLUMNS, [_queue_row(one, places, hours) for one in chosen])
    write_csv(excluded, ("crystal_id", "reason"), [{"crystal_id": one, "reason": why} for one, why in reasons.items()])
    record = {
        "core_hours": round(sum(hours.values()), 2),
        "sent": {name: len(part["sent"]) for name, part in strata.items()},
        "excluded": {name: len(part["all"]) - len(part["sent"]) for name, part in strata.items()},
        "strata": strata,
        "core_hours_of": {identity: round(one, 3) for identity, one in hours.items()},
        "reasons": reasons,
    }
    write_json(plan, record)
    numbers = len(chosen), len(crystals), record["core_hours"]
    log.info("%d of %d crystals go to DFT, about %.0f core-hours; why not the others: %s", *numbers, excluded)


def _queue_row(crystal: Crystal, places: dict[str, tuple[str, str]], hours: dict[str, float]) -> dict[str, str | int]:
    return {
        "crystal_id": crystal.crystal_id,
        "reduced_formula": crystal.reduced_formula,
        "num_atoms": crystal.num_atoms,
        "e_above_hull": f"{crystal.e_above_hull:.4f}",
        "stratum": places[crystal.crystal_id][0],
        "core_hours": f"{hours[crystal.crystal_id]:.2f}",
    }
