"""The dft step, its first half: triage. Which crystals deserve DFT, and for each other one, why it is left out."""

import csv
import io
from pathlib import Path

from miad.config import Dft
from miad.crystal import Crystal, read_crystals, write_crystals
from miad.files import write_text


def excluded_because(crystal: Crystal, settings: Dft) -> str | None:
    """Why a crystal does not go to DFT, or None if it does."""
    if crystal.failure is not None:
        return crystal.failure
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


def run(settings: Dft, *, ledger: Path, queue: Path, excluded: Path) -> None:
    """Chooses the crystals for DFT by the ledger of one calculator, lowest energy above hull first.

    Args:
        ledger: judged crystals of the sun step, JSON lines.
        queue: the chosen crystals, JSON lines.
        excluded: the others, CSV of crystal_id and reason.
    """
    crystals = read_crystals(ledger)
    reasons = {crystal.crystal_id: excluded_because(crystal, settings) for crystal in crystals}
    chosen = [crystal for crystal in crystals if reasons[crystal.crystal_id] is None]
    write_crystals(queue, sorted(chosen, key=lambda crystal: (crystal.e_above_hull, crystal.crystal_id)))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["crystal_id", "reason"])
    writer.writerows((name, reason) for name, reason in reasons.items() if reason is not None)
    write_text(excluded, table.getvalue())
