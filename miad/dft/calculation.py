"""One DFT calculation as the later steps see it, whether VASP ran here or elsewhere, and what it may be called."""

import dataclasses
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from miad.core.errors import MiadError
from miad.core.files import open_text, write_text

DFT = "DFT"
NO_ENERGY = "no DFT energy"  # nothing was sent, or all that was sent failed
NOT_DFT = "stand-in for VASP, not DFT"
_VASP = re.compile(r"(4|5|6)\.\d+")  # versions of VASP; anything else that writes such files is not VASP
# Pseudopotentials of the Materials Project's sets whose energies are known to be off; the reason, for the row.
FLAGS = {
    "Yb_2": "Yb_2: two valence electrons too few where Yb is 3+, energies of most compounds are wrong",
    "W_pv": "W_pv: withdrawn by VASP in favour of W_sv, gone from PBE_54, energies differ from those of W_sv",
}


@dataclass(frozen=True)
class Calculation:
    """A finished double relaxation with its static calculation, or why there is none.

    Attributes:
        crystal_id: the sample that was calculated.
        entry: pymatgen's ComputedStructureEntry as plain values: final structure, raw energy in eV, run parameters.
        failure: `stage: reason`, or None.
        vasp_version: as the program wrote it; None if unknown.
        potcars: titles of the pseudopotentials, e.g. `PAW_PBE Fe_pv 02Aug2007`.
        corrections: what custodian had to mend, one `stage: error` each.
        core_hours: of every start of VASP, failed and killed ones included (miad.dft.vasp.hours); None if unknown.
        source: folder, archive or table that it was read from.
    """

    crystal_id: str
    entry: dict[str, Any] | None = None
    failure: str | None = None
    vasp_version: str | None = None
    potcars: list[str] = field(default_factory=list)
    corrections: list[str] = field(default_factory=list)
    core_hours: float | None = None
    source: str | None = None

    @property
    def is_dft(self) -> bool:
        """Whether VASP made it, by version and pseudopotentials; what says neither is taken at its word."""
        known_version = self.vasp_version is None or _VASP.match(self.vasp_version) is not None
        return known_version and not any("SYNTHETIC" in title.upper() for title in self.potcars)

    @property
    def flags(self) -> list[str]:
        """Known problems of its pseudopotentials."""
        symbols = {title.split()[1] for title in self.potcars if len(title.split()) > 1}
        return [text for symbol, text in FLAGS.items() if symbol in symbols]


def plain_entry(
    identity: str, structure: dict[str, Any], energy: float, parameters: dict[str, Any], potcars: list[str]
) -> dict[str, Any]:
    """A ComputedStructureEntry as plain values, with what MP2020 asks for and nothing else.

    Args:
        identity: of the crystal.
        structure: pymatgen's Structure as a dict.
        energy: eV, total, uncorrected.
        parameters: with run_type, is_hubbard and hubbards.
        potcars: titles of the pseudopotentials.
    """
    kept = {key: parameters[key] for key in ("run_type", "is_hubbard", "hubbards") if key in parameters}
    return {
        "@module": "pymatgen.entries.computed_entries",
        "@class": "ComputedStructureEntry",
        "structure": json.loads(json.dumps(structure)),  # as it is read back: tuples become lists
        "energy": float(energy),
        "correction": 0.0,
        "parameters": {**kept, "potcar_symbols": potcars},
        "entry_id": identity,
    }


def label(calculations: Iterable[Calculation]) -> str:
    """What the table calls these energies: DFT only if there are any and VASP made every one of them.

    Raises:
        MiadError: some are DFT and some are not; a rate over both means nothing.
    """
    made = [one for one in calculations if one.entry is not None]
    others = [one for one in made if not one.is_dft]
    if not made:
        return NO_ENERGY
    if not others:
        return DFT
    if len(others) < len(made):
        raise MiadError(
            f"{others[0].crystal_id} was calculated by {others[0].vasp_version!r}, which is not VASP, but"
            f" {next(one.crystal_id for one in made if one.is_dft)} by VASP. Delete the results of one of the two"
            " (folder vasp of the run) and run again."
        )
    return NOT_DFT


def write_calculations(path: Path, calculations: Iterable[Calculation]) -> None:
    """Write JSON lines atomically."""
    write_text(path, "".join(json.dumps(dataclasses.asdict(one), sort_keys=True) + "\n" for one in calculations))


def read_calculations(path: Path) -> list[Calculation]:
    """The inverse of `write_calculations`.

    Raises:
        MiadError: a line is not a calculation; names the file and the line.
    """
    found = []
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            try:
                found.append(Calculation(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise MiadError(
                    f"{path}, line {number} is not a calculation ({error}). Delete the file and run again."
                ) from error
    return found
