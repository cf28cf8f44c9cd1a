"""The dft-energies step: raw DFT energies corrected, put on the hull and judged, over all attempted samples."""

import csv
import io
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from miad.config.sections import Dft, Sun
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.energy_frames import CORRECTED, adjustments
from miad.core.errors import MiadError
from miad.core.files import open_text, write_text
from miad.dft.calculation import DFT, NO_ENERGY, Calculation, label, read_calculations
from miad.dft.estimate import estimates, unknown
from miad.sun import step as sun

if TYPE_CHECKING:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

log = logging.getLogger("miad")
STEP = "dft"
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
RULES = {
    "not_sun": "not sent to DFT counts as not S.U.N.",
    "estimate": "not sent to DFT estimated from a stratified random subsample",
}


def corrected(calculation: Calculation) -> "ComputedStructureEntry":
    """The entry with its MP2020 corrections, each a named term in `energy_adjustments`.

    Raises:
        ValueError: MP2020 does not apply; the message says why.
    """
    from monty.json import MontyDecoder
    from pymatgen.entries.compatibility import CompatibilityError

    entry = MontyDecoder().process_decoded(calculation.entry)
    # Whatever corrections a table brought along are not added to: they are replaced.
    entry.energy_adjustments = []
    try:
        entry.energy_adjustments = adjustments(entry, check_potcar=True)
    except (CompatibilityError, KeyError, ValueError) as error:
        raise ValueError(f"MP2020 does not apply: {error}") from error
    return entry


def with_dft(crystal: Crystal, calculation: Calculation | None, reason: str | None, name: str) -> Crystal:
    """A sample as DFT knows it: relaxed by DFT with a corrected energy, or failed for a reason.

    Args:
        crystal: the sample as the calculator that decided left it.
        calculation: its calculation, if it was sent.
        reason: why it was not sent, if it was not.
        name: what the energies may be called.
    """
    blank = crystal.replace(
        energy_per_atom=None,
        calculator=None,
        energy_frame=None,
        initial_energy_per_atom=None,
        num_steps=None,
        rms_displacement=None,
        volume_change=None,
        converged=None,
        e_above_hull=None,
        is_unique=None,
        is_novel=None,
    )
    if calculation is None:
        return blank.failed(STEP, f"not sent ({reason})")
    if calculation.failure is not None:
        return blank.failed(STEP, calculation.failure)
    try:
        entry = corrected(calculation)
    except ValueError as error:
        return blank.failed(STEP, str(error))
    relaxed = Crystal.from_structure(crystal.crystal_id, entry.structure)
    return blank.replace(
        lattice=relaxed.lattice,
        frac_coords=relaxed.frac_coords,
        atomic_numbers=relaxed.atomic_numbers,
        energy_per_atom=entry.energy / len(entry.structure),
        calculator=name,
        energy_frame=CORRECTED,
        converged=True,
        volume_change=relaxed.volume / crystal.volume * crystal.num_atoms / relaxed.num_atoms - 1,
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
) -> None:
    """Judge all attempted samples by their DFT energies; the rule for those not sent is dft.not_sent.

    Args:
        settings: section dft of config.yaml.
        judge: section sun of config.yaml.
        ledger: the ledger that the triage read
        plan: what the triage wrote
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

    Raises:
        MiadError: calculations that do not fit the plan, a hull in another frame than MP2020, a mixture of real and
            stand-in energies.
    """
    done = {one.crystal_id: one for path in calculations for one in read_calculations(path)}
    planned = json.loads(plan.read_text(encoding="utf-8"))
    title = label(done.values())
    if title != DFT:
        what = "no crystal has an energy" if title == NO_ENERGY else "the energies are not DFT"
        log.warning("%s: the table calls them '%s'", what, title)
    samples = [_of_plan(one, done, planned, title) for one in read_crystals(ledger)]
    write_crystals(relaxed, samples)
    sun.run(
        judge,
        relaxed=[relaxed],
        generated=generated,
        train=train,
        val=val,
        test=test,
        hull=hull,
        ledger=dft_ledger,
        verdicts=verdicts,
        row=row,
        run=run,
    )
    _write_energies(energies, read_crystals(dft_ledger), done, planned)
    flags = {identity: "; ".join(one.flags) for identity, one in done.items() if one.flags}
    _finish_row(row, verdicts, {"calculator": title, "flags": flags}, planned["strata"], settings.not_sent)


def _of_plan(crystal: Crystal, done: dict[str, Calculation], planned: dict[str, Any], title: str) -> Crystal:
    """A sample after DFT, or the reason for which the plan left it out.

    Raises:
        MiadError: it was sent, but there is no calculation.
    """
    reason = planned["reasons"].get(crystal.crystal_id)
    if reason is None and crystal.crystal_id not in done:
        raise MiadError(
            f"{crystal.crystal_id} was sent to DFT, but no calculation has it. Delete the folder vasp and run again."
        )
    return with_dft(crystal, done[crystal.crystal_id] if reason is None else None, reason, title)


def _finish_row(path: Path, verdicts: Path, learnt: dict[str, Any], strata: dict[str, Any], rule: str) -> None:
    """Add to the row file what only this step knows: name and flags of the energies, the rule for what was not sent."""
    record = json.loads(path.read_text(encoding="utf-8")) | learnt
    record["not_sent"] = RULES[rule]
    record["num_sent"] = sum(len(part["sent"]) for part in strata.values())
    with open_text(verdicts) as lines:
        judged = {one["crystal_id"]: one["protocols"] for one in map(json.loads, lines)}
    record["is_estimate"] = rule == "estimate"
    for name, protocol in record["protocols"].items():
        protocol["rates"].update(unknown(rule))
        if record["is_estimate"]:
            protocol["rates"].update(estimates(strata, {one: verdict[name] for one, verdict in judged.items()}))
    write_text(path, json.dumps(record, indent=1) + "\n")


def _write_energies(
    path: Path,
    ledger: list[Crystal],
    done: dict[str, Calculation],
    planned: dict[str, Any],
) -> None:
    sent = {identity: name for name, part in planned["strata"].items() for identity in part["sent"]}
    lines = []
    for crystal in ledger:
        if crystal.crystal_id not in sent:
            continue
        calculation = done[crystal.crystal_id]
        lines.append(
            {
                "crystal_id": crystal.crystal_id,
                "reduced_formula": crystal.reduced_formula,
                "stratum": sent[crystal.crystal_id],
                "calculator": crystal.calculator,
                "e_above_hull": crystal.e_above_hull,
                "energy_per_atom": crystal.energy_per_atom,
                **_raw(calculation),
                "flags": "; ".join(calculation.flags),
                "custodian": "; ".join(calculation.corrections),
                "failure": None if crystal.failure is None else str(crystal.failure),
                "core_hours": calculation.core_hours,
                "estimated_core_hours": planned["core_hours_of"][crystal.crystal_id],
                "vasp_version": calculation.vasp_version,
                "source": calculation.source,
            }
        )
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(path, text.getvalue())


def _raw(calculation: Calculation) -> dict[str, Any]:
    """The raw energy and each correction term, eV/atom, if there is an energy."""
    if calculation.entry is None:
        return {}
    try:
        entry = corrected(calculation)
    except ValueError:
        return {"run_type": calculation.entry["parameters"].get("run_type")}
    atoms = len(entry.structure)
    terms = [f"{part.name} {part.value / atoms:+.4f}" for part in entry.energy_adjustments]
    return {
        "uncorrected_energy_per_atom": float(np.float64(entry.uncorrected_energy) / atoms),
        "mp2020_terms": "; ".join(terms),
        "run_type": entry.parameters.get("run_type"),
    }
