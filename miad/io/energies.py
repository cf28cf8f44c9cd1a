"""Energies that a record of an input carries: which one is read, and which others are there that are not."""

import logging
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from miad.core.crystal import shortened
from miad.core.energy_frames import CORRECTED

log = logging.getLogger("miad")

PER_ATOM = "energy_per_atom"
# Names that mean an energy of a crystal, and words of those that do not: heights above a hull, heats of formation, …
_ENERGY = re.compile(r"energy|energies|enthalpy|^(e|epa|e_?0|e_?tot(al)?|toten|etotal)(_|$)", re.IGNORECASE)
_OTHER = re.compile(
    r"hull|form|frame|fermi|gap|adjust|unit|std|uncertain|err|dissoc|decomp|cutoff|calc|source|surface|kind|type",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Energies:
    """What a record says of energies.

    Attributes:
        known: fields of Crystal: energy_per_atom in eV/atom, energy_frame, calculator; none without an energy.
        used: the name of the energy that was read.
        unread: the names of the others.
        odd: the text that stands for the energy and is no number.
    """

    known: dict[str, Any] = field(default_factory=dict)
    used: str | None = None
    unread: tuple[str, ...] = ()
    odd: str | None = None


def number(value: Any) -> float | None:
    """A number, also NaN or infinity, which fails its crystal; None for an empty value or a word."""
    try:
        return None if isinstance(value, bool | np.bool_) else float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None


def energies_of(record: Mapping[str, Any], num_atoms: int | None = None) -> Energies:
    """Energies of a record with named values.

    Args:
        record: of a table, of JSON, or of the comment of a frame.
        num_atoms: of the crystal, if `energy` is known to be that of its cell, as ASE writes it.
    """
    carried = [key for key in record if _ENERGY.search(str(key)) and not _OTHER.search(str(key))]
    used = next((key for key in carried if str(key).lower() == PER_ATOM and _is_given(record[key])), None)
    found, frame = None if used is None else number(record[used]), record.get("energy_frame")
    odd = None if used is None or found is not None else str(record[used])
    if found is None and (divisor := _num_atoms(record, num_atoms)) and _is_given(record.get("energy")):
        # What pymatgen has as the correction of an entry is, as in a hull, MP2020's.
        correction = record.get("correction") or 0.0 if num_atoms is None else 0.0
        parts = [number(record["energy"]), number(correction)]
        found = None if None in parts else number(sum(filter(None, parts)) / divisor)
        used, odd = "energy", None if found is not None else f"{record['energy']}"
        frame = CORRECTED if correction else frame
    unread = tuple(str(key) for key in carried if key != used and number(record[key]) is not None)
    if found is None:
        return Energies({}, None, unread, odd)
    texts = {"energy_frame": frame, "calculator": record.get("calculator")}
    known = {name: shortened(str(text), 200) if text else None for name, text in texts.items()}
    return Energies({PER_ATOM: found, **known}, str(used), unread)


def _is_given(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _num_atoms(record: Mapping[str, Any], num_atoms: int | None) -> int | None:
    """Of the cell whose energy `energy` is: as given, or of a ComputedStructureEntry; None where nobody says."""
    if num_atoms is not None:
        return max(num_atoms, 1)
    structure = record.get("structure")
    sites = structure.get("sites") if "correction" in record and isinstance(structure, Mapping) else None
    return len(sites) if isinstance(sites, list) and sites else None


def tell(path: Path, found: Iterable[Energies]) -> None:
    """Say once which energies of a file were read and which were not; to guess would be worse than to relax."""
    found = list(found)
    used = Counter(one.used for one in found if one.used)
    unread = Counter(name for one in found for name in one.unread)
    odd = [one.odd for one in found if one.odd is not None]
    names = ", ".join(f"`{name}`" for name, _ in unread.most_common(5))
    if used:
        others = f"; not read: {names}" if names else ""
        log.log(logging.INFO if others else logging.DEBUG, "%s: energies are `%s`%s", path, next(iter(used)), others)
    elif names:
        log.warning("%s: %s not read: of an atom, or of the cell? Name it energy_per_atom (eV/atom).", path, names)
    if odd:
        log.warning("%s: %d energies are no numbers, e.g. '%.40s'; these crystals have none.", path, len(odd), odd[0])
