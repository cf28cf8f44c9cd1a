"""Whether a finished calculation can be compared with the Materials Project's: its settings, POTCARs and energy."""

import dataclasses
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miad.core.errors import MiadError
from miad.core.sound import ENERGIES, fault
from miad.dft.calculation import Calculation

if TYPE_CHECKING:
    from pymatgen.io.vasp.outputs import Vasprun

ENCUT = 520.0  # eV, of MPRelaxSet and MPStaticSet
MAX_CHARGE = 0.01  # electrons per cell; more is no rounding of valences
NO_STEP = "it has no ionic step; give a run that is finished"
_ATOM_TYPES = re.compile(rb"<array name=\"atomtypes\"\s*>(.*?)</array>", re.DOTALL)
_ROW, _CELL = re.compile(rb"<rc>(.*?)</rc>", re.DOTALL), re.compile(rb"<c>(.*?)</c>", re.DOTALL)


def sound(calculation: Calculation, stage: str = "replay", *, is_pbe: bool = False) -> Calculation:
    """The calculation, or failed at `stage` if its energy, cell or pseudopotentials are none that can be judged.

    The pseudopotentials are not asked for if they are known to be those of PBE.
    """
    if calculation.entry is None:
        return calculation
    try:
        reason = None if is_pbe else foreign(calculation.potcars)
        reason = reason or _fault(calculation)
    except Exception as error:  # what others wrote breaks in as many ways as it can be written; it fails alone
        what = str(error) if isinstance(error, MiadError) else f"{type(error).__name__}: {error}"
        reason = f"the entry cannot be read: {what}"
    if reason is None:
        return calculation
    return dataclasses.replace(calculation, entry=None, failure=f"{stage}: {reason}")


def _fault(calculation: Calculation) -> str | None:
    assert calculation.entry is not None
    energy = calculation.entry["energy"]
    if not math.isfinite(energy):
        return "the energy is no finite number; calculate it again"
    crystal = calculation.crystal
    if reason := fault(crystal):
        return f"{reason}; calculate it again"
    low, high = ENERGIES
    if not low <= (each := energy / crystal.num_atoms) <= high:
        return f"no crystal has an energy of {each:g} eV/atom (limits {low:g} and {high:g}); calculate it again"
    return None


def foreign(potcars: list[str]) -> str | None:
    """Reason why pseudopotentials are not those of PBE, or None; titles without a functional are taken for PBE's."""
    for title in potcars:
        # One word is a symbol without its functional.
        if len(words := title.split()) > 1 and not words[0].startswith(("PAW_PBE", "PBE")):
            return f"the POTCAR {title!r} is no PAW_PBE; calculate it with those of MPRelaxSet"
    return None


def refusal(run: "Vasprun", path: Path) -> str | None:
    """Reason why the settings of a run are none of the Materials Project's PBE, with what to do; None if they are."""

    def setting(key: str) -> Any:
        return _setting(run, key)

    if not run.ionic_steps:
        return NO_STEP
    if not all(len(title.split()) > 1 for title in run.potcar_symbols):
        return "it does not name its POTCARs; give the file as VASP wrote it"
    if setting("ML_LMLFF"):
        return "ML_LMLFF: energies of a machine-learned force field; calculate it without"
    if setting("IBRION") == 0 and (setting("NSW") or 0) > 0:
        return "IBRION = 0: molecular dynamics; give a relaxation or a static run"
    if not is_self_consistent(run):
        return f"ICHARG = {setting('ICHARG')}: not self-consistent; give the run whose charge density it took"
    if setting("LSORBIT") or setting("LNONCOLLINEAR"):
        return "LSORBIT or LNONCOLLINEAR: not collinear as the Materials Project's; calculate it without"
    cutoff = run.parameters.get("ENMAX") or run.incar.get("ENCUT") or run.parameters.get("ENCUT")
    if cutoff is not None and cutoff < ENCUT - 0.5:
        return f"ENCUT = {cutoff:g} eV is below {ENCUT:g}; calculate it with the settings of MPRelaxSet"
    electrons, neutral = run.parameters.get("NELECT"), _valence_electrons(path)
    if electrons is not None and neutral is not None and abs(electrons - neutral) > MAX_CHARGE:
        return f"NELECT = {electrons:g}, neutral is {neutral:g}: the cell is charged; calculate it without NELECT"
    if not run.converged:
        return "the run is not converged; give one that is"
    return None


def is_self_consistent(run: "Vasprun") -> bool:
    """Whether the charge density was not kept fixed, as it is for bands and densities of states."""
    return (_setting(run, "ICHARG") or 0) < 10


def _setting(run: "Vasprun", key: str) -> Any:
    return run.parameters.get(key, run.incar.get(key))  # the INCAR has only what was set


def has_ionic_step(path: Path) -> bool:
    """Whether a vasprun.xml, plain or compressed, holds any ionic step; the parser does not say so."""
    from monty.io import zopen

    with zopen(path, mode="rb") as file:
        return any(b"<calculation>" in line for line in file)


def _valence_electrons(path: Path) -> float | None:
    """Electrons of the neutral cell, from the table of atom types in a vasprun.xml; None if it does not say."""
    from monty.io import zopen

    head = b""
    with zopen(path, mode="rb") as file:
        for line in file:  # its table stands before the ionic steps
            head += line
            if b"</atominfo>" in line:
                break
    table = _ATOM_TYPES.search(head)
    rows = [_CELL.findall(row) for row in _ROW.findall(table[1])] if table else []
    try:
        return sum(int(row[0]) * float(row[3]) for row in rows) if rows else None
    except (IndexError, ValueError):
        return None
