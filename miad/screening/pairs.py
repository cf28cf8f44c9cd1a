"""StructureMatcher's verdict on many pairs of reduced cells, compiled; what rounding could tip over is left open.

StructureMatcher tries every basis of the first cell with edges and angles like those of the second, and every shift
that puts one site of the second, the anchor, on a like site of the first. It pairs like sites with the least sum of
squared displacements, takes out the mean displacement, and accepts if the largest that remains is at most r. The same
is done here. A pair is left OPEN, for StructureMatcher itself to judge, where the outcome is within round-off, where
two pairings or two periodic images cost the same, and where it could come upon a pairing that is not looked at here:
only pairs of sites within 2 r are, because no two displacements of an accepted pairing differ by more than 2 r.
"""

import math

import numpy as np

from miad.screening import NO, OPEN, YES
from miad.screening.sites import SLACK, verdict_of_sites
from miad.screening.vectors import Array, angle, compiled, dot, mean_metric, shape_of, triple

MAX_VECTORS = 4096  # lattice vectors of the needed length; a pair with more is left open


def verdicts(
    first_lattices: np.ndarray,
    first_coords: np.ndarray,
    second_lattices: np.ndarray,
    second_coords: np.ndarray,
    anchors: np.ndarray,
    blocks: np.ndarray,
    ltol: float,
    stol: float,
    angle_tol: float,
) -> np.ndarray:
    """What `StructureMatcher.fit(first, second)` says of pairs of reduced cells of the same atoms.

    Args:
        first_lattices: (n_first, 3, 3), rows are vectors, scaled to 1 Å³ per atom.
        first_coords: (n_first, n_atoms, 3), sites sorted by element.
        second_lattices, second_coords: likewise, n_second cells.
        anchors: (n_second,) the site of each second cell that StructureMatcher shifts onto like sites.
        blocks: (n_elements + 1,) where each element begins among the sites.
        ltol, stol, angle_tol: tolerances of StructureMatcher: fraction, fraction of the free length, degrees.

    Returns:
        (n_first, n_second) of NO, YES and OPEN.
    """
    return _verdicts(
        first_lattices, first_coords, second_lattices, second_coords, anchors, blocks, ltol, stol, angle_tol
    )


@compiled
def _verdicts(
    lattices: Array,
    coords: Array,
    second_lattices: Array,
    second_coords: Array,
    anchors: Array,
    blocks: Array,
    ltol: float,
    stol: float,
    angle_tol: float,
) -> Array:
    num_first, num_second = len(lattices), len(second_lattices)
    shapes = np.empty((num_second, 6))  # edges, then angles in degrees
    longest = 0.0
    for s in range(num_second):
        shape_of(second_lattices[s], shapes[s])
        longest = max(longest, shapes[s, 0], shapes[s, 1], shapes[s, 2])
    vectors, steps, norms = np.empty((MAX_VECTORS, 3)), np.empty((MAX_VECTORS, 3)), np.empty(MAX_VECTORS)
    found = np.full((num_first, num_second), OPEN, dtype=np.int8)
    for f in range(num_first):
        total = _lattice_vectors(lattices[f], longest * (1 + ltol) * (1 + SLACK), vectors, steps, norms)
        for s in range(num_second if total <= MAX_VECTORS else 0):
            found[f, s] = _of_pair(
                coords[f],
                second_coords[s],
                anchors[s],
                shapes[s],
                vectors[:total],
                steps,
                norms,
                blocks,
                ltol,
                stol,
                angle_tol,
            )
    return found


@compiled
def _of_pair(
    coords: Array,
    second_coords: Array,
    anchor: int,
    shape: Array,
    vectors: Array,
    steps: Array,
    norms: Array,
    blocks: Array,
    ltol: float,
    stol: float,
    angle_tol: float,
) -> int:
    """YES if any basis of the first cell that resembles the second cell lets the sites match."""
    moved, metric = np.empty_like(coords), np.empty((3, 3))
    pick, found = _like_edges(norms[: len(vectors)], shape, (1 + ltol) * (1 + SLACK))
    wide = angle_tol * (1 + SLACK)
    verdict = NO
    for i in range(found[0]):
        a = pick[0, i]
        for j in range(found[1]):
            b = pick[1, j]
            gamma = angle(vectors[a], vectors[b], norms[a], norms[b])
            if abs(gamma - shape[5]) > wide:
                continue
            for k in range(found[2]):
                c = pick[2, k]
                beta = angle(vectors[a], vectors[c], norms[a], norms[c])
                if abs(beta - shape[4]) > wide:
                    continue
                alpha = angle(vectors[b], vectors[c], norms[b], norms[c])
                if abs(alpha - shape[3]) > wide or not _into_basis(steps[a], steps[b], steps[c], coords, moved):
                    continue
                edges = (norms[a], norms[b], norms[c])
                angles = (alpha, beta, gamma)
                mean_metric(edges, angles, shape, metric)
                here = verdict_of_sites(moved, second_coords, anchor, blocks, metric, stol)
                if here == YES and not _is_well_within(edges, angles, shape, ltol, angle_tol):
                    here = OPEN
                if here == YES:
                    return YES
                verdict = max(verdict, here)
    return verdict


@compiled
def _like_edges(norms: Array, shape: Array, factor: float) -> tuple[Array, Array]:
    """Numbers of the lattice vectors as long as each edge, (3, most), and how many there are, (3,)."""
    pick, found = np.empty((3, len(norms)), dtype=np.int64), np.zeros(3, dtype=np.int64)
    for v in range(len(norms)):
        for axis in range(3):
            if norms[v] < shape[axis] * factor and norms[v] * factor > shape[axis]:
                pick[axis, found[axis]] = v
                found[axis] += 1
    return pick, found


@compiled
def _is_well_within(
    edges: tuple[float, float, float],
    angles: tuple[float, float, float],
    shape: Array,
    ltol: float,
    angle_tol: float,
) -> bool:
    """Whether a basis is within the tolerances by more than round-off."""
    factor = (1 + ltol) * (1 - SLACK)
    for axis in range(3):
        if not (edges[axis] < shape[axis] * factor and edges[axis] * factor > shape[axis]):
            return False
        if abs(angles[axis] - shape[3 + axis]) > angle_tol * (1 - SLACK):
            return False
    return True


@compiled
def _lattice_vectors(lattice: Array, reach: float, vectors: Array, steps: Array, norms: Array) -> int:
    """Fill in the lattice vectors up to `reach`; returns their number, more than MAX_VECTORS if they do not fit."""
    volume = abs(triple(lattice[0], lattice[1], lattice[2]))
    most = np.empty(3, dtype=np.int64)
    for axis in range(3):
        u, v = lattice[(axis + 1) % 3], lattice[(axis + 2) % 3]
        area = math.sqrt(max(dot(u, u) * dot(v, v) - dot(u, v) ** 2, 0.0))
        most[axis] = int(reach * area / volume + SLACK)
    total = 0
    for x in range(-most[0], most[0] + 1):
        for y in range(-most[1], most[1] + 1):
            for z in range(-most[2], most[2] + 1):
                if total == MAX_VECTORS:
                    return total + 1
                for axis in range(3):
                    vectors[total, axis] = x * lattice[0, axis] + y * lattice[1, axis] + z * lattice[2, axis]
                norms[total] = math.sqrt(dot(vectors[total], vectors[total]))
                if 0 < norms[total] <= reach:
                    steps[total, 0], steps[total, 1], steps[total, 2] = x, y, z
                    total += 1
    return total


@compiled
def _into_basis(a: Array, b: Array, c: Array, coords: Array, moved: Array) -> bool:
    """Fractional coordinates in the basis whose rows are integers a, b, c; False if it is no basis of the lattice."""
    det = triple(a, b, c)
    if abs(abs(det) - 1) > 0.5:
        return False
    for n in range(len(coords)):
        # x · inverse, the columns of which are cross products of the rows
        moved[n, 0] = triple(coords[n], b, c) / det
        moved[n, 1] = triple(a, coords[n], c) / det
        moved[n, 2] = triple(a, b, coords[n]) / det
    return True
