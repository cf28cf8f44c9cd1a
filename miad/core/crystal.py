"""The Crystal that one step hands to the next, and the JSON lines that hold it."""

import dataclasses
import json
import math
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from miad.core.errors import MiadError
from miad.core.files import write_text
from miad.core.json_text import COMPACT, as_json, read_lines
from miad.core.redact import shown

if TYPE_CHECKING:
    from pymatgen.core import Structure

MIRAGE = 0  # the atom type of placeholders; real atoms carry their atomic number
NUM_SPECIES = 100  # classes of the diffusion: mirage and the elements 1…99
ELEMENTS = range(1, 119)  # atomic numbers
PARTLY = "it has partly occupied sites; miad works on ordered crystals only"
KNOWN_ELEMENTS = f"miad knows the elements 1 to {NUM_SPECIES - 1}"
MAX_NUMBER = 1e6  # Å, eV/atom, …; what is larger in a crystal that did not fail is an error of its writer
MAX_ID = 200  # characters; ids become names of files
MAX_REASON = 280  # characters of a reason; with its step it stays under 300


def shortened(text: str, most: int = MAX_REASON) -> str:
    """The text on one line that every file can hold, what cannot be shown as `\\x1b`; of a long one the middle is left
    out: what failed stands first, what to do stands last.
    """
    line = " ".join(text.split())
    text = "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in line)
    end = most // 3
    return text if len(text) <= most else f"{text[: most - end - 3]} … {text[-end:]}"


@dataclass(frozen=True)
class Failure:
    """The step at which a crystal dropped out, and the reason in words, shortened where it is long."""

    step: str
    reason: str

    def __post_init__(self) -> None:
        """Messages of other programs, which many reasons quote, may be of any length."""
        object.__setattr__(self, "reason", shortened(self.reason))

    def __str__(self) -> str:
        """`step: reason`, as tables and messages have it."""
        return f"{self.step}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Crystal:
    """One crystal and all that is known of it; `None` means "not known yet".

    The defaults describe a fresh sample: nothing learnt, nothing failed.

    Attributes:
        crystal_id: made once, never reassigned, the only key by which crystals are joined.
        lattice: (3, 3) Å, rows are lattice vectors.
        frac_coords: (n_atoms, 3) in [0, 1).
        atomic_numbers: (n_atoms,).
        source_id: the id that the input carried (material_id, file name), if any.
        energy_per_atom: eV/atom.
        calculator: name, version and weights of what gave the energy.
        energy_frame: `mp2020` (MP2020-corrected) or `uncorrected` (raw PBE/PBE+U).
        initial_energy_per_atom: eV/atom before relaxation.
        num_steps: relaxation steps taken.
        rms_displacement: Å, root mean square over atoms, drift and cell strain taken out.
        volume_change: relaxed volume / initial volume − 1.
        converged: whether the forces came below the limit.
        e_above_hull: eV/atom; negative below the hull.
        is_unique, is_novel: verdicts of the headline protocol.
        failure: None while nothing went wrong.
    """

    crystal_id: str
    lattice: np.ndarray
    frac_coords: np.ndarray
    atomic_numbers: np.ndarray
    source_id: str | None = None
    energy_per_atom: float | None = None
    calculator: str | None = None
    energy_frame: str | None = None
    initial_energy_per_atom: float | None = None
    num_steps: int | None = None
    rms_displacement: float | None = None
    volume_change: float | None = None
    converged: bool | None = None
    e_above_hull: float | None = None
    is_unique: bool | None = None
    is_novel: bool | None = None
    failure: Failure | None = None

    def replace(self, **changes: Any) -> "Crystal":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def failed(self, step: str, reason: str) -> "Crystal":
        """A copy that carries why it dropped out, without places on this machine; the first failure is kept."""
        return self if self.failure else self.replace(failure=Failure(step, shown(reason)))

    @property
    def num_atoms(self) -> int:
        """Number of atoms, mirage atoms included if any."""
        return len(self.atomic_numbers)

    @property
    def volume(self) -> float:
        """Cell volume, Å³."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def structure(self) -> "Structure":
        """The crystal as a pymatgen Structure."""
        from pymatgen.core import Lattice, Structure

        return Structure(Lattice(self.lattice), self.atomic_numbers.tolist(), self.frac_coords)

    @property
    def element_counts(self) -> dict[str, int]:
        """{element symbol: number of atoms in the cell}."""
        from pymatgen.core import Element

        numbers, counts = np.unique(self.atomic_numbers, return_counts=True)
        return {Element.from_Z(int(z)).symbol: int(n) for z, n in zip(numbers, counts, strict=True)}

    @property
    def reduced_formula(self) -> str:
        """Reduced formula, e.g. NaCl for Na4Cl4: the one key by which crystals are grouped."""
        from pymatgen.core import Composition

        return Composition(self.element_counts).reduced_formula

    @property
    def chemical_system(self) -> str:
        """Element symbols in alphabetical order, joined by hyphens, e.g. Cl-Na."""
        return "-".join(sorted(self.element_counts))

    @classmethod
    def from_structure(cls, crystal_id: str, structure: "Structure", **known: Any) -> "Crystal":
        """A Crystal of a pymatgen Structure of fully occupied sites.

        Raises:
            MiadError: a site is partly occupied, or holds what is no element up to 99; the message is a reason that
                begins with "it".
        """
        if not structure.is_ordered:
            raise MiadError(PARTLY)
        if odd := sorted({site.specie.symbol for site in structure if not 0 < site.specie.Z < NUM_SPECIES}):
            raise MiadError(f"it contains {', '.join(odd)}, which is not an element or too heavy; {KNOWN_ELEMENTS}")
        with np.errstate(invalid="ignore"):  # what is not finite is told by the gate, miad.core.sound
            # Twice, because the remainder of a tiny negative number rounds to 1.
            frac_coords = np.mod(np.mod(structure.frac_coords, 1.0), 1.0)
        return cls(
            crystal_id=crystal_id,
            lattice=np.array(structure.lattice.matrix, dtype=float),
            frac_coords=frac_coords,
            atomic_numbers=np.array([site.specie.Z for site in structure], dtype=int),
            **known,
        )


ID = "crystal_id"
_FIELDS = {field.name for field in dataclasses.fields(Crystal)}
_ARRAYS = ("lattice", "frac_coords", "atomic_numbers")
# Types of the other fields as JSON has them.
_TYPES = {
    field.name: typing.get_args(field.type) or (field.type,)
    for field in dataclasses.fields(Crystal)
    if field.name not in (*_ARRAYS, "failure")
}


def plain(value: Any) -> Any:
    """The value as JSON has it: arrays as lists, NaN and infinity as null."""
    if isinstance(value, Failure):
        return vars(value)
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_line(crystal: Crystal) -> str:
    """One line of JSON; fields that are not known yet are left out."""
    record = {name: plain(value) for name, value in vars(crystal).items()}
    kept = {name: value for name, value in record.items() if value is not None}
    return as_json(kept, **COMPACT)


def from_line(line: str) -> Crystal:
    """The inverse of `to_line`.

    Raises:
        ValueError: not JSON, unknown or missing fields, values of the wrong type, or arrays of the wrong shape.
    """
    record = json.loads(line, parse_constant=lambda name: None)  # NaN and infinity, which JSON does not have
    if not isinstance(record, dict):
        raise ValueError("no fields with values")
    unknown = set(record) - _FIELDS
    missing = {"crystal_id", *_ARRAYS} - set(record)
    if unknown or missing:
        raise ValueError(f"unknown fields {sorted(unknown)}, missing fields {sorted(missing)}")
    record["lattice"] = np.array(record["lattice"], dtype=float).reshape(3, 3)
    record["frac_coords"] = np.array(record["frac_coords"], dtype=float).reshape(-1, 3)
    record["atomic_numbers"] = _whole_numbers(record["atomic_numbers"])
    if len(record["frac_coords"]) != len(record["atomic_numbers"]):
        raise ValueError("frac_coords and atomic_numbers differ in length")
    for name in record.keys() & _TYPES.keys():
        record[name] = _checked(name, record[name])
    if record.get("failure") is not None:
        record["failure"] = _failure(record["failure"])
    else:
        _check_numbers(record)
    return Crystal(**record)


def _check_numbers(record: dict[str, Any]) -> None:
    """Refuse what no crystal has that did not fail: atoms of no element, and absurd numbers; NaN is not known yet."""
    if odd := [z for z in record["atomic_numbers"].tolist() if z not in ELEMENTS]:
        raise ValueError(f"atomic_numbers have {odd[0]}, which is no element")
    for name, value in record.items():
        numbers = np.abs(value) if name in _ARRAYS or isinstance(value, float) else 0.0
        if (numbers > MAX_NUMBER).any() if isinstance(numbers, np.ndarray) else numbers > MAX_NUMBER:
            raise ValueError(f"{name} has a number above {MAX_NUMBER:g}")


def _whole_numbers(values: Any) -> np.ndarray:
    numbers = np.array(values, dtype=float)
    if numbers.ndim != 1 or not (np.abs(numbers) < 1000).all() or (numbers % 1).any():
        raise ValueError("atomic_numbers are no list of atomic numbers")
    return numbers.astype(int)


def _checked(name: str, value: Any) -> Any:
    """A value of the type that its field has; whole numbers are numbers too."""
    types = _TYPES[name]
    if float in types and type(value) in (int, float):
        value = float(value)
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
    if type(value) not in types:
        raise ValueError(f"{name} is {value!r:.80}")
    if isinstance(value, str) and not (value.isprintable() and len(value) <= MAX_ID and (value or name != ID)):
        raise ValueError(f"{name} is {value!r:.80}; texts are printable, of at most {MAX_ID} characters")
    return value


def _failure(value: Any) -> Failure:
    """The failure of a line; `step: reason` in files of version 1."""
    parts = value
    if isinstance(value, str) and ": " in value:
        parts = dict(zip(("step", "reason"), value.split(": ", 1), strict=True))
    if not isinstance(parts, dict) or [type(parts.get(name)) for name in ("step", "reason")] != [str, str]:
        raise ValueError(f"failure is {value!r:.80}, expected step and reason")
    if not parts["step"].isprintable():
        raise ValueError(f"failure is {value!r:.80}; its step is not printable")
    return Failure(**parts)


def read_crystals(*paths: Path) -> list[Crystal]:
    """Read JSON lines, plain or gzipped; of several files, the shards of a run, one after the other.

    Raises:
        MiadError: a line is not a crystal, or an id occurs twice; names the file and the line.
    """
    crystals: list[Crystal] = []
    seen: dict[str, str] = {}
    remedy = (
        "If a step wrote the file, delete it and rerun the step; crystals in another format are read by `miad evaluate`"
        " and `miad read`."
    )
    for path in paths:
        for number, crystal in read_lines(path, from_line, "is not a crystal of miad", remedy):
            if crystal.crystal_id in seen:
                raise MiadError(
                    f"{path}, line {number}: the id {crystal.crystal_id} was already on"
                    f" {seen[crystal.crystal_id]}. Ids must be unique; give each file once, or rename one of them."
                )
            seen[crystal.crystal_id] = f"line {number} of {path}"
            crystals.append(crystal)
    return crystals


def write_crystals(path: Path, crystals: Iterable[Crystal]) -> None:
    """Write JSON lines atomically, gzipped if the name ends in .gz."""
    write_text(path, "".join(to_line(crystal) + "\n" for crystal in crystals))


def carry_energies(crystals: list[Crystal]) -> bool:
    """True if all crystals that did not fail carry energies, and there are any: they were relaxed elsewhere."""
    sound = [one for one in crystals if not one.failure]
    return bool(sound) and all(one.energy_per_atom is not None for one in sound)
