"""Soundness of a crystal, for every step: atoms of real elements, finite numbers, a cell with volume.

`sound` is the gate for crystals that come from outside. They enter at these places, and each asks the gate:

| what enters | where |
| --- | --- |
| samples, known crystals, test crystals in any format, and JSON lines of ours | `miad.io.any_format.read_any` |
| the same files where a step reads them again as references | `miad.sun.step` |
| rows of a data set | `miad.dataset.step` |
| finished DFT runs and entries (`miad replay`), VASP's own results | `miad.dft.comparable.sound` |
| results of a relaxation | `miad.relax.step.in_flight` |

Entries of a hull are no crystals: a formula and an energy. `miad.hull.convex.checked` is their gate, and both share
`finite`, which makes a number of what a file holds.

Also how far a sample came: decoded, relaxed, or failed on the way.
"""

import math
from collections.abc import Container
from typing import Any

import numpy as np

from miad.core.crystal import ELEMENTS, MAX_NUMBER, Crystal

MIN_VOLUME = 0.1  # Å³ per cell; smaller ones are flat. Source: structural validity of CDVAE, arXiv:2110.06197
BEFORE_RELAXATION = ("sample", "read", "dataset")  # steps whose failures mean that there is no crystal
ENERGIES = (-30.0, 15.0)  # eV/atom; VASP's of relaxed crystals lie well within, tungsten at −13 is among the lowest
NOT_FINITE = "a lattice vector or coordinate is not a finite number"
NUMBERS = ("energy_per_atom", "initial_energy_per_atom", "rms_displacement", "volume_change", "e_above_hull")


def sound(crystal: Crystal, step: str) -> Crystal:
    """The crystal itself, or failed at `step` with the reason; without atoms if that is a step of reading.

    Cells, coordinates and elements are looked at, and every number that the crystal carries, such as its energy. One
    that failed before passes as it is.
    """
    if crystal.failure is not None or (reason := fault(crystal) or odd_number(crystal)) is None:
        return crystal
    if step in BEFORE_RELAXATION:
        return unread(crystal.crystal_id, step, reason, crystal.source_id)
    return crystal.failed(step, reason)


def unread(crystal_id: str, step: str, reason: str, source_id: str | None = None) -> Crystal:
    """A crystal that failed at `step` before anything of it was known: it keeps its line, without atoms."""
    empty = Crystal(crystal_id, np.eye(3), np.zeros((0, 3)), np.zeros(0, dtype=int), source_id=source_id)
    return empty.failed(step, reason)


def odd_number(crystal: Crystal) -> str | None:
    """Name and value of a number of a crystal that is none, not finite or huge, as a reason; None if all are sound."""
    for name in NUMBERS:
        value = getattr(crystal, name)
        if value is None:
            continue
        if not isinstance(value, int | float | np.number) or isinstance(value, bool):
            return f"its {name} is {value!r}, no number"
        if not abs(float(value)) <= MAX_NUMBER:
            what = f"above {MAX_NUMBER:g}" if math.isfinite(value) else "no finite number"
            return f"its {name} is {value}, {what}"
    return None


def finite(value: Any) -> float | None:
    """The number that a file holds as number or text; None if it holds none, or NaN or infinity."""
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None


def is_finite(crystal: Crystal) -> bool:
    """Whether all lattice vectors and coordinates are finite numbers."""
    return bool(np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all())


def foreign_elements(crystal: Crystal, known: Container[int] = ELEMENTS) -> list[str]:
    """Symbols of the elements of a crystal that are not among the `known` atomic numbers, e.g. `Rn` or `Z=119`."""
    foreign = [z for z in sorted(set(crystal.atomic_numbers.tolist())) if z not in known]
    if not foreign:
        return []
    from pymatgen.core import Element  # for names only: a GPU is measured where it need not be installed

    return [Element.from_Z(z).symbol if z in ELEMENTS else f"Z={z}" for z in foreign]


def fault(crystal: Crystal, *, min_volume: float = 0.0) -> str | None:
    """Reason why a crystal is not sound, or None if it is.

    Args:
        crystal: without mirage atoms.
        min_volume: Å³ per cell; a cell without any volume is never sound.
    """
    if not crystal.num_atoms:
        return "it has no atoms"
    if not is_finite(crystal):
        return NOT_FINITE
    if max(np.abs(crystal.lattice).max(), np.abs(crystal.frac_coords).max()) > MAX_NUMBER:
        return f"a lattice vector or coordinate is above {MAX_NUMBER:g}"
    if names := foreign_elements(crystal):
        return f"it contains {', '.join(names)}, which is no element"
    volume = crystal.volume
    if volume < min_volume or volume <= 0:
        return f"the cell has a volume of {volume:.3g} Å³"
    return None


def is_decoded(crystal: Crystal) -> bool:
    """Whether there is a crystal at all: nothing failed before the relaxation."""
    is_lost = crystal.failure is not None and crystal.failure.step in BEFORE_RELAXATION
    return not is_lost and crystal.num_atoms > 0


def is_broken(crystal: Crystal) -> bool:
    """Whether a step failed on the crystal itself; that a hull lacks its elements says nothing about it."""
    return crystal.failure is not None and crystal.failure.step != "hull"


def is_relaxed(crystal: Crystal) -> bool:
    """Whether the relaxation gave a crystal and its energy."""
    return is_decoded(crystal) and not is_broken(crystal) and crystal.energy_per_atom is not None
