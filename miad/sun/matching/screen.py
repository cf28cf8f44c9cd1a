"""Compiled test that rules out pairs of reduced cells which StructureMatcher cannot match; what is left it compares.

StructureMatcher tries every basis of the first cell with edges and angles like those of the second, and every shift
that puts one site of the second, the anchor, on a like site of the first. It pairs like sites, takes out the mean
displacement, and accepts if none that remains is longer than r = stol · (volume / number of atoms)^⅓. So in an
accepted pairing no two displacements differ by more than 2 r. The test looks for such a pairing: a basis, a like site
for the anchor, and for every site a displacement within 2 r of some displacement of every other site. A pairing in
which the anchor itself moves is found from the site that it moves to.
"""

import math
from collections.abc import Callable

import numba
import numpy as np

Array = np.ndarray

SLACK = 1e-6  # relative, added to every limit; more than round-off could be
MAX_VECTORS = 4096  # lattice vectors of the needed length; a cell with more is not ruled out
MAX_STEPS = 12  # displacements per site, on average, that are looked through; with more a pair is not ruled out


def compiled(function: Callable) -> Callable:
    """Compile a function; kept on disk, since compiling takes seconds.

    numba's cache notices changes of this file only: nothing compiled may come from another module.
    """
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written to
        return numba.njit(function)


@compiled
def could_match(
    lattices: Array,
    coords: Array,
    second_lattices: Array,
    second_coords: Array,
    anchors: Array,
    blocks: Array,
    limits: tuple[float, float, float],
) -> Array:
    """Whether `StructureMatcher.fit` of a first and a second cell could be true; see `comparisons.Screen`.

    Args:
        lattices, coords: first cells, (n_first, 3, 3) and (n_first, n_atoms, 3).
        second_lattices, second_coords, anchors: second cells; (n_second,) of sites that are shifted.
        blocks: (n_elements + 1,) where each element begins among the sites.
        limits: ltol, stol and angle_tol (degrees) of StructureMatcher.

    Returns:
        (n_first, n_second); where it is false, StructureMatcher says no.
    """
    shapes = np.empty((len(second_lattices), 6))
    for second in range(len(second_lattices)):
        _fill_shape(second_lattices[second], shapes[second])
    found = np.ones((len(lattices), len(second_lattices)), dtype=np.bool_)
    vectors, steps, norms = np.empty((MAX_VECTORS, 3)), np.empty((MAX_VECTORS, 3)), np.empty(MAX_VECTORS)
    for first in range(len(lattices)):
        longest = shapes[:, :3].max() * (1 + limits[0]) * (1 + SLACK)
        total = _lattice_vectors(lattices[first], longest, vectors, steps, norms)
        if total > MAX_VECTORS:
            continue
        for second in range(len(second_lattices)):
            found[first, second] = _has_pairing(
                coords[first],
                second_coords[second],
                anchors[second],
                blocks,
                shapes[second],
                (vectors[:total], steps[:total], norms[:total]),
                limits,
            )
    return found


@compiled
def _has_pairing(
    coords: Array,
    second_coords: Array,
    anchor: int,
    blocks: Array,
    shape: Array,
    known: tuple[Array, Array, Array],
    limits: tuple[float, float, float],
) -> bool:
    """Whether in any basis of the first cell that resembles the second cell the sites could be paired."""
    vectors, steps, norms = known
    moved, metric = np.empty_like(coords), np.empty((3, 3))
    pick, found = _like_edges(norms, shape, (1 + limits[0]) * (1 + SLACK))
    tolerance = limits[2] * (1 + SLACK)
    for a in pick[0, : found[0]]:
        for b in pick[1, : found[1]]:
            gamma = _angle(vectors[a], vectors[b])
            if abs(gamma - shape[5]) > tolerance:
                continue
            for c in pick[2, : found[2]]:
                alpha, beta = _angle(vectors[b], vectors[c]), _angle(vectors[a], vectors[c])
                if abs(alpha - shape[3]) > tolerance or abs(beta - shape[4]) > tolerance:
                    continue
                if not _into_basis(steps[a], steps[b], steps[c], coords, moved):
                    continue
                _fill_mean_metric(np.array([norms[a], norms[b], norms[c], alpha, beta, gamma]), shape, metric)
                if _has_pairing_in_basis(moved, second_coords, anchor, blocks, metric, limits[1]):
                    return True
    return False


@compiled
def _has_pairing_in_basis(first: Array, second: Array, anchor: int, blocks: Array, metric: Array, stol: float) -> bool:
    """Whether from any like site for the anchor every site has a displacement consistent with all others."""
    n, det = len(first), _triple(metric[0], metric[1], metric[2])
    if det <= 0:
        return True  # the mean of two lattices is none
    reach = 2 * stol * (math.sqrt(det) / n) ** (1 / 3) * (1 + SLACK)
    bounds = np.empty(3)  # how far two sites within reach can be apart along each axis, in cells
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        bounds[axis] = reach * math.sqrt((metric[u, u] * metric[v, v] - metric[u, v] ** 2) / det) + SLACK
    moves, owner = np.empty((MAX_STEPS * n, 3)), np.empty(MAX_STEPS * n, dtype=np.int64)
    block = np.searchsorted(blocks, anchor, side="right") - 1
    for start in range(blocks[block], blocks[block + 1]):
        shift = second[anchor] - first[start]
        total = _displacements(first, second, anchor, blocks, metric, reach, bounds, shift, moves, owner)
        if total > len(owner) or _is_consistent(moves[:total], owner[:total], n, metric, reach):
            return True
    return False


@compiled
def _displacements(
    first: Array,
    second: Array,
    anchor: int,
    blocks: Array,
    metric: Array,
    reach: float,
    bounds: Array,
    shift: Array,
    moves: Array,
    owner: Array,
) -> int:
    """Fill in all displacements (in cells) of sites to like sites within reach (Å), and the site of each.

    Returns their number; 0 if some site has none, more than there is room for if they do not fit.
    """
    total = 0
    for block in range(len(blocks) - 1):
        for site in range(blocks[block], blocks[block + 1]):
            before = total
            for partner in range(blocks[block], blocks[block + 1]):
                x = first[partner, 0] - second[site, 0] + shift[0]
                y = first[partner, 1] - second[site, 1] + shift[1]
                z = first[partner, 2] - second[site, 2] + shift[2]
                for i in range(math.ceil(-bounds[0] - x), math.floor(bounds[0] - x) + 1):
                    for j in range(math.ceil(-bounds[1] - y), math.floor(bounds[1] - y) + 1):
                        for k in range(math.ceil(-bounds[2] - z), math.floor(bounds[2] - z) + 1):
                            length = _length(x + i, y + j, z + k, metric)
                            # the anchor stays where the shift has put it
                            if length > (SLACK if site == anchor else reach):
                                continue
                            if total == len(owner):
                                return total + 1
                            moves[total, 0], moves[total, 1], moves[total, 2] = x + i, y + j, z + k
                            owner[total] = site
                            total += 1
            if total == before:
                return 0
    return total


@compiled
def _is_consistent(moves: Array, owner: Array, n: int, metric: Array, reach: float) -> bool:
    """Whether displacements remain after removing, until none is left to remove, those that some site cannot match."""
    is_left = np.ones(len(owner), dtype=np.bool_)
    is_changed = True
    while is_changed:
        is_changed = False
        for one in range(len(owner)):
            if is_left[one] and not _goes_with_all(one, moves, owner, is_left, n, metric, reach):
                is_left[one], is_changed = False, True
    return bool(is_left.any())


@compiled
def _goes_with_all(one: int, moves: Array, owner: Array, is_left: Array, n: int, metric: Array, reach: float) -> bool:
    """Whether every site has a displacement left within reach of this one; `owner` ascends."""
    num_sites, last = 0, -1
    for other in range(len(owner)):
        if is_left[other] and owner[other] != last and (other == one or owner[other] != owner[one]):
            x, y, z = moves[other, 0] - moves[one, 0], moves[other, 1] - moves[one, 1], moves[other, 2] - moves[one, 2]
            if _length(x, y, z, metric) <= reach:
                num_sites, last = num_sites + 1, owner[other]
    return num_sites == n


@compiled
def _lattice_vectors(lattice: Array, reach: float, vectors: Array, steps: Array, norms: Array) -> int:
    """Fill in the lattice vectors up to `reach`, Å; returns their number, more than MAX_VECTORS if they do not fit."""
    most, volume = np.empty(3, dtype=np.int64), abs(_triple(lattice[0], lattice[1], lattice[2]))
    for axis in range(3):
        u, v = lattice[(axis + 1) % 3], lattice[(axis + 2) % 3]
        area = math.sqrt(max(_dot(u, u) * _dot(v, v) - _dot(u, v) ** 2, 0.0))
        most[axis] = int(reach * area / volume + SLACK)
    total = 0
    for x in range(-most[0], most[0] + 1):
        for y in range(-most[1], most[1] + 1):
            for z in range(-most[2], most[2] + 1):
                if total == MAX_VECTORS:
                    return total + 1
                for axis in range(3):
                    vectors[total, axis] = x * lattice[0, axis] + y * lattice[1, axis] + z * lattice[2, axis]
                norms[total] = math.sqrt(_dot(vectors[total], vectors[total]))
                if 0 < norms[total] <= reach:
                    steps[total, 0], steps[total, 1], steps[total, 2] = x, y, z
                    total += 1
    return total


@compiled
def _like_edges(norms: Array, shape: Array, factor: float) -> tuple[Array, Array]:
    """Numbers of the lattice vectors as long as each edge, (3, most), and how many there are, (3,)."""
    pick, found = np.empty((3, len(norms)), dtype=np.int64), np.zeros(3, dtype=np.int64)
    for number in range(len(norms)):
        for axis in range(3):
            if norms[number] < shape[axis] * factor and norms[number] * factor > shape[axis]:
                pick[axis, found[axis]] = number
                found[axis] += 1
    return pick, found


@compiled
def _into_basis(a: Array, b: Array, c: Array, coords: Array, moved: Array) -> bool:
    """Fractional coordinates in the basis whose rows are integers a, b, c; False if it is no basis of the lattice."""
    det = _triple(a, b, c)
    if abs(abs(det) - 1) > 0.5:
        return False
    for site in range(len(coords)):
        # x · inverse, the columns of which are cross products of the rows
        moved[site, 0] = _triple(coords[site], b, c) / det
        moved[site, 1] = _triple(a, coords[site], c) / det
        moved[site, 2] = _triple(a, b, coords[site]) / det
    return True


@compiled
def _fill_shape(lattice: Array, shape: Array) -> None:
    """Edges and angles (degrees) of a lattice."""
    for axis in range(3):
        shape[axis] = math.sqrt(_dot(lattice[axis], lattice[axis]))
        shape[3 + axis] = _angle(lattice[(axis + 1) % 3], lattice[(axis + 2) % 3])


@compiled
def _fill_mean_metric(one: Array, other: Array, metric: Array) -> None:
    """Dot products of the vectors of the lattice whose edges and angles are the means of two others', (6,) each."""
    mean = 0.5 * (one + other)
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        metric[axis, axis] = mean[axis] ** 2
        metric[u, v] = metric[v, u] = mean[u] * mean[v] * math.cos(math.radians(mean[3 + axis]))


@compiled
def _dot(u: Array, v: Array) -> float:
    """Dot product of two vectors, (3,) each."""
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@compiled
def _triple(a: Array, b: Array, c: Array) -> float:
    """Determinant of the matrix with these rows, (3,) each."""
    return a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])


@compiled
def _angle(u: Array, v: Array) -> float:
    """Angle of two vectors, degrees."""
    cosine = _dot(u, v) / math.sqrt(_dot(u, u) * _dot(v, v))
    return math.degrees(math.acos(min(1.0, max(-1.0, cosine))))


@compiled
def _length(x: float, y: float, z: float, metric: Array) -> float:
    """Length (Å) of a vector given in cells."""
    square = metric[0, 0] * x * x + metric[1, 1] * y * y + metric[2, 2] * z * z
    square += 2 * (metric[0, 1] * x * y + metric[0, 2] * x * z + metric[1, 2] * y * z)
    return math.sqrt(max(square, 0.0))
