"""Reading one frame of an extended XYZ file by ASE, with what ASE leaves out or does not know."""

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from miad.core.crystal import PARTLY
from miad.core.errors import MiadError

if TYPE_CHECKING:
    from pymatgen.core import Structure

OCCUPANCIES = ("occupancy", "occupancies", "occ", "occu")


def parse_frame(text: str) -> "Structure":
    """The crystal in a frame.

    Raises:
        MiadError: unreadable, not periodic, or partly occupied; the message is a reason as in `miad.io.cif`.
    """
    from ase.io import read
    from ase.io.extxyz import XYZError
    from pymatgen.io.ase import AseAtomsAdaptor

    try:
        atoms: Any = read(io.StringIO(_with_hydrogen(text)), format="extxyz")
        if not all(atoms.pbc):
            raise MiadError("its frame has no Lattice, or is not periodic in three directions")
        if len(atoms) > 1 and not atoms.positions.any():  # ASE takes atoms without positions for atoms at the origin
            raise MiadError("its frame has no positions; give them as Cartesian coordinates, pos:R:3 in Properties")
        # Of a mixed site ASE keeps one element as the atom; the others are only noted here.
        noted = [*atoms.info.items(), *atoms.arrays.items()]
        if not all(_is_full(value) for name, value in noted if str(name).lower() in OCCUPANCIES):
            raise MiadError(PARTLY)
        return AseAtomsAdaptor.get_structure(atoms)
    except (XYZError, ValueError, KeyError, IndexError, TypeError, AttributeError, OSError) as error:
        raise MiadError(f"its frame is unreadable ({type(error).__name__}: {str(error)[:200]})") from error


def _is_full(occupancy: Any) -> bool:
    """Whether an occupancy, a number or numbers by site and element, is 1 throughout."""
    if isinstance(occupancy, Mapping):
        return all(map(_is_full, occupancy.values()))
    if isinstance(occupancy, list | tuple | np.ndarray):
        return all(map(_is_full, occupancy))
    return abs(float(occupancy) - 1) < 1e-6


def _with_hydrogen(text: str) -> str:
    """A frame with H for D and T, which ASE does not know; pymatgen, which reads the other formats, does."""
    head, comment, *rows = text.split("\n")
    before = re.search(r'\bProperties="?(\S*?)species:', comment)  # e.g. pos:R:3: where the positions come first
    column = sum(map(int, before[1].split(":")[2::3])) if before else 0
    split = [row.split() for row in rows]
    _check_columns(comment, max(map(len, split), default=0))
    for fields in split:
        if fields[column : column + 1] in (["D"], ["T"]):
            fields[column] = "H"
    return "\n".join([head, comment, *map(" ".join, split)])


def _check_columns(comment: str, found: int) -> None:
    """Refuse a comment that promises more columns than any row has: ASE makes room for all before it reads a row."""
    from ase.io.extxyz import key_val_str_to_dict

    promised = str(key_val_str_to_dict(comment).get("Properties", "")).split(":")[2::3]
    if (number := sum(max(int(one), 0) for one in promised)) > found:
        raise MiadError(f"its Properties promise {number} columns, but its rows have {found}")
