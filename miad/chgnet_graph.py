"""The graph that CHGNet sees: bonds within 6 Å and angles between bonds within 3 Å, for several crystals at once.

CHGNet's own converter makes one Python object per bond. Here everything is an array, and each bond is kept once: the
model's messages along it run both ways.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.optimization.neighbors import find_points_in_spheres

from miad.calculators import Atoms

BOND_CUTOFF, ANGLE_CUTOFF = 6.0, 3.0  # Å, of CHGNet 0.3.0
MAX_ANGLES = 25_000  # in one crystal; each takes 40 kB, and a worker may take 1.5 GB (generated crystals have 3,000)
SAME = 1e-8  # Å, below which a pair is an atom and itself


@dataclass(frozen=True, eq=False)
class Graph:
    """Bonds and angles of a batch of crystals; bonds shorter than 3 Å come first.

    Attributes:
        atomic_numbers: (n_atoms,) of all crystals one after the other.
        owners: (n_atoms,) which crystal an atom belongs to.
        vectors: (n_bonds, 3) Å, from `ends` to `starts`: start minus end.
        starts, ends: (n_bonds,) atoms.
        num_short: how many bonds are shorter than 3 Å; they have an index as seen from their start, b, and another as
            seen from their end, b + num_short.
        corners: (n_angles, 2) pairs of short bonds, as seen from the atom that they share; each pair once.
    """

    atomic_numbers: np.ndarray
    owners: np.ndarray
    vectors: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    num_short: int
    corners: np.ndarray


def build_graph(batch: Sequence[Atoms]) -> Graph:
    """The graph of several crystals.

    Raises:
        ValueError: a crystal has no bond at all.
        MemoryError: a crystal is too dense.
    """
    offsets = np.cumsum([0, *(len(atoms.atomic_numbers) for atoms in batch)])
    parts = [_bonds(atoms, offset) for atoms, offset in zip(batch, offsets[:-1], strict=True)]
    starts, ends, vectors, lengths = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    is_long = lengths >= ANGLE_CUTOFF
    order = np.argsort(is_long, kind="stable")
    num_short = len(lengths) - int(is_long.sum())
    starts, ends = starts[order], ends[order]
    return Graph(
        atomic_numbers=np.concatenate([atoms.atomic_numbers for atoms in batch]),
        owners=np.repeat(np.arange(len(batch)), np.diff(offsets)),
        vectors=vectors[order],
        starts=starts,
        ends=ends,
        num_short=num_short,
        corners=_corners(np.concatenate([starts[:num_short], ends[:num_short]]), int(offsets[-1])),
    )


def _bonds(atoms: Atoms, offset: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    lattice = np.ascontiguousarray(atoms.lattice, dtype=float)
    cart = np.ascontiguousarray(np.mod(atoms.frac_coords, 1.0) @ lattice)
    starts, ends, images, lengths = find_points_in_spheres(
        cart, cart, r=BOND_CUTOFF, pbc=np.ones(3, dtype=np.int64), lattice=lattice, tol=SAME
    )
    # Each bond is listed from both ends; keep the one that comes first in (atom, image).
    first, second, third = images.T
    is_forward = (first > 0) | ((first == 0) & ((second > 0) | ((second == 0) & (third > 0))))
    kept = (starts < ends) | ((starts == ends) & is_forward & (lengths > SAME))
    if not kept.any():
        raise ValueError("no atom has a neighbour within 6 Å")
    starts, ends, images, lengths = starts[kept], ends[kept], images[kept], lengths[kept]
    is_short = lengths < ANGLE_CUTOFF
    num_short = np.bincount(np.concatenate([starts[is_short], ends[is_short]]), minlength=len(cart))
    if (num_short * (num_short - 1)).sum() // 2 > MAX_ANGLES:
        raise MemoryError(f"more than {MAX_ANGLES} angles")
    vectors = cart[starts] - cart[ends] - images @ lattice
    return starts + offset, ends + offset, vectors, lengths


def _corners(atoms: np.ndarray, num_atoms: int) -> np.ndarray:
    """All pairs of entries of `atoms` that are equal, (n_pairs, 2), the smaller index first."""
    order = np.argsort(atoms, kind="stable")
    counts = np.bincount(atoms, minlength=num_atoms)
    ends = np.cumsum(counts)[atoms[order]]  # where the group of each sorted entry ends
    partners = ends - np.arange(len(order)) - 1  # later entries of the same group
    first = np.repeat(np.arange(len(order)), partners)
    within = np.arange(len(first)) - np.repeat(np.cumsum(partners) - partners, partners)
    return np.stack([order[first], order[first + 1 + within]], axis=1)
