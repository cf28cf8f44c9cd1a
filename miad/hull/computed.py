"""Computed entries as pymatgen writes them: one functional family, elements without charges, finite energies."""

import logging
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

from miad.core.energy_frames import CORRECTED
from miad.core.errors import MiadError
from miad.hull.convex import REMEDY, Entry, formula_of

SPECIES = re.compile(r"([A-Z][a-z]?)([\d.]*[+-]|[+-][\d.]+)?(,.*)?")  # e.g. Fe, Fe3+, Fe+3, Fe2+,spin=5

T = TypeVar("T")
log = logging.getLogger("miad")

GGA = "GGA"  # PBE with and without U, which MP2020's corrections reconcile
SAME_FAMILY = {"": GGA, "PBE": GGA, "PE": GGA}  # a record that does not say is taken for GGA


def computed_entry(record: Mapping[str, Any], frame: str, where: str) -> Entry:
    """The entry of a record, with the correction that it carries if the frame has one; `where` names file and place.

    Raises:
        MiadError: no composition, an empty one, one of no elements, or an energy that is no number.
    """
    composition = _amounts(record, where)
    energy = _number(record, "energy", where) + (correction(record, where) if frame == CORRECTED else 0.0)
    return Entry(formula_of(composition), energy / sum(composition.values()), record.get("entry_id"))


def correction(record: Mapping[str, Any], where: str) -> float:
    """Of a computed entry, eV of the whole cell."""
    return _number(record, "correction", where) if record.get("correction") else 0.0


def of_one_family(records: list[T], families: list[str], frame: str, where: str) -> list[T]:
    """Those records whose energies may be compared: GGA and GGA+U where there are any, the others are left out aloud.

    Args:
        records: in the order of `families`.
        families: the functional of each, of `family`.
        frame: of the hull.
        where: the file, for the message.

    Raises:
        MiadError: none is GGA, though the frame is MP2020's or they are of several other families.
    """
    counts = Counter(families)
    if set(counts) <= {GGA}:
        return records
    others = ", ".join(f"{count} of {name}" for name, count in sorted(counts.items()) if name != GGA)
    if GGA not in counts and (len(counts) > 1 or frame == CORRECTED):
        raise MiadError(
            f"{where} has no entry whose run_type is GGA or GGA+U, only {others}; energies of several functionals, or"
            " such with MP2020's corrections, make no hull. Give entries of one functional."
        )
    if GGA not in counts:
        log.warning("%s: all entries are %s; compare them with energies of that functional only.", where, others)
        return records
    log.warning("%s: %s left out, the hull is that of the %d of GGA and GGA+U.", where, others, counts[GGA])
    return [record for record, name in zip(records, families, strict=True) if name == GGA]


def family(record: Any) -> str:
    """The functional of a record or row by its `run_type`, without the U: GGA, R2SCAN, …"""
    if not isinstance(record, Mapping):
        return GGA  # what is no record is refused where it is read
    places = (record.get("parameters"), record.get("data"), record)
    given = next((place["run_type"] for place in places if isinstance(place, Mapping) and place.get("run_type")), "")
    name = str(given.get("value", "") if isinstance(given, Mapping) else given)  # emmet's RunType is a mapping in JSON
    name = name.strip().upper().replace("_", "+").removesuffix("+U")
    return SAME_FAMILY.get(name, name)


def _amounts(record: Mapping[str, Any], where: str) -> dict[str, float]:
    """{element symbol: number of atoms}; charged species are their elements, and those of one element add up."""
    from pymatgen.core import Element

    amounts: dict[str, float] = {}
    for name, given in record["composition"].items():
        species, amount = SPECIES.fullmatch(name), _float(given)
        if species is None or not Element.is_valid_symbol(species[1]) or not 0 <= amount < math.inf:
            raise MiadError(f"{_named(record, where)}: '{name}: {given}' is no element and amount. {REMEDY}")
        if amount:
            amounts[species[1]] = amounts.get(species[1], 0.0) + amount
    if not amounts:
        raise MiadError(f"{_named(record, where)}: its composition is empty. {REMEDY}")
    return amounts


def _number(record: Mapping[str, Any], key: str, where: str) -> float:
    value = _float(record[key])
    if not math.isfinite(value):
        raise MiadError(f"{_named(record, where)}: its {key} '{record[key]}' is no number. {REMEDY}")
    return value


def _float(given: Any) -> float:
    """A number of JSON, or NaN for what is none."""
    try:
        return float(given)
    except (OverflowError, TypeError, ValueError):
        return math.nan


def _named(record: Mapping[str, Any], where: str) -> str:
    """The place of an entry, and its id if it has one."""
    return f"{where} ({record['entry_id']})" if record.get("entry_id") else where
