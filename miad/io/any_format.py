"""Crystals of other programs: extended XYZ, CIF, folders and zips of CIF, tables, JSON, and our JSON lines.

An item that cannot be read stays in the list as a failed crystal with its reason: 10,000 samples stay 10,000 in the
denominator.
"""

import itertools
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miad.core.crystal import MAX_ID, Crystal, read_crystals, shortened
from miad.core.errors import MiadError
from miad.core.files import DAMAGED, open_text, refuse_stand_in
from miad.core.json_text import read_json
from miad.core.sound import sound, unread
from miad.io.cif import refuse
from miad.io.cif_files import in_file, in_folder, in_zip
from miad.io.energies import Energies, energies_of, tell
from miad.io.json_crystals import CRYSTAL_NAMES, is_structure, reader, rows_of
from miad.io.table_rows import Table, parquet_header, parquet_rows
from miad.io.xyz_frame import parse_frame
from miad.machine.pool import Lost, in_order
from miad.machine.progress import track

if TYPE_CHECKING:
    from pymatgen.core import Structure

log = logging.getLogger("miad")
STEP = "read"
MAX_ROWS = 1 << 32  # of a frame; no file has as many, and Python counts no further than 1 << 63
FEW = 4096  # crystals, which one process reads before others have started
ID_NAMES = ("crystal_id", "source_id", "material_id", "id", "name", "entry_id")
FORMATS = (
    "extended XYZ (.extxyz, .xyz), CIF, a folder or zip of CIFs, CSV or Parquet with a column of crystals, JSON of"
    " pymatgen, pandas or OPTIMADE, JSON lines"
)


@dataclass(frozen=True)
class Item:
    """One crystal of an input, not yet read.

    Attributes:
        source_id: the id that the input carries.
        read: gives the structure, or raises MiadError with the reason why there is none.
        energies: what the input says of energies.
    """

    source_id: str | None
    read: Callable[[], "Structure"]
    energies: Energies = field(default_factory=Energies)


def read_any(path: Path, name: str, column: str | None = None) -> list[Crystal]:
    """All crystals of a file or folder, plain or gzipped, in its order.

    Args:
        path: the input, in one of FORMATS.
        name: of the set; crystals without an id of ours are called `{name}-0-{index}`.
        column: of a table, the one that holds the crystals; if left out, the first there is of CRYSTAL_NAMES.

    Returns:
        One crystal per item of the input; those that cannot be read have no atoms and a `failure`. An energy that
        the input carries is in `energy_per_atom` (eV/atom), with `energy_frame` if the input says that too.

    Raises:
        MiadError: the format is unknown, or the file is damaged as a whole.
    """
    path = Path(path)
    if not path.exists():
        raise MiadError(f"{path} does not exist. Check the path.")
    crystals, energies = [], []
    try:
        if is_ours(path):
            return [sound(one, STEP) for one in read_crystals(path)]
        items = enumerate(track(_items(path, column), what=f"crystals of {path.name}"))
        for found in in_order(partial(_read, name), items, few=FEW):
            crystal, known = _lost(name, found) if isinstance(found, Lost) else found
            crystals.append(crystal)
            energies.append(known)
    except DAMAGED as error:
        raise MiadError(
            f"{path} is damaged, or no text in UTF-8 ({type(error).__name__}: {error}). Get it again, or convert it:"
            " iconv --to-code=utf-8."
        ) from error
    if not crystals:
        raise MiadError(f"{path} holds no crystals. Known formats are {FORMATS}.")
    tell(path, energies)
    return crystals


def _items(path: Path, column: str | None) -> Iterable[Item]:
    suffix = "folder" if path.is_dir() else Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix not in READERS and suffix not in TABLES:
        raise MiadError(f"{path} is in no known format. Known are {FORMATS}; plain or gzipped.")
    if suffix != "folder":
        refuse_stand_in(path)
    if suffix in TABLES:
        return TABLES[suffix](path, column)
    if column is not None:
        raise MiadError(f"--column {column} is of tables (CSV, Parquet, JSON), and {path} is none. Leave it out.")
    return READERS[suffix](path)


def name_of(path: Path) -> str:
    """Name of a set of crystals that was given none: that of its file, in letters, digits and `_`."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", path.name.split(".")[0]) or "crystals"


def _read(name: str, numbered: tuple[int, Item]) -> tuple[Crystal, Energies]:
    number, item = numbered
    return _crystal(item, f"{name}-0-{number}"), item.energies


def _lost(name: str, lost: Lost) -> tuple[Crystal, Energies]:
    """A crystal that cost its reader more than an error: a process, or too much time."""
    number, item = lost.item
    return unread(f"{name}-0-{number}", STEP, lost.reason, item.source_id), item.energies


def _crystal(item: Item, crystal_id: str) -> Crystal:
    # A label is shown, never looked up: one that no text can hold, or of many lines, costs no crystal.
    source_id = None if item.source_id is None else shortened(item.source_id, MAX_ID)
    try:
        crystal = Crystal.from_structure(crystal_id, item.read(), source_id=source_id, **item.energies.known)
    except MiadError as error:
        return unread(crystal_id, STEP, str(error), source_id)
    return sound(crystal, STEP)


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


def _column(path: Path, header: list[str], column: str | None) -> str | None:
    """The column of crystals; None where the crystals are spread over columns as OPTIMADE names them."""
    given = [name for name in ([column] if column else CRYSTAL_NAMES) if name in header]
    if given:
        if given[1:]:
            log.warning("%s: the crystals of column `%s` are read, not those of `%s`.", path, given[0], given[1])
        return given[0]
    if column is None and is_structure(dict.fromkeys(header)):
        return None
    raise MiadError(
        f"{path} has no column {column or ', '.join(CRYSTAL_NAMES)}; it has"
        f" {', '.join(filter(None, map(str, header)))[:500]}. Name the one with the crystals by --column (of samples),"
        f" or call it {CRYSTAL_NAMES[0]} in the file."
    )


def _from_csv(path: Path, column: str | None) -> Iterator[Item]:
    table = Table(path, path.name)
    found = _column(path, table.header([column] if column else CRYSTAL_NAMES), column)
    for _, record in table.rows([found] if found else [], optional=None):
        # pandas writes its index as a first column without a name, and reads it as Unnamed: 0.
        name, first = next(iter(record.items()))
        yield _row(record, found, first if name in ("", "Unnamed: 0") else None)


def _from_parquet(path: Path, column: str | None) -> Iterator[Item]:
    found = _column(path, parquet_header(path), column)
    for record in parquet_rows(path):
        yield _row(record, found, record.get("__index_level_0__"))


def _row(record: Mapping[str, Any], column: str | None, label: Any = None) -> Item:
    """The item of a row; its label in the index is its id where it has none of its own."""
    identity = _identity(record) or (None if label in (None, "") else str(label))
    value = record[column] if column else record
    if isinstance(value, Mapping):  # a crystal of pymatgen may carry its id with it
        identity = identity or _identity(value) or _identity(_properties(value))
    return Item(identity, reader(value), energies_of(record))


def _properties(value: Mapping[str, Any]) -> Mapping[str, Any]:
    found = value.get("properties")
    return found if isinstance(found, Mapping) else {}


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
            rows = list(itertools.islice(iter(lines.readline, ""), min(max(count, 0), MAX_ROWS) + 1))
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
    # As written: as numbers or truth values, the ids 007, 12e4 and F would become others.
    found = re.findall(rf'(?:^|\s)({"|".join(ID_NAMES)})=(?:"([^"]*)"|(\S+))', comment, re.IGNORECASE)
    identity = _identity({key: quoted or plain for key, quoted, plain in found})
    return Item(identity, partial(parse_frame, text), energies_of(info, int(head)))


def _from_json(path: Path, column: str | None) -> Iterator[Item]:
    """Records of pymatgen, pandas or OPTIMADE: a list, a data frame, a mapping from ids to them, or a single one."""
    content = read_json(path, "Give pymatgen's Structure.as_dict, or a list.")
    try:
        found = rows_of(content, [column] if column else CRYSTAL_NAMES)
    except MiadError as error:
        raise MiadError(f"{path} is no whole data frame: {error}. Write it again with orient='records'.") from error
    for label, record in found:
        yield _record(record, column, label)


def _from_json_lines(path: Path, column: str | None) -> Iterator[Item]:
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.isspace():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise MiadError(f"{path}, line {number} is not JSON ({error}). Correct or delete it.") from error
            if not (isinstance(record, dict) and "x-optimade" in record):  # the head of OPTIMADE's lines
                yield _record(record, column)


def _record(record: Any, column: str | None, label: Any = None) -> Item:
    """A crystal, or what holds one: a ComputedStructureEntry, a row of a data frame, a text."""
    if not isinstance(record, Mapping):
        return Item(None if label is None else str(label), reader(record))
    name = next((one for one in ([column] if column else CRYSTAL_NAMES) if one in record), None)
    if name is None and (column or not is_structure(record)):
        reason = f"it has no value `{column}`" if column else "it has neither a structure nor lattice and sites"
        return Item(_identity(record), partial(refuse, reason))
    attributes = record.get("attributes")
    known = {**attributes, **record} if isinstance(attributes, Mapping) else record
    return _row(known, name, label)


READERS: dict[str, Callable[[Path], Iterable[Item]]] = {
    "folder": lambda path: itertools.starmap(Item, in_folder(path)),
    ".cif": lambda path: itertools.starmap(Item, in_file(path)),
    ".zip": lambda path: itertools.starmap(Item, in_zip(path)),
    ".xyz": _from_xyz,
    ".extxyz": _from_xyz,
}
# Formats of records with named values, of which --column names the one that holds the crystals.
TABLES: dict[str, Callable[[Path, str | None], Iterable[Item]]] = {
    ".csv": _from_csv,
    ".tsv": _from_csv,
    ".parquet": _from_parquet,
    ".json": _from_json,
    ".jsonl": _from_json_lines,
}
