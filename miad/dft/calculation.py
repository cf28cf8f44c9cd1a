"""One DFT calculation, whether VASP ran here or elsewhere: its corrected energy, flags, and name in the table."""

import dataclasses
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miad.core.crystal import Crystal, shortened
from miad.core.energy_frames import CORRECTED, adjustments
from miad.core.errors import MiadError
from miad.core.files import write_text
from miad.core.json_text import as_json, read_lines
from miad.io.json_crystals import structure_of

if TYPE_CHECKING:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

STEP = "dft"  # in reasons of failure
DFT = "DFT"
NO_ENERGY = "no DFT energy"  # nothing was sent, or all that was sent failed
NOT_DFT = "stand-in for VASP, not DFT"
PBE = {"PBE": "GGA", "PBE+U": "GGA+U"}  # names that GGA = PE has, and those that MP2020 knows
_VASP = re.compile(r"(4|5|6)\.\d+")  # versions of VASP; anything else that writes such files is not VASP
# Pseudopotentials of the Materials Project's sets whose energies are known to be off, and the reason.
FLAGS = {
    "Yb_2": "Yb_2: two valence electrons too few where Yb is 3+, energies of most compounds are wrong",
    "W_pv": "W_pv: withdrawn by VASP in favour of W_sv, gone from PBE_54, energies differ from those of W_sv",
}


@dataclass(frozen=True)
class Calculation:
    """A finished double relaxation with its static calculation, or why there is none.

    Attributes:
        crystal_id: the sample that was calculated.
        entry: pymatgen's ComputedStructureEntry as plain values: final structure, raw energy in eV, run parameters;
            None if it failed.
        failure: `stage: reason`, shortened where it is long, or None.
        vasp_version: from the outputs; None if unknown.
        potcars: titles of the pseudopotentials, e.g. `PAW_PBE Fe_pv 02Aug2007`.
        corrections: errors that custodian corrected, one `stage: error` each.
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

    def __post_init__(self) -> None:
        """Messages of other programs, which many reasons quote, may be of any length."""
        if isinstance(self.failure, str):
            object.__setattr__(self, "failure", shortened(self.failure))

    @property
    def crystal(self) -> Crystal:
        """The final structure of a calculation that has an entry."""
        assert self.entry is not None
        structure = structure_of(self.entry["structure"])
        return Crystal.from_structure(self.crystal_id, structure, source_id=self.crystal_id)

    @property
    def is_dft(self) -> bool:
        """True if VASP made it, judged by version and pseudopotentials; also true if neither is known."""
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
    """A ComputedStructureEntry as plain values, with the run parameters that MP2020 reads and no others.

    Args:
        structure: pymatgen's Structure as a dict.
        energy: eV, total, uncorrected.
        parameters: with run_type, is_hubbard and hubbards.
        potcars: titles of the pseudopotentials.
    """
    kept = {key: parameters[key] for key in ("run_type", "is_hubbard", "hubbards") if key in parameters}
    if kept.get("run_type") in PBE:
        kept["run_type"] = PBE[kept["run_type"]]
    return {
        "@module": "pymatgen.entries.computed_entries",
        "@class": "ComputedStructureEntry",
        "structure": json.loads(json.dumps(structure, allow_nan=True)),  # as it is read back: tuples become lists
        "energy": float(energy),
        "correction": 0.0,
        "parameters": {**kept, "potcar_symbols": potcars},
        "entry_id": identity,
    }


def corrected(calculation: Calculation) -> "ComputedStructureEntry":
    """The entry with its MP2020 corrections, each a named term in `energy_adjustments`.

    Raises:
        ValueError: MP2020 does not apply; the message says why.
    """
    from pymatgen.entries.compatibility import CompatibilityError
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    record = calculation.entry or {}
    try:
        # By hand, and without the corrections that came with the entry: they are replaced, never added to.
        structure, parameters = structure_of(record["structure"]), record["parameters"]
        entry = ComputedStructureEntry(structure, record["energy"], parameters=parameters, entry_id=record["entry_id"])
        entry.energy_adjustments = list(adjustments(entry, check_potcar=True))
    except (CompatibilityError, MiadError, KeyError, ValueError) as error:
        raise ValueError(f"MP2020 does not apply: {error}") from error
    return entry


def relaxed_by_dft(crystal: Crystal, calculation: Calculation, name: str) -> Crystal:
    """A sample relaxed by DFT with its MP2020-corrected energy, or failed for the reason that the calculation has.

    Of what was learnt since it was sampled nothing is kept; `name` is that of the calculator, from `label`.
    """
    sample = as_sampled(crystal)
    if calculation.failure is not None:
        return sample.failed(STEP, calculation.failure)
    try:
        entry = corrected(calculation)
    except ValueError as error:
        return sample.failed(STEP, str(error))
    relaxed = Crystal.from_structure(crystal.crystal_id, entry.structure)
    return relaxed.replace(
        source_id=sample.source_id,
        failure=sample.failure,
        energy_per_atom=entry.energy / len(entry.structure),
        calculator=name,
        energy_frame=CORRECTED,
        converged=True,
        volume_change=relaxed.volume / crystal.volume * crystal.num_atoms / relaxed.num_atoms - 1,
    )


def as_sampled(crystal: Crystal) -> Crystal:
    """A crystal without all that relaxation, hull and comparison found; a failure is kept."""
    kept = ("crystal_id", "lattice", "frac_coords", "atomic_numbers", "source_id", "failure")
    return Crystal(**{name: getattr(crystal, name) for name in kept})


def label(calculations: Iterable[Calculation]) -> str:
    """Name of these energies in the table: DFT only if there are any and VASP made every one of them.

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
    write_text(path, "".join(as_json(dataclasses.asdict(one), sort_keys=True) + "\n" for one in calculations))


def read_calculations(path: Path) -> list[Calculation]:
    """The inverse of `write_calculations`.

    Raises:
        MiadError: a line is not a calculation; names the file and the line.
    """

    def made(line: str) -> Calculation:
        return Calculation(**json.loads(line))

    return [one for _, one in read_lines(path, made, "is not a calculation", "Delete the file and run again.")]
