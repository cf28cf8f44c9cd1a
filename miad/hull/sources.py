"""Sources of reference energies: data set, tables, computed entries, Materials Project's published hull."""

import dataclasses
import logging
from collections.abc import Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from miad.config.sections import Hull
from miad.core.crystal import Crystal
from miad.core.energy_frames import CORRECTED, FRAMES
from miad.core.errors import MiadError
from miad.core.files import checksum
from miad.core.json_text import read_json
from miad.core.redact import shown
from miad.core.sound import finite
from miad.dataset.step import BUILT_IN, built_in
from miad.hull.computed import computed_entry, family, of_elements, of_one_family, read_references
from miad.hull.convex import COLUMNS, Entry, HullTable, atom_fractions, lowest_entries, read_table
from miad.hull.gathering import gathered
from miad.hull.pickled import read_patched_diagram
from miad.io import download
from miad.io.published_data import MP_HULL, SPLITS
from miad.io.table_rows import Table

log = logging.getLogger("miad")

# Published by matbench-discovery (figshare); the checksum is verified before the pickle is opened.
MATERIALS_PROJECT = "mp-2023-02-07"
MATERIALS_PROJECT_URL, MATERIALS_PROJECT_CHECKSUM = MP_HULL.url, MP_HULL.checksum

COMPETING_PHASES = "competing_phases.csv.gz"  # beside the built-in data set, made with it
FORMULA_COLUMNS = ("reduced_formula", "formula", "composition", "pretty_formula", "formula_pretty")
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
    if settings.source == BUILT_IN:
        place = dataclasses.replace(settings.dataset, name=BUILT_IN, files={})
        everything = [crystal for split in SPLITS for crystal in built_in(split)]
        return from_crystals(dataclasses.replace(settings, dataset=place), everything)
    if settings.source == MATERIALS_PROJECT:
        return _from_materials_project(settings)
    path = download.local_copy(settings.source, settings.checksum, "hull.source", "hull.checksum")
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
    """The data set's own energies as a hull, those of the built-in set together with its competing phases.

    Raises:
        MiadError: there are no energies, or they are of several frames or calculators.
    """
    known = [(one, one.energy_per_atom) for one in crystals if one.energy_per_atom is not None]
    if not known:
        raise MiadError(
            "hull.source is 'dataset', but no crystal of the data set has an energy. Give dataset.energy_column, or"
            " choose another hull.source in config.yaml."
        )
    frames = {str(crystal.energy_frame) for crystal, _ in known}
    calculators = {crystal.calculator or "energies of the data set" for crystal, _ in known}
    entries = [Entry(crystal.reduced_formula, energy, crystal.crystal_id) for crystal, energy in known]
    name, source = settings.dataset.name, f"{len(known)} crystals of the data set"
    if phases := _competing_phases(settings):
        frames.add(phases.energy_frame)
        calculators.add(phases.source)
        entries += phases.entries
        name, source = f"{name} and {phases.name}", f"{source} and {len(phases.entries)} {phases.name}"
    if len(frames) > 1 or len(calculators) > 1:
        raise MiadError(
            f"the data set mixes energies of frames {sorted(frames)} and calculators {sorted(calculators)}; a hull"
            " needs one of each. Choose another hull.source in config.yaml."
        )
    frame = _agreed_frame(settings, frames.pop(), "the data set")
    return HullTable(f"{name} ({calculators.pop()})", frame, source, lowest_entries(entries))


def _competing_phases(settings: Hull) -> HullTable | None:
    """The phases that compete with the crystals of the built-in set; None for another set."""
    if settings.dataset.name != BUILT_IN or settings.dataset.files:
        return None
    return read_table(Path(str(files("miad.prototypes"))) / COMPETING_PHASES)


def from_csv(path: Path, settings: Hull) -> HullTable:
    """A table of total energies, or of formation energies with `hull.references`."""
    csv, energies = Table(path, path.name), (*ENERGY_COLUMNS, *FORMATION_COLUMNS)
    columns = csv.header((*FORMULA_COLUMNS, *energies))
    if set(COLUMNS) <= set(columns):
        ours = read_table(path)
        _agreed_frame(settings, ours.energy_frame, str(path))
        return ours
    formula = next((column for column in FORMULA_COLUMNS if column in columns), None)
    energy = next((column for column in energies if column in columns), None)
    if formula is None or energy is None:
        raise MiadError(
            f"{path} has the columns {', '.join(columns)}; a hull needs a formula ({' or '.join(FORMULA_COLUMNS)}) and"
            f" an energy ({' or '.join(energies)})."
        )
    rows = [row for _, row in csv.rows((formula, energy), optional=None)]
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
            raise MiadError(f"its {energy} '{row[energy][:40]}' is no number")
        if references is not None:
            value += of_elements(_shares(row[formula]), references, "hull.references")
        return Entry(row[formula], value, _identity(row))

    named = [(f"row {line} ({_identity(row) or row[formula]})", row) for line, row in numbered]
    entries, more = gathered(path, named, entry, settings.dataset.bound.max_share)
    return HullTable("", frame, "", entries, (*notes, *more))


def _identity(row: Mapping[str, str]) -> str | None:
    return next((row[column] for column in ID_COLUMNS if row.get(column)), None)


def _shares(formula: str) -> dict[str, float]:
    try:
        return atom_fractions(formula)
    except (TypeError, ValueError) as error:
        raise MiadError(f"its formula '{formula[:40]}' is none ({str(error)[:80]})") from error


def from_json(path: Path, settings: Hull) -> HullTable:
    """Computed entries as pymatgen writes them: a list, a mapping to them, or the list under `entries`.

    With `hull.energy_frame: mp2020` the correction that each entry carries is added, with `uncorrected` it is not.
    Entries of another functional than `hull.functional` are left out.
    """
    frame = _agreed_frame(settings, None, str(path))
    records = read_json(path, "Give pymatgen's computed entries, or a CSV.")
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


def _references(settings: Hull) -> dict[str, float]:
    """{element: eV/atom} from `hull.references`, if it is given."""
    given, setting = settings.references, "hull.references"
    return {} if given is None else read_references(download.local_copy(given, None, setting), setting)


def _from_materials_project(settings: Hull) -> HullTable:
    expected = settings.checksum or MATERIALS_PROJECT_CHECKSUM
    path = download.fetch(MATERIALS_PROJECT_URL, checksum=expected, setting="hull.source")
    frame = _agreed_frame(settings, CORRECTED, MATERIALS_PROJECT)
    entries = read_patched_diagram(path, expected)
    source = f"{MATERIALS_PROJECT_URL} {expected}"
    return HullTable("Materials Project 2023-02-07", frame, source, lowest_entries(entries))


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
