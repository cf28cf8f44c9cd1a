"""Computed entries as pymatgen writes them: one functional family, elements without charges, finite energies."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from miad.core.energy_frames import CORRECTED
from miad.core.errors import MiadError
from miad.core.json_text import read_json
from miad.core.sound import finite
from miad.hull.convex import Entry, formula_of
from miad.io.json_crystals import symbol

T = TypeVar("T")

GGA = "GGA"  # PBE with and without U, which MP2020's corrections reconcile
RUN_TYPES = ("run_type", "energy_type", "functional")  # names of VASP's, Materials Project's and LeMat's records
SAME_FAMILY = {"": GGA, "PBE": GGA, "PE": GGA}  # a record that does not say is taken for GGA


def computed_entry(record: Any, frame: str) -> Entry:
    """The entry of a record, with the correction that it carries if the frame has one.

    Raises:
        MiadError: no composition, an empty one, one of no elements, or an energy that is no number; the message is a
            reason that begins with "its" or "it".
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("composition"), Mapping):
        raise MiadError("it has no composition; pymatgen's ComputedEntry.as_dict has composition, energy, correction")
    composition = _amounts(record["composition"])
    energy = _number(record, "energy") + (correction(record) if frame == CORRECTED else 0.0)
    identity = record.get("entry_id")
    return Entry(formula_of(composition), energy / sum(composition.values()), str(identity) if identity else None)


def correction(record: Mapping[str, Any]) -> float:
    """Of a computed entry, eV of the whole cell."""
    return _number(record, "correction") if record.get("correction") else 0.0


def of_one_family(
    records: list[T], families: list[str], wanted: str | None, frame: str, where: str
) -> tuple[list[T], list[str]]:
    """Those records whose energies may be compared, and notes of the others.

    Args:
        records: in the order of `families`.
        families: the functional of each, of `family`.
        wanted: the functional that counts; None: GGA (with GGA+U) where there is any, or else the only one.
        frame: of the hull.
        where: the file, for the message.

    Raises:
        MiadError: none is of the functional, there are several others, or MP2020's corrections are meant for GGA only.
    """
    counts = Counter(families)
    found = ", ".join(f"{count} of {name}" for name, count in sorted(counts.items()))
    name = _plain(wanted) if wanted else GGA if GGA in counts or len(counts) != 1 else next(iter(counts))
    if counts and name not in counts:
        raise MiadError(
            f"{where} has no entry whose run_type is {name}, only {found}; energies of several functionals make no"
            " hull. Give entries of one functional, or choose one of these by hull.functional in config.yaml."
        )
    if counts and frame == CORRECTED and name != GGA:
        raise MiadError(
            f"{where} has no entry for this hull: MP2020's corrections are for GGA and GGA+U, and there are only"
            f" {found}, of which hull.functional takes {name}. Give entries of GGA, or set hull.energy_frame (of `miad"
            " evaluate`: --hull-frame) to uncorrected."
        )
    notes = []
    if name != GGA:
        notes.append(f"{where}: all entries are {name}; compare them with energies of that functional only.")
    if others := ", ".join(f"{count} of {other}" for other, count in sorted(counts.items()) if other != name):
        notes.append(f"{where}: {others} left out, the hull is that of the {counts[name]} of {name}.")
    return [record for record, other in zip(records, families, strict=True) if other == name], notes


def family(record: Any) -> str:
    """The functional of a record or row by its `run_type`, without the U: GGA, R2SCAN, …"""
    if not isinstance(record, Mapping):
        return GGA  # what is no record is refused where it is read
    places = (record.get("parameters"), record.get("data"), record)
    given = next((value for place in places for name in RUN_TYPES if (value := _value(place, name))), "")
    return _plain(str(given.get("value", "") if isinstance(given, Mapping) else given))  # emmet's RunType is a mapping


def _value(place: Any, name: str) -> Any:
    return place.get(name) if isinstance(place, Mapping) else None


def _plain(run_type: str) -> str:
    """The functional of a run_type: in capitals, without the U."""
    name = run_type.strip().upper().replace("_", "+").removesuffix("+U")
    return SAME_FAMILY.get(name, name)


def _amounts(composition: Mapping[str, Any]) -> dict[str, float]:
    """{element symbol: number of atoms}; charged species are their elements, and those of one element add up."""
    amounts: dict[str, float] = {}
    for name, given in composition.items():
        element, amount = symbol(name), finite(given)
        if amount is None or amount < 0:
            raise MiadError(f"in its composition '{element}: {str(given)[:40]}' is no amount of an element")
        if amount:
            amounts[element] = amounts.get(element, 0.0) + amount
    if not amounts:
        raise MiadError("its composition is empty")
    return amounts


def _number(record: Mapping[str, Any], key: str) -> float:
    number = finite(record.get(key))
    if number is None:
        raise MiadError(f"its {key} '{str(record.get(key))[:40]}' is no number")
    return number


def read_references(path: Path, setting: str) -> dict[str, float]:
    """{element: eV/atom} from JSON of numbers, or of computed entries of the elements; the setting names the file."""
    records = read_json(path, f"{setting} needs {{element: eV/atom}}.")
    if not isinstance(records, dict):
        raise MiadError(f"{path} is no JSON of {{element: eV/atom}}. Correct {setting}.")
    found = {}
    for element, value in records.items():
        try:
            energy = computed_entry(value, CORRECTED).energy_per_atom if isinstance(value, dict) else finite(value)
            if energy is None:
                raise MiadError(f"{value!r:.40} is no energy")
        except MiadError as error:
            where = f"{path}, {element}: {error}"
            raise MiadError(f"{where}; {setting} is JSON of {{element: eV/atom}}. Correct it.") from error
        found[element] = energy
    return found


def of_elements(shares: Mapping[str, float], references: Mapping[str, float], setting: str) -> float:
    """Energy of the elements of a composition, eV/atom: total energy less formation energy."""
    if absent := sorted(set(shares) - set(references)):
        raise MiadError(f"{setting} has no energy of {', '.join(absent)}; add it there")
    return sum(share * references[element] for element, share in shares.items())
