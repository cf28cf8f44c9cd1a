"""A compiled test that finds most pairs of cells that StructureMatcher rejects, and none that it accepts.

StructureMatcher accepts two reduced cells if, in some basis of the first with edges and angles like those of the
second, all sites can be paired within a tolerance r after a common shift. All displacements then lie in one ball of
radius r, so that relative to any one pair they are at most 2 r long. Hence the weaker condition tested here: for some
such basis, and some shift that puts a site of the rarest element of the second cell on a like site of the first, each
site of either cell has a like site of the other within 2 r. What passes is left to StructureMatcher.
"""

import math

import numba
import numpy as np

SLACK = 1e-6  # looser than StructureMatcher by more than round-off could be
MAX_VECTORS = 4096  # lattice vectors of the needed length; a pair with more is left to StructureMatcher

Array = np.ndarray
compiled = numba.njit(cache=True)  # compiled once, then read from the cache


def screen(
    first_lattices: np.ndarray,
    first_coords: np.ndarray,
    second_lattices: np.ndarray,
    second_coords: np.ndarray,
    blocks: np.ndarray,
    ltol: float,
    stol: float,
    angle_tol: float,
) -> np.ndarray:
    """Which pairs of reduced cells StructureMatcher might accept; all cells hold the same atoms in the same order.

    Args:
        first_lattices: (n_first, 3, 3) Å, rows are vectors, scaled to one volume per atom of 1 Å³.
        first_coords: (n_first, n_atoms, 3), sites sorted by element.
        second_lattices, second_coords: likewise, n_second cells.
        blocks: (n_elements + 1,) where each element begins among the sites; the rarest element comes first.
        ltol, stol, angle_tol: tolerances of StructureMatcher: fraction, fraction of the free length, degrees.

    Returns:
        (n_first, n_second) booleans; False means that `StructureMatcher.fit(first, second)` is False.
    """
    return _screen(
        first_lattices,
        first_coords,
        second_lattices,
        second_coords,
        blocks,
        ltol + SLACK,
        stol + SLACK,
        angle_tol + SLACK,
    )


@compiled
def _screen(
    lattices: Array,
    coords: Array,
    second_lattices: Array,
    second_coords: Array,
    blocks: Array,
    ltol: float,
    stol: float,
    angle_tol: float,
) -> Array:
    num_first, num_second = len(lattices), len(second_lattices)
    shapes = np.empty((num_second, 6))  # edges, then angles in degrees
    longest = 0.0
    for s in range(num_second):
        _shape(second_lattices[s], shapes[s])
        longest = max(longest, shapes[s, 0], shapes[s, 1], shapes[s, 2])
    vectors, steps, norms = np.empty((MAX_VECTORS, 3)), np.empty((MAX_VECTORS, 3)), np.empty(MAX_VECTORS)
    passed = np.zeros((num_first, num_second), dtype=np.bool_)
    for f in range(num_first):
        total = _lattice_vectors(lattices[f], longest * (1 + ltol), vectors, steps, norms)
        for s in range(num_second):
            passed[f, s] = total > MAX_VECTORS or _might_fit(
                coords[f], second_coords[s], shapes[s], vectors, steps, norms, total, blocks, ltol, stol, angle_tol
            )
    return passed


@compiled
def _might_fit(
    coords: Array,
    second_coords: Array,
    shape: Array,
    vectors: Array,
    steps: Array,
    norms: Array,
    total: int,
    blocks: Array,
    ltol: float,
    stol: float,
    angle_tol: float,
) -> bool:
    """Whether any basis of the first cell that resembles the second cell lets the sites match."""
    moved, metric = np.empty_like(coords), np.empty((3, 3))
    pick = np.empty((3, total), dtype=np.int64)
    found = np.zeros(3, dtype=np.int64)
    for v in range(total):
        for axis in range(3):
            if norms[v] < shape[axis] * (1 + ltol) and norms[v] * (1 + ltol) > shape[axis]:
                pick[axis, found[axis]] = v
                found[axis] += 1
    for i in range(found[0]):
        a = pick[0, i]
        for j in range(found[1]):
            b = pick[1, j]
            gamma = _angle(vectors[a], vectors[b], norms[a], norms[b])
            if abs(gamma - shape[5]) > angle_tol:
                continue
            for k in range(found[2]):
                c = pick[2, k]
                beta = _angle(vectors[a], vectors[c], norms[a], norms[c])
                if abs(beta - shape[4]) > angle_tol:
                    continue
                alpha = _angle(vectors[b], vectors[c], norms[b], norms[c])
                if abs(alpha - shape[3]) > angle_tol or not _into_basis(steps[a], steps[b], steps[c], coords, moved):
                    continue
                _metric(
                    0.5 * (norms[a] + shape[0]),
                    0.5 * (norms[b] + shape[1]),
                    0.5 * (norms[c] + shape[2]),
                    0.5 * (alpha + shape[3]),
                    0.5 * (beta + shape[4]),
                    0.5 * (gamma + shape[5]),
                    metric,
                )
                if _sites_might_fit(moved, second_coords, blocks, metric, stol):
                    return True
    return False


@compiled
def _lattice_vectors(lattice: Array, reach: float, vectors: Array, steps: Array, norms: Array) -> int:
    """Fill in the lattice vectors up to `reach`; returns their number, more than MAX_VECTORS if they do not fit."""
    volume = abs(_triple(lattice[0], lattice[1], lattice[2]))
    most = np.empty(3, dtype=np.int64)
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
def _into_basis(a: Array, b: Array, c: Array, coords: Array, moved: Array) -> bool:
    """Fractional coordinates in the basis whose rows are integers a, b, c; False if it is no basis of the lattice."""
    det = _triple(a, b, c)
    if abs(abs(det) - 1) > 0.5:
        return False
    for n in range(len(coords)):
        # x · inverse, the columns of which are cross products of the rows
        moved[n, 0] = _triple(coords[n], b, c) / det
        moved[n, 1] = _triple(a, coords[n], c) / det
        moved[n, 2] = _triple(a, b, coords[n]) / det
    return True


@compiled
def _sites_might_fit(first: Array, second: Array, blocks: Array, metric: Array, stol: float) -> bool:
    """Whether some shift puts the first site of the second cell on a like site and gives each site a partner."""
    n = len(first)
    det = _triple(metric[0], metric[1], metric[2])
    if det <= 0:
        return True  # a mean of two lattices that is none: nothing can be told
    reach = (2 * stol) ** 2 * (math.sqrt(det) / n) ** (2 / 3)
    bounds = np.empty(3)  # how far two sites within reach can be apart along each axis, in cells
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        bounds[axis] = math.sqrt(reach * (metric[u, u] * metric[v, v] - metric[u, v] ** 2) / det)
    shift, covered = np.empty(3), np.empty(n, dtype=np.bool_)
    for start in range(blocks[1]):
        for axis in range(3):
            shift[axis] = second[0, axis] - first[start, axis]
        covered[:] = False
        if _each_has_a_partner(first, second, blocks, metric, reach, bounds, shift, covered):
            return True
    return False


@compiled
def _each_has_a_partner(
    first: Array,
    second: Array,
    blocks: Array,
    metric: Array,
    reach: float,
    bounds: Array,
    shift: Array,
    covered: Array,
) -> bool:
    """Whether each site of either cell has a like site of the other within reach (squared, Å²)."""
    for block in range(len(blocks) - 1):
        for i in range(blocks[block], blocks[block + 1]):
            has_partner = False
            for j in range(blocks[block], blocks[block + 1]):
                if _is_near(second[i], first[j], shift, metric, reach, bounds):
                    has_partner = True
                    covered[j] = True
            if not has_partner:
                return False
    return bool(covered.all())


@compiled
def _is_near(x: Array, y: Array, shift: Array, metric: Array, reach: float, bounds: Array) -> bool:
    """Whether any periodic image of two sites is within reach; `bounds` tells which images can be."""
    d0, d1, d2 = x[0] - y[0] - shift[0], x[1] - y[1] - shift[1], x[2] - y[2] - shift[2]
    for i in range(math.ceil(-bounds[0] - d0), math.floor(bounds[0] - d0) + 1):
        for j in range(math.ceil(-bounds[1] - d1), math.floor(bounds[1] - d1) + 1):
            for k in range(math.ceil(-bounds[2] - d2), math.floor(bounds[2] - d2) + 1):
                e0, e1, e2 = d0 + i, d1 + j, d2 + k
                square = metric[0, 0] * e0 * e0 + metric[1, 1] * e1 * e1 + metric[2, 2] * e2 * e2
                square += 2 * (metric[0, 1] * e0 * e1 + metric[0, 2] * e0 * e2 + metric[1, 2] * e1 * e2)
                if square <= reach:
                    return True
    return False


@compiled
def _shape(lattice: Array, shape: Array) -> None:
    """Edges and angles (degrees) of a lattice."""
    for axis in range(3):
        shape[axis] = math.sqrt(_dot(lattice[axis], lattice[axis]))
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        shape[3 + axis] = _angle(lattice[u], lattice[v], shape[u], shape[v])


@compiled
def _metric(a: float, b: float, c: float, alpha: float, beta: float, gamma: float, metric: Array) -> None:
    """Dot products of the lattice vectors of a cell with these edges and angles (degrees)."""
    metric[0, 0], metric[1, 1], metric[2, 2] = a * a, b * b, c * c
    metric[1, 2] = metric[2, 1] = b * c * math.cos(math.radians(alpha))
    metric[0, 2] = metric[2, 0] = a * c * math.cos(math.radians(beta))
    metric[0, 1] = metric[1, 0] = a * b * math.cos(math.radians(gamma))


@compiled
def _dot(u: Array, v: Array) -> float:
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@compiled
def _triple(a: Array, b: Array, c: Array) -> float:
    return a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])


@compiled
def _angle(u: Array, v: Array, norm_u: float, norm_v: float) -> float:
    return math.degrees(math.acos(min(1.0, max(-1.0, _dot(u, v) / (norm_u * norm_v)))))
