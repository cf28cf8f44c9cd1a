"""The dft-energies step: raw DFT energies corrected, put on the hull and judged, over all attempted samples."""

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from miad.config.sections import Dft, Sun
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.core.json_text import read_json
from miad.core.tabular import write_csv
from miad.dft.calculation import (
    DFT,
    NO_ENERGY,
    STEP,
    Calculation,
    as_sampled,
    corrected,
    label,
    read_calculations,
    relaxed_by_dft,
)
from miad.dft.estimate import estimates, unknown
from miad.sun.step import Judged, as_generated, judge_run

log = logging.getLogger("miad")
COLUMNS = (
    "crystal_id",
    "reduced_formula",
    "stratum",
    "calculator",
    "e_above_hull",
    "energy_per_atom",
    "uncorrected_energy_per_atom",
    "mp2020_terms",
    "run_type",
    "flags",
    "custodian",
    "failure",
    "core_hours",
    "estimated_core_hours",
    "vasp_version",
    "source",
)


def run(
    settings: Dft,
    *,
    judge: Sun,
    ledger: Path,
    plan: Path,
    calculations: list[Path],
    generated: list[Path],
    train: Path,
    val: Path,
    test: Path,
    hull: Path,
    relaxed: Path,
    dft_ledger: Path,
    verdicts: Path,
    row: Path,
    energies: Path,
    run: str,
    made_by: list[Path] | None = None,
) -> None:
    """Judge all attempted samples by their DFT energies; the rule for those not sent is dft.not_sent.

    Args:
        settings: section dft of config.yaml.
        judge: section sun of config.yaml.
        ledger: the ledger that the triage read
        plan: the plan that the triage wrote
        calculations: calculations of all chunks
        generated: crystals as generated, all shards
        train: training crystals
        val: validation crystals
        test: test crystals
        hull: the hull table
        relaxed: JSON lines to write: all attempted samples as DFT left them
        dft_ledger: JSON lines to write: the same with the verdicts of the headline protocol
        verdicts: JSON lines to write: the verdicts of every protocol
        row: JSON to write: counts and rates of every protocol
        energies: CSV to write: the calculated crystals with their corrections, flags, failures and costs
        run: the name of the run in the table
        made_by: files of train and sample that say what computed the network; unknown if left out

    Raises:
        MiadError: calculations that do not fit the plan, a hull in another frame than MP2020, a mixture of real and
            stand-in energies.
    """
    done = {one.crystal_id: one for path in calculations for one in read_calculations(path)}
    planned = read_json(plan, "Delete it and run triage again.")
    title = label(done.values())
    if title != DFT:
        problem = "no crystal has an energy" if title == NO_ENERGY else "the energies are not DFT"
        log.warning("%s: the table calls them '%s'", problem, title)
    write_crystals(relaxed, [_after_dft(one, done, planned["reasons"], title) for one in read_crystals(ledger)])
    splits = {"train": train, "val": val, "test": test}
    before = as_generated(generated or [])
    judged = judge_run(judge, relaxed=[relaxed], generated=before, splits=splits, hull=hull, name=run, made_by=made_by)
    known = {
        "calculator": title,
        "calculator_name": STEP,
        "relaxation": None,
        "flags": {identity: one.flags for identity, one in done.items() if one.flags},
        "not_sent": settings.not_sent,
        "num_sent": sum(len(part["sent"]) for part in planned["strata"].values()),
        "protocols": _protocols(judged, planned["strata"], settings.not_sent),
    }
    dataclasses.replace(judged, row=judged.row | known).write(ledger=dft_ledger, verdicts=verdicts, row=row)
    write_csv(energies, COLUMNS, _energies_rows(judged.ledger, done, planned))


def _after_dft(crystal: Crystal, done: dict[str, Calculation], reasons: dict[str, str], title: str) -> Crystal:
    """A sample relaxed by DFT, or failed for the reason why the plan left it out."""
    if crystal.crystal_id in reasons:
        return as_sampled(crystal).failed(STEP, f"not sent ({reasons[crystal.crystal_id]})")
    if crystal.crystal_id not in done:
        problem = f"{crystal.crystal_id} was sent to DFT, but no calculation has it"
        raise MiadError(f"{problem}. Delete the folder vasp and run again.")
    return relaxed_by_dft(crystal, done[crystal.crystal_id], title)


def _protocols(judged: Judged, strata: dict[str, Any], rule: str) -> dict[str, Any]:
    """Records of the row by protocol, with the rates that follow from the rule for what was not sent."""
    found = {}
    for name, protocol in judged.row["protocols"].items():
        rates = protocol["rates"] | unknown(rule)
        if rule == "estimate":
            rates |= estimates(strata, {one.crystal_id: one.protocols[name] for one in judged.verdicts})
        found[name] = protocol | {"rates": rates}
    return found


def _energies_rows(
    ledger: list[Crystal], done: dict[str, Calculation], planned: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    stratum_of = {identity: name for name, part in planned["strata"].items() for identity in part["sent"]}
    copied = ("crystal_id", "reduced_formula", "calculator", "e_above_hull", "energy_per_atom")
    for crystal in ledger:
        if crystal.crystal_id in stratum_of:
            calculation = done[crystal.crystal_id]
            yield {
                **{name: getattr(crystal, name) for name in copied},
                "stratum": stratum_of[crystal.crystal_id],
                **_raw(calculation),
                "flags": "; ".join(calculation.flags),
                "custodian": "; ".join(calculation.corrections),
                "failure": str(crystal.failure or ""),
                "estimated_core_hours": planned["core_hours_of"][crystal.crystal_id],
                **{name: getattr(calculation, name) for name in ("core_hours", "vasp_version", "source")},
            }


def _raw(calculation: Calculation) -> dict[str, Any]:
    """The raw energy and each correction term, eV/atom, if there is an energy."""
    if calculation.entry is None:
        return {}
    try:
        entry = corrected(calculation)
    except ValueError:
        return {"run_type": calculation.entry["parameters"].get("run_type")}
    num_atoms = len(entry.structure)
    return {
        "uncorrected_energy_per_atom": entry.uncorrected_energy / num_atoms,
        "mp2020_terms": "; ".join(f"{part.name} {part.value / num_atoms:+.4f}" for part in entry.energy_adjustments),
        "run_type": entry.parameters.get("run_type"),
    }
