"""Crystals of other programs: extended XYZ, CIF, folders and zips of CIF, CSV, pymatgen's JSON, and our JSON lines.

An item that cannot be read stays in the list as a failed crystal with its reason: 10,000 samples stay 10,000 in the
denominator.
"""

import itertools
import json
import logging
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from miad.core.crystal import Crystal, read_crystals
from miad.core.errors import MiadError
from miad.core.files import open_text
from miad.io.cif import check_structure, parse_cif, refuse
from miad.io.cif_files import in_file, in_folder, in_zip
from miad.io.csv_rows import Table
from miad.io.data_frame import rows as rows_of
from miad.io.xyz_frame import parse_frame
from miad.machine.parallel import in_order
from miad.machine.progress import track

if TYPE_CHECKING:
    from pymatgen.core import Structure

log = logging.getLogger("miad")
STEP = "read"
FEW = 4096  # crystals, which one process reads before others have started
ID_NAMES = ("crystal_id", "source_id", "material_id", "id", "name", "entry_id")
FORMATS = "extended XYZ (.extxyz, .xyz), CIF, a folder or zip of CIFs, CSV with a cif column, pymatgen JSON, JSON lines"


@dataclass(frozen=True)
class Item:
    """One crystal of an input, not yet read.

    Attributes:
        source_id: the id that the input carries.
        read: gives the structure, or raises MiadError with the reason why there is none.
        known: further fields of Crystal that the input carries.
        has_vague_energy: whether there is an energy of which the input does not say how many atoms it is of.
    """

    source_id: str | None
    read: Callable[[], "Structure"]
    known: dict[str, Any] = field(default_factory=dict)
    has_vague_energy: bool = False


def read_any(path: Path, name: str) -> list[Crystal]:
    """All crystals of a file or folder, plain or gzipped, in its order.

    Args:
        path: the input, in one of FORMATS.
        name: of the set; crystals without an id of ours are called `{name}-0-{index}`.

    Returns:
        One crystal per item of the input; those that cannot be read have no atoms and a `failure`. An energy that
        the input carries is in `energy_per_atom` (eV/atom), with `energy_frame` if the input says that too.

    Raises:
        MiadError: the format is unknown, or the file is damaged as a whole.
    """
    path = Path(path)
    if not path.exists():
        raise MiadError(f"{path} does not exist. Check the path.")
    crystals, is_vague = [], False
    try:
        if is_ours(path):
            return read_crystals(path)
        items = enumerate(track(_items(path), what=f"crystals of {path.name}"))
        for crystal, is_vague_energy in in_order(partial(_read, name), items, few=FEW):
            crystals.append(crystal)
            is_vague |= is_vague_energy
    except (EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
        raise MiadError(
            f"{path} is damaged, or no text in UTF-8 ({type(error).__name__}: {error}). Get it again, or convert it:"
            " iconv --to-code=utf-8."
        ) from error
    if not crystals:
        raise MiadError(f"{path} holds no crystals. Known formats are {FORMATS}.")
    if is_vague:  # to guess would be worse than to relax
        log.warning("%s: `energy` is not read: of an atom, or of the cell? Name it energy_per_atom (eV/atom).", path)
    return crystals


def _items(path: Path) -> Iterable[Item]:
    suffix = "folder" if path.is_dir() else Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix not in READERS:
        raise MiadError(f"{path} is in no known format. Known are {FORMATS}; plain or gzipped.")
    return READERS[suffix](path)


def name_of(path: Path) -> str:
    """Name of a set of crystals that was given none: that of its file, in letters, digits and `_`."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", path.name.split(".")[0]) or "crystals"


def _read(name: str, numbered: tuple[int, Item]) -> tuple[Crystal, bool]:
    number, item = numbered
    return _crystal(item, f"{name}-0-{number}"), item.has_vague_energy


def _crystal(item: Item, crystal_id: str) -> Crystal:
    try:
        structure = item.read()
        check_structure(structure)
        return Crystal.from_structure(crystal_id, structure, source_id=item.source_id, **item.known)
    except MiadError as error:
        empty = Crystal(crystal_id, np.eye(3), np.zeros((0, 3)), np.zeros(0, dtype=int), source_id=item.source_id)
        return empty.failed(STEP, str(error))


def is_ours(path: Path) -> bool:
    """Whether a file is JSON lines whose first line is a crystal as miad writes it."""
    if not path.is_file() or ".jsonl" not in path.suffixes:
        return False
    with open_text(path) as lines:
        try:
            first = json.loads(next(iter(lines), "null"))
        except (ValueError, RecursionError):
            return False
    return isinstance(first, dict) and {"crystal_id", "lattice", "frac_coords", "atomic_numbers"} <= set(first)


def _identity(record: Mapping[str, Any]) -> str | None:
    """The id that a record carries, under one of ID_NAMES in whatever case."""
    lower = {str(key).lower(): value for key, value in record.items()}
    return next((str(lower[key]) for key in ID_NAMES if lower.get(key) not in (None, "")), None)


def _number(value: Any) -> float | None:
    """A finite number; None for an empty or odd value."""
    try:
        return float(value) if np.isfinite(float(value)) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _energy(record: Mapping[str, Any], energy: Any, num_atoms: int = 1) -> dict[str, Any]:
    """Energy fields of a Crystal, of an energy (eV) of so many atoms; none if that is no number."""
    number = _number(energy)
    if number is None:
        return {}
    named = {name: str(record[name]) if record.get(name) else None for name in ("energy_frame", "calculator")}
    return {"energy_per_atom": number / num_atoms, **named}


def _item(record: Mapping[str, Any], identity: str | None, read: Callable[[], "Structure"]) -> Item:
    """An item of a record with named values; an energy that may be of an atom or of the cell is not taken."""
    known = _energy(record, record.get("energy_per_atom")) or _energy_of_entry(record)
    return Item(identity, read, known, not known and _number(record.get("energy")) is not None)


def _energy_of_entry(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of pymatgen's ComputedStructureEntry: eV of the whole cell, and a correction which, as in a hull, is MP2020's."""
    if "correction" not in record or not isinstance(record.get("structure"), dict):
        return {}
    energy, correction = _number(record.get("energy")), _number(record["correction"]) or 0.0
    sites = record["structure"].get("sites")
    if energy is None or not sites:
        return {}
    return _energy({**record, "energy_frame": "mp2020"} if correction else record, energy + correction, len(sites))


def _from_csv(path: Path) -> Iterator[Item]:
    for _, record in Table(path, path.name).rows(["cif"], optional=None):
        # pandas writes its index as a first column without a name, and reads it as Unnamed: 0.
        name, first = next(iter(record.items()))
        index = first if name in ("", "Unnamed: 0") else None
        yield _item(record, _identity(record) or index or None, partial(parse_cif, record["cif"]))


def _from_xyz(path: Path) -> Iterator[Item]:
    """Frames of an extended XYZ file, each read on its own, so that a bad one costs only itself."""
    number = -1
    with open_text(path) as lines:
        while head := lines.readline():
            if head.isspace():
                continue
            number += 1
            try:
                count = int(head)
            except ValueError as error:
                found = f"{path}: frame {number} begins with '{head.strip()[:40]}' instead of its number of atoms"
                raise MiadError(f"{found}. Is it extended XYZ? Correct the file.") from error
            # Not beyond the end of the file, however many atoms the frame promises; ASE would look for all of them.
            rows = list(itertools.islice(iter(lines.readline, ""), max(count, 0) + 1))
            frame = _frame(head + "".join(rows))
            torn = f"its frame promises {count} atoms, but the file ends {len(rows)} lines later"
            yield Item(frame.source_id, partial(refuse, torn)) if len(rows) < count + 1 else frame


def _frame(text: str) -> Item:
    from ase.io.extxyz import key_val_str_to_dict

    head, _, rest = text.partition("\n")
    comment = rest.partition("\n")[0]
    try:
        info = key_val_str_to_dict(comment)
    except (ValueError, IndexError, KeyError):
        info = {}
    known = _energy(info, info.get("energy_per_atom")) or _energy(info, info.get("energy"), max(int(head), 1))
    # As written: as numbers or truth values, the ids 007, 12e4 and F would become others.
    found = re.findall(rf'(?:^|\s)({"|".join(ID_NAMES)})=(?:"([^"]*)"|(\S+))', comment, re.IGNORECASE)
    identity = _identity({key: quoted or plain for key, quoted, plain in found})
    return Item(identity, partial(parse_frame, text), known)


def _from_json(path: Path) -> Iterator[Item]:
    """A list of pymatgen's dictionaries, a mapping from ids to them, a data frame of them, or a single one."""
    with open_text(path) as text:
        try:
            content = json.load(text)
        except (ValueError, RecursionError) as error:
            raise MiadError(f"{path} is not JSON ({error}). Give pymatgen's Structure.as_dict, or a list.") from error
    try:
        rows = rows_of(content)
    except MiadError as error:
        raise MiadError(f"{path} is no whole data frame: {error}. Write it again with orient='records'.") from error
    if rows is not None:
        content = [_with_label(row, label) for label, row in rows]
    elif isinstance(content, dict) and not _is_structure(content):
        content = [{"crystal_id": key, **(value if isinstance(value, dict) else {})} for key, value in content.items()]
    yield from map(_dictionary, content if isinstance(content, list) else [content])


def _from_json_lines(path: Path) -> Iterator[Item]:
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield _dictionary(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise MiadError(f"{path}, line {number} is not JSON ({error}). Correct or delete it.") from error


def _with_label(row: Any, label: Any) -> Any:
    """A row of a data frame; its label in the index is its id where it has none of its own."""
    if label is None or not isinstance(row, dict) or _identity(row) is not None:
        return row
    return {**row, "crystal_id": label}


def _is_structure(record: Mapping[str, Any]) -> bool:
    return "structure" in record or {"lattice", "sites"} <= set(record)


def _dictionary(record: Any) -> Item:
    """A Structure, or what holds one under `structure`: a ComputedStructureEntry, a row of a data frame."""
    record = record if isinstance(record, dict) else {}
    if not _is_structure(record):
        return Item(_identity(record), partial(refuse, "it has neither a structure nor lattice and sites"))
    structure = record.get("structure", record)
    properties = structure.get("properties") or {} if isinstance(structure, dict) else {}
    identity = _identity(record) or _identity(properties)
    return _item(record, identity, partial(_structure_of_dict, structure))


def _structure_of_dict(record: Any) -> "Structure":
    from pymatgen.core import Structure

    try:
        return Structure.from_dict(record)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise MiadError(f"its structure is unreadable ({type(error).__name__}: {str(error)[:200]})") from error


READERS: dict[str, Callable[[Path], Iterable[Item]]] = {
    "folder": lambda path: itertools.starmap(Item, in_folder(path)),
    ".csv": _from_csv,
    ".cif": lambda path: itertools.starmap(Item, in_file(path)),
    ".zip": lambda path: itertools.starmap(Item, in_zip(path)),
    ".xyz": _from_xyz,
    ".extxyz": _from_xyz,
    ".json": _from_json,
    ".jsonl": _from_json_lines,
}
