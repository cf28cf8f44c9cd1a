"""Crystals of other programs: extended XYZ, CIF, folders and zips of CIF, CSV, pymatgen's JSON, and our JSON lines.

Whatever cannot be read stays in the list as a failed crystal with its reason: who evaluates 10,000 samples wants
10,000 in the denominator.
"""

import io
import itertools
import json
import logging
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from miad.core.crystal import Crystal, read_crystals
from miad.core.errors import MiadError
from miad.core.files import open_text
from miad.io.cif import check_structure, in_file, in_folder, in_zip, parse_cif
from miad.io.csv_rows import Table
from miad.machine.progress import track

if TYPE_CHECKING:
    from pymatgen.core import Structure

log = logging.getLogger("miad")
STEP = "read"
ID_NAMES = ("crystal_id", "source_id", "material_id", "id", "name", "entry_id")
FORMATS = "extended XYZ (.extxyz, .xyz), CIF, a folder or zip of CIFs, CSV with a cif column, pymatgen JSON, JSON lines"


@dataclass(frozen=True)
class Item:
    """One crystal of an input, not yet read.

    Attributes:
        source_id: the id that the input carries.
        read: gives the structure, or raises MiadError with the reason why there is none.
        known: what else the input says, as fields of Crystal.
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
    try:
        if is_ours(path):
            return read_crystals(path)
        crystals = [
            _crystal(item, f"{name}-0-{number}")
            for number, item in enumerate(track(_warned(_items(path), path), what=f"crystals of {path.name}"))
        ]
    except (EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
        raise MiadError(
            f"{path} is damaged, or no text in UTF-8 ({type(error).__name__}: {error}). Get it again, or convert it:"
            " iconv --to-code=utf-8."
        ) from error
    if not crystals:
        raise MiadError(f"{path} holds no crystals. Known formats are {FORMATS}.")
    return crystals


def _items(path: Path) -> Iterable[Item]:
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if path.is_dir():
        return itertools.starmap(Item, in_folder(path))
    if suffix not in READERS:
        raise MiadError(f"{path} is in no known format. Known are {FORMATS}; plain or gzipped.")
    return READERS[suffix](path)


def _warned(items: Iterable[Item], path: Path) -> Iterator[Item]:
    """The items, and one warning if they have energies that are not read; to guess would be worse than to relax."""
    has_warned = False
    for item in items:
        if item.has_vague_energy and not has_warned:
            has_warned = True
            log.warning(
                "%s: `energy` is not read: of an atom, or of the cell? Name it energy_per_atom (eV/atom).", path
            )
        yield item


def name_of(path: Path) -> str:
    """What a set of crystals is called that was given no name: the name of its file, in letters, digits and `_`."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", path.name.split(".")[0]) or "crystals"


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


def _energy(energy: Any, frame: Any = None, calculator: Any = None, num_atoms: int = 1) -> dict[str, Any]:
    """Energy fields of a Crystal, of an energy (eV) of so many atoms; an empty or odd value is no energy."""
    try:
        energy = float(energy) / num_atoms
    except (TypeError, ValueError):
        return {}
    if not np.isfinite(energy):
        return {}
    return {
        "energy_per_atom": energy,
        "energy_frame": str(frame) if frame else None,
        "calculator": str(calculator) if calculator else None,
    }


def _is_vague(record: Mapping[str, Any], known: dict[str, Any]) -> bool:
    return not known and bool(_energy(record.get("energy")))


def _from_csv(path: Path) -> Iterator[Item]:
    for _, record in Table(path, path.name).rows(["cif"], optional=None):
        known = _energy(record.get("energy_per_atom"), record.get("energy_frame"), record.get("calculator"))
        # pandas writes its index as a first column without a name, and reads it as Unnamed: 0.
        name, first = next(iter(record.items()))
        index = first if name in ("", "Unnamed: 0") else None
        identity = _identity(record) or index or None
        yield Item(identity, _reader(parse_cif, record["cif"]), known, _is_vague(record, known))


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
                raise MiadError(
                    f"{path}: frame {number} begins with '{head.strip()[:40]}' instead of its number of atoms. Is it"
                    " extended XYZ? Correct the file."
                ) from error
            # Not beyond the end of the file, however many atoms the frame promises; ASE would look for all of them.
            rows = list(itertools.islice(iter(lines.readline, ""), max(count, 0) + 1))
            frame = _frame(head + "".join(rows))
            is_torn = len(rows) < count + 1
            yield Item(frame.source_id, _reader(_torn, count, len(rows))) if is_torn else frame


def _torn(count: int, num_rows: int) -> "Structure":
    raise MiadError(f"its frame promises {count} atoms, but the file ends {num_rows} lines later")


def _frame(text: str) -> Item:
    from ase.io.extxyz import key_val_str_to_dict

    head, _, rest = text.partition("\n")
    comment = rest.partition("\n")[0]
    try:
        info = key_val_str_to_dict(comment)
    except (ValueError, IndexError, KeyError):
        info = {}
    known = _energy(info.get("energy_per_atom"), info.get("energy_frame"), info.get("calculator"))
    if not known:
        known = _energy(info.get("energy"), info.get("energy_frame"), info.get("calculator"), max(int(head), 1))
    return Item(_identity(_as_written(comment)), _reader(_structure_of_frame, text), known)


def _as_written(comment: str) -> dict[str, str]:
    """The ids in the comment of a frame; as numbers or truth values, 007, 12e4 and F would become others."""
    found = re.findall(rf'(?:^|\s)({"|".join(ID_NAMES)})=(?:"([^"]*)"|(\S+))', comment, re.IGNORECASE)
    return {key: quoted or plain for key, quoted, plain in found}


def _structure_of_frame(text: str) -> "Structure":
    from ase.io import read
    from ase.io.extxyz import XYZError
    from pymatgen.io.ase import AseAtomsAdaptor

    try:
        atoms = read(io.StringIO(_with_hydrogen(text)), format="extxyz")
        if not all(atoms.pbc):
            raise MiadError("its frame has no Lattice, or is not periodic in three directions")
        return AseAtomsAdaptor.get_structure(atoms)
    except (XYZError, ValueError, KeyError, IndexError, TypeError, AttributeError, OSError) as error:
        raise MiadError(f"its frame is unreadable ({type(error).__name__}: {str(error)[:200]})") from error


def _with_hydrogen(text: str) -> str:
    """A frame with H for D and T, which ASE does not know; pymatgen, which reads the other formats, does."""
    head, comment, *rows = text.split("\n")
    before = re.search(r'\bProperties="?(\S*?)species:', comment)  # e.g. pos:R:3: where the positions come first
    column = sum(map(int, before[1].split(":")[2::3])) if before else 0
    split = [row.split() for row in rows]
    for fields in split:
        if fields[column : column + 1] in (["D"], ["T"]):
            fields[column] = "H"
    return "\n".join([head, comment, *map(" ".join, split)])


def _from_json(path: Path) -> Iterator[Item]:
    """A list of pymatgen's dictionaries, a mapping from ids to them, or a single one."""
    with open_text(path) as text:
        try:
            content = json.load(text)
        except (ValueError, RecursionError) as error:
            raise MiadError(
                f"{path} is not JSON ({error}). Give pymatgen's Structure.as_dict, or a list of it."
            ) from error
    if isinstance(content, dict) and not _is_structure(content):
        content = [
            {"crystal_id": key, **value} if isinstance(value, dict) else {"crystal_id": key}
            for key, value in content.items()
        ]
    yield from map(_dictionary, content if isinstance(content, list) else [content])


def _from_json_lines(path: Path) -> Iterator[Item]:
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield _dictionary(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise MiadError(f"{path}, line {number} is not JSON ({error}). Correct or delete it.") from error


def _is_structure(record: Mapping[str, Any]) -> bool:
    return "structure" in record or {"lattice", "sites"} <= set(record)


def _dictionary(record: Any) -> Item:
    """A Structure, or what holds one under `structure`: a ComputedStructureEntry, a row of a data frame."""
    if not isinstance(record, dict) or not _is_structure(record):
        return Item(_identity(record) if isinstance(record, dict) else None, _reader(_no_structure))
    structure = record.get("structure", record)
    known = _energy(record.get("energy_per_atom"), record.get("energy_frame"), record.get("calculator"))
    known = known or _energy_of_entry(record)
    properties = structure.get("properties") or {} if isinstance(structure, dict) else {}
    identity = _identity(record) or _identity(properties)
    return Item(identity, _reader(_structure_of_dict, structure), known, _is_vague(record, known))


def _energy_of_entry(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of pymatgen's ComputedStructureEntry: eV of the whole cell, and a correction which, as in a hull, is MP2020's."""
    if "correction" not in record or not isinstance(record.get("structure"), dict):
        return {}
    correction = _energy(record["correction"]).get("energy_per_atom", 0.0)
    energy = _energy(record.get("energy")).get("energy_per_atom")
    sites = record["structure"].get("sites")
    if energy is None or not sites:
        return {}
    frame = "mp2020" if correction else record.get("energy_frame")
    return _energy(energy + correction, frame, record.get("calculator"), len(sites))


def _no_structure() -> "Structure":
    raise MiadError("it has neither a structure nor lattice and sites")


def _structure_of_dict(record: Any) -> "Structure":
    from pymatgen.core import Structure

    try:
        return Structure.from_dict(record)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise MiadError(f"its structure is unreadable ({type(error).__name__}: {str(error)[:200]})") from error


def _reader(read: Callable[..., "Structure"], *arguments: Any) -> Callable[[], "Structure"]:
    return lambda: read(*arguments)


READERS: dict[str, Callable[[Path], Iterable[Item]]] = {
    ".csv": _from_csv,
    ".cif": lambda path: itertools.starmap(Item, in_file(path)),
    ".zip": lambda path: itertools.starmap(Item, in_zip(path)),
    ".xyz": _from_xyz,
    ".extxyz": _from_xyz,
    ".json": _from_json,
    ".jsonl": _from_json_lines,
}
