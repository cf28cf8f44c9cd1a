"""Sources of reference energies: data set, tables, computed entries, Materials Project's published hull."""

import csv
import json
import logging
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from miad.config.sections import Hull
from miad.core.crystal import Crystal
from miad.core.energy_frames import CORRECTED, FRAMES
from miad.core.errors import MiadError
from miad.core.files import checksum, open_text, verify
from miad.core.redact import shown
from miad.core.sound import finite
from miad.hull.computed import computed_entry, family, of_one_family
from miad.hull.convex import COLUMNS, Entry, HullTable, atom_fractions, lowest_entries, read_table
from miad.hull.gathering import gathered
from miad.hull.pickled import read_patched_diagram
from miad.io import download
from miad.io.published_data import MP_HULL

log = logging.getLogger("miad")

# Published by matbench-discovery (figshare); the checksum is verified before the pickle is opened.
MATERIALS_PROJECT = "mp-2023-02-07"
MATERIALS_PROJECT_URL, MATERIALS_PROJECT_CHECKSUM = MP_HULL.url, MP_HULL.checksum

FORMULA_COLUMNS = ("reduced_formula", "formula", "composition", "pretty_formula")
ID_COLUMNS = ("entry_id", "material_id")
# Column of energies: the frame that its name states, or None if the name states none.
ENERGY_COLUMNS = {
    "e_total_MP2020_per_atom": "mp2020",
    "corrected_energy_per_atom": "mp2020",
    "uncorrected_energy_per_atom": "uncorrected",
    "energy_per_atom": None,
}
FORMATION_COLUMNS = ("formation_energy_per_atom", "e_form_per_atom")


def read_source(settings: Hull, crystals: list[Crystal]) -> HullTable:
    """The table of reference energies that `hull.source` names; `crystals` are all of the data set.

    Raises:
        MiadError: the source cannot be read, or its frame is unknown or contradicts hull.energy_frame.
    """
    if settings.source == "dataset":
        return from_crystals(settings, crystals)
    if settings.source == MATERIALS_PROJECT:
        return _from_materials_project(settings)
    path = _local(settings.source, settings.checksum, "hull.source")
    provenance = f"{shown(settings.source)} {settings.checksum or 'sha256:' + checksum(path, 'sha256')}"
    table = from_json(path, settings) if ".json" in Path(settings.source).suffixes else from_csv(path, settings)
    for note in table.notes:
        log.warning("%s", note)
    if not table.entries:
        raise MiadError(f"{path} holds no entries. Give another hull.source (of `miad evaluate`: --hull).")
    # Corrections do not touch the elements, so their references fit either frame.
    elements = [Entry(symbol, energy, "elemental reference") for symbol, energy in _references(settings).items()]
    # A table that miad wrote keeps the name it was given; the file name serves for the others.
    name, source = table.name or shown(Path(settings.source).name), table.source or provenance
    entries = lowest_entries([*table.entries, *elements], str(path))
    return HullTable(name, table.energy_frame, source, entries, table.notes)


def from_crystals(settings: Hull, crystals: list[Crystal]) -> HullTable:
    """The data set's own energies as a hull; a MiadError if there are none, or of several frames or calculators."""
    known = [(one, one.energy_per_atom) for one in crystals if one.energy_per_atom is not None]
    if not known:
        raise MiadError(
            "hull.source is 'dataset', but no crystal of the data set has an energy. Give dataset.energy_column, or"
            " choose another hull.source in config.yaml."
        )
    frames = {str(crystal.energy_frame) for crystal, _ in known}
    calculators = {crystal.calculator or "energies of the data set" for crystal, _ in known}
    if len(frames) > 1 or len(calculators) > 1:
        raise MiadError(
            f"the data set mixes energies of frames {sorted(frames)} and calculators {sorted(calculators)}; a hull"
            " needs one of each. Choose another hull.source in config.yaml."
        )
    frame = _agreed_frame(settings, frames.pop(), "the data set")
    entries = [Entry(crystal.reduced_formula, energy, crystal.crystal_id) for crystal, energy in known]
    name = f"{settings.dataset.name} ({calculators.pop()})"
    return HullTable(name, frame, f"{len(known)} crystals of the data set", lowest_entries(entries))


def from_csv(path: Path, settings: Hull) -> HullTable:
    """A table of total energies, or of formation energies with `hull.references`."""
    try:
        with open_text(path) as text:
            rows = list(csv.DictReader(text))
    except (csv.Error, UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise MiadError(f"{path} is no readable CSV in UTF-8 ({error}). Save it again as that.") from error
    if not rows:
        raise MiadError(f"{path} has no rows. Give a table with formulas and energies.")
    columns = list(rows[0])
    if set(COLUMNS) <= set(columns):
        table = read_table(path)
        _agreed_frame(settings, table.energy_frame, str(path))
        return table
    formula = next((column for column in FORMULA_COLUMNS if column in columns), None)
    energy = next((column for column in (*ENERGY_COLUMNS, *FORMATION_COLUMNS) if column in columns), None)
    if formula is None or energy is None:
        raise MiadError(
            f"{path} has the columns {', '.join(columns)}; a hull needs a formula"
            f" ({' or '.join(FORMULA_COLUMNS)}) and an energy ({' or '.join((*ENERGY_COLUMNS, *FORMATION_COLUMNS))})."
        )
    stated = set(filter(None, (row.get("energy_frame") for row in rows)))
    if len(stated) > 1:
        raise MiadError(f"{path} mixes the frames {sorted(stated)}. Keep one of them.")
    frame = _agreed_frame(settings, ENERGY_COLUMNS.get(energy) or (stated.pop() if stated else None), str(path))
    references = _references(settings) if energy in FORMATION_COLUMNS else None
    if references == {}:
        raise MiadError(
            f"{path} holds formation energies ({energy}). Give the elemental references as hull.references (of `miad"
            " evaluate`: --hull-references), a JSON of {element: eV/atom}."
        )
    families = list(map(family, rows))
    numbered, notes = of_one_family(list(enumerate(rows, 2)), families, settings.functional, frame, str(path))

    def entry(row: dict[str, str]) -> Entry:
        value = finite(row[energy])
        if value is None:
            raise MiadError(f"its {energy} '{str(row[energy] or '')[:40]}' is no number")
        if references is not None:
            value += _of_elements(row[formula], references, settings)
        return Entry(row[formula] or "", value, _identity(row))

    named = [(f"row {line} ({_identity(row) or row[formula]})", row) for line, row in numbered]
    entries, more = gathered(path, named, entry, settings.dataset.bound.max_share)
    return HullTable("", frame, "", entries, (*notes, *more))


def _identity(row: Mapping[str, str]) -> str | None:
    return next((row[column] for column in ID_COLUMNS if row.get(column)), None)


def _of_elements(formula: str, references: Mapping[str, float], settings: Hull) -> float:
    """Energy of the elements of a formula, eV/atom: total energy less formation energy."""
    try:
        shares = atom_fractions(formula)
    except (TypeError, ValueError) as error:
        raise MiadError(f"its formula '{str(formula)[:40]}' is none ({str(error)[:80]})") from error
    absent = sorted(set(shares) - set(references))
    if absent:
        raise MiadError(f"{settings.references} lacks {', '.join(absent)}, which it needs")
    return sum(share * references[symbol] for symbol, share in shares.items())


def from_json(path: Path, settings: Hull) -> HullTable:
    """Computed entries as pymatgen writes them: a list, a mapping to them, or the list under `entries`.

    With `hull.energy_frame: mp2020` the correction that each entry carries is added, with `uncorrected` it is not.
    Entries of another functional than `hull.functional` are left out.
    """
    frame = _agreed_frame(settings, None, str(path))
    records = _json(path, "Give pymatgen's computed entries, or a CSV.")
    if isinstance(records, dict):
        records = records["entries"] if isinstance(records.get("entries"), list) else list(records.values())
    if not isinstance(records, list):
        raise MiadError(f"{path} is no list of computed entries, as pymatgen's ComputedEntry.as_dict writes them.")
    families = list(map(family, records))
    numbered, notes = of_one_family(list(enumerate(records, 1)), families, settings.functional, frame, str(path))
    if frame == CORRECTED and not any(isinstance(one, dict) and one.get("correction") for _, one in numbered):
        notes.append(f"{path}: no entry carries a correction; are the energies really MP2020-corrected?")
    named = [(f"entry {number}{_id_of(record)}", record) for number, record in numbered]
    entries, more = gathered(path, named, partial(computed_entry, frame=frame), settings.dataset.bound.max_share)
    return HullTable("", frame, "", entries, (*notes, *more))


def _id_of(record: Any) -> str:
    """The id of an entry in brackets, if it has one."""
    return f" ({record['entry_id']})" if isinstance(record, dict) and record.get("entry_id") else ""


def _json(path: Path, remedy: str) -> Any:
    with open_text(path) as text:
        try:
            return json.load(text)
        except ValueError as error:
            raise MiadError(f"{path} is not JSON ({error}). {remedy}") from error


def _references(settings: Hull) -> dict[str, float]:
    """{element: eV/atom} from `hull.references`: numbers, or computed entries of the elements."""
    if settings.references is None:
        return {}
    path = _local(settings.references, None, "hull.references")
    records = _json(path, "hull.references needs {element: eV/atom}.")
    if not isinstance(records, dict):
        raise MiadError(f"{path} is no JSON of {{element: eV/atom}}. Correct hull.references.")
    return {symbol: _reference(value, f"{path}, {symbol}") for symbol, value in records.items()}


def _reference(value: Any, where: str) -> float:
    """eV/atom of an element: a number, or a computed entry."""
    try:
        if isinstance(value, dict):
            return computed_entry(value, CORRECTED).energy_per_atom
        if (number := finite(value) if isinstance(value, int | float) else None) is None:
            raise MiadError(f"{value!r:.40} is no energy")
        return number
    except MiadError as error:
        raise MiadError(f"{where}: {error}; hull.references is JSON of {{element: eV/atom}}. Correct it.") from error


def _from_materials_project(settings: Hull) -> HullTable:
    expected = settings.checksum or MATERIALS_PROJECT_CHECKSUM
    path = download.fetch(MATERIALS_PROJECT_URL, checksum=expected, setting="hull.source")
    frame = _agreed_frame(settings, CORRECTED, MATERIALS_PROJECT)
    entries = read_patched_diagram(path, expected)
    source = f"{MATERIALS_PROJECT_URL} {expected}"
    return HullTable("Materials Project 2023-02-07", frame, source, lowest_entries(entries))


def _local(source: str, expected: str | None, setting: str) -> Path:
    """The local copy of a path or URL, verified."""
    if download.is_url(source):
        return download.fetch(source, checksum=expected, setting=setting)
    path = Path(source)
    if not path.is_file():
        raise MiadError(
            f"{setting}: {source} does not exist. Correct it in config.yaml, or the flag of `miad"
            " evaluate`; it may be a path or a URL."
        )
    if expected is not None:
        verify(path, expected, remedy=f"Correct {setting} or its checksum in config.yaml.")
    return path


def _agreed_frame(settings: Hull, stated: str | None, where: str) -> str:
    """The frame that the file states and the settings confirm."""
    if stated not in (None, *FRAMES):
        raise MiadError(f"{where} states the energy frame '{stated}'; known are {' and '.join(FRAMES)}.")
    if stated and settings.energy_frame and stated != settings.energy_frame:
        raise MiadError(
            f"{where} is in the energy frame '{stated}', but hull.energy_frame is '{settings.energy_frame}'."
            " Correct hull.energy_frame in config.yaml, or set it to null."
        )
    frame = stated or settings.energy_frame
    if frame is None:
        raise MiadError(
            f"{where} does not state its energy frame. Set hull.energy_frame (of `miad evaluate`:"
            f" --hull-frame) to {' or '.join(FRAMES)}."
        )
    return frame
