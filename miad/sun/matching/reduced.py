"""Reduced cells, primitive and Niggli-reduced, as StructureMatcher compares them; made once and kept on disk."""

import hashlib
import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miad.core.crystal import Crystal
from miad.core.json_text import read_cache, write_cache
from miad.core.sound import fault

if TYPE_CHECKING:
    from pymatgen.core.structure_matcher import StructureMatcher

log = logging.getLogger("miad")

# Longest edge cubed over volume: 1 for a cube, some hundreds for layered crystals. StructureMatcher lists the lattice
# points within the longest edge; beyond this limit they fill the memory.
MAX_ELONGATION = 1e5


@cache
def matcher() -> "StructureMatcher":
    """pymatgen's StructureMatcher with default parameters."""
    from pymatgen.core.structure_matcher import StructureMatcher

    return StructureMatcher()


def reduce(crystal: Crystal) -> Crystal | None:
    """The primitive, Niggli-reduced cell that StructureMatcher compares, sites in its order.

    None for a degenerate one (no volume, a needle, numbers that are not finite), of which StructureMatcher cannot tell
    anything, or not in finite time.
    """
    if fault(crystal):
        return None
    try:
        structure = crystal.structure
        # LLL is quick where Niggli, which lists lattice points as well, is not.
        if max(structure.lattice.get_lll_reduced_lattice().abc) ** 3 > MAX_ELONGATION * crystal.volume:
            return None
        structure = structure.get_reduced_structure("niggli").get_primitive_structure()
    except (ValueError, IndexError, ZeroDivisionError, FloatingPointError, np.linalg.LinAlgError) as error:
        log.info("%s cannot be reduced (%s); it is not compared", crystal.crystal_id, error)
        return None
    return Crystal(
        crystal_id=crystal.crystal_id,
        lattice=np.array(structure.lattice.matrix),
        frac_coords=np.array(structure.frac_coords),
        atomic_numbers=np.array(structure.atomic_numbers, dtype=int),
    )


def content_key(crystal: Crystal) -> str:
    """Digest of all that a reduced cell depends on: the cell, the atoms and pymatgen's version; not the id."""
    from pymatgen.core import __version__

    digest = hashlib.sha256(__version__.encode())
    for array in (crystal.lattice, crystal.frac_coords, crystal.atomic_numbers):
        digest.update(np.ascontiguousarray(array, dtype=float).tobytes())
    return digest.hexdigest()[:32]


def read_reduced(path: Path | None) -> dict[str, Crystal]:
    """Reduced cells by content key; none if there is no such file yet."""
    return read_cache(path, _cell)


def _cell(lattice: list, frac_coords: list, atomic_numbers: list) -> Crystal:
    return Crystal("", np.array(lattice), np.array(frac_coords).reshape(-1, 3), np.array(atomic_numbers, dtype=int))


def write_reduced(path: Path, reduced: dict[str, Crystal]) -> None:
    """Write reduced cells by content key; nothing, where the folder is read-only."""
    arrays = {key: (cell.lattice, cell.frac_coords, cell.atomic_numbers) for key, cell in reduced.items()}
    write_cache(path, {key: [array.tolist() for array in ones] for key, ones in arrays.items()})
