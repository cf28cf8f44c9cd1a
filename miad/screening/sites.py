"""The verdict in one common basis: can the sites of two cells be paired after a shift?"""

import math

import numpy as np

from miad.screening import NO, OPEN, YES
from miad.screening.assignment import assign
from miad.screening.vectors import Array, compiled, square, triple

SLACK = 1e-6  # relative; more than round-off could be
MAX_STEPS = 12  # displacements per site that are looked through for another pairing; with more it is taken for possible


@compiled
def verdict_of_sites(first: Array, second: Array, anchor: int, blocks: Array, metric: Array, stol: float) -> int:
    """The verdict in one basis: over all sites of the first cell that the anchor may be put on."""
    n = len(first)
    det = triple(metric[0], metric[1], metric[2])
    if det <= 0:
        return OPEN  # a mean of two lattices that is none
    radius = stol * (math.sqrt(det) / n) ** (1 / 3)
    bounds = np.empty(3)  # how far two sites within 2 r can be apart along each axis, in cells
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        area = metric[u, u] * metric[v, v] - metric[u, v] ** 2
        bounds[axis] = 2 * radius * math.sqrt(area / det) * (1 + SLACK)
    block = 0
    while blocks[block + 1] <= anchor:
        block += 1
    verdict, is_another_possible = NO, False
    shift, squares = np.empty(3), np.empty((n, n))
    for start in range(blocks[block], blocks[block + 1]):
        for axis in range(3):
            shift[axis] = second[anchor, axis] - first[start, axis]
        if _fill_squares(first, second, blocks, metric, radius, bounds, shift, squares):
            here, another = _of_pairing(first, second, blocks, metric, radius, bounds, shift, squares)
            if here == YES:
                return YES
            verdict = max(verdict, here)
            is_another_possible |= another
    # StructureMatcher may come upon a pairing that is not the cheapest here, from another start.
    has_other_starts = blocks[block + 1] - blocks[block] > 1
    return OPEN if is_another_possible and has_other_starts else verdict


@compiled
def _fill_squares(
    first: Array,
    second: Array,
    blocks: Array,
    metric: Array,
    radius: float,
    bounds: Array,
    shift: Array,
    squares: Array,
) -> bool:
    """Squared distances (Å²) of like sites, infinite beyond 2 r; False if a site has no like site within 2 r."""
    step = np.empty(3)
    for block in range(len(blocks) - 1):
        for i in range(blocks[block], blocks[block + 1]):
            has_partner = False
            for j in range(blocks[block], blocks[block + 1]):
                squares[i, j], _ = _nearest(second[i], first[j], shift, metric, radius, bounds, step)
                has_partner |= squares[i, j] < math.inf
            if not has_partner:
                return False
    return True


@compiled
def _nearest(
    x: Array, y: Array, shift: Array, metric: Array, radius: float, bounds: Array, step: Array
) -> tuple[float, float]:
    """Least and second least squared distance of the images of two sites within 2 r; `step` becomes the vector."""
    d0, d1, d2 = y[0] - x[0] + shift[0], y[1] - x[1] + shift[1], y[2] - x[2] + shift[2]
    reach = 4 * radius * radius * (1 + SLACK)
    least, second = math.inf, math.inf
    for i in range(math.ceil(-bounds[0] - d0), math.floor(bounds[0] - d0) + 1):
        for j in range(math.ceil(-bounds[1] - d1), math.floor(bounds[1] - d1) + 1):
            for k in range(math.ceil(-bounds[2] - d2), math.floor(bounds[2] - d2) + 1):
                here = square(d0 + i, d1 + j, d2 + k, metric)
                if here > reach:
                    continue
                if here < least:
                    least, second = here, least
                    step[0], step[1], step[2] = d0 + i, d1 + j, d2 + k
                else:
                    second = min(second, here)
    return least, second


@compiled
def _of_pairing(
    first: Array,
    second: Array,
    blocks: Array,
    metric: Array,
    radius: float,
    bounds: Array,
    shift: Array,
    squares: Array,
) -> tuple[int, bool]:
    """The verdict on the cheapest pairing of like sites within 2 r, and whether any other one could be accepted.

    In an accepted pairing all displacements less their mean are at most r long, and so is the mean, since that of the
    anchor is zero: the pairing costs at most 2 n r².
    """
    n, unit = len(first), radius * radius
    partner = np.empty(n, dtype=np.int64)
    gap = math.inf  # to the next pairing, or to the same one with another periodic image
    for block in range(len(blocks) - 1):
        begin, end = blocks[block], blocks[block + 1]
        gap_here = assign(squares[begin:end, begin:end], 4 * unit, partner[begin:end])
        if gap_here < 0:
            return NO, False
        gap = min(gap, gap_here)
        for i in range(begin, end):
            partner[i] += begin
    steps, mean = np.empty((n, 3)), np.zeros(3)
    total, dearest, cheapest = 0.0, 0.0, 0.0
    for i in range(n):
        least, other = _nearest(second[i], first[partner[i]], shift, metric, radius, bounds, steps[i])
        gap = min(gap, other - least)
        total += least
        nearest = _row_minimum(squares, i, blocks)
        cheapest += nearest
        dearest = max(dearest, nearest)
        for axis in range(3):
            mean[axis] += steps[i, axis] / n
    is_another_possible = total + gap <= 2 * n * unit * (1 + SLACK) and _is_another_consistent(
        first, second, blocks, metric, radius, bounds, shift, steps
    )
    if gap <= SLACK * unit:
        return OPEN, is_another_possible
    largest = 0.0
    for i in range(n):
        rest = square(steps[i, 0] - mean[0], steps[i, 1] - mean[1], steps[i, 2] - mean[2], metric)
        largest = max(largest, math.sqrt(max(rest, 0.0)))
    if largest > radius * (1 + SLACK):
        return NO, is_another_possible
    # a pairing with some sites beyond 2 r costs at least this
    beyond = 4 * unit + cheapest - dearest
    is_certain = largest < radius * (1 - SLACK) and total < beyond * (1 - SLACK)
    return YES if is_certain else OPEN, is_another_possible


@compiled
def _is_another_consistent(
    first: Array,
    second: Array,
    blocks: Array,
    metric: Array,
    radius: float,
    bounds: Array,
    shift: Array,
    steps: Array,
) -> bool:
    """Whether some pairing other than the cheapest, whose displacements are `steps`, could be accepted.

    No two displacements of an accepted pairing differ by more than 2 r. So a displacement is struck out if some other
    site has none left that goes with it, until nothing changes.
    """
    n, reach = len(first), 4 * radius * radius * (1 + SLACK)
    vectors, owner = np.empty((MAX_STEPS * n, 3)), np.empty(MAX_STEPS * n, dtype=np.int64)
    total = _all_steps(first, second, blocks, metric, reach, bounds, shift, vectors, owner)
    if total > len(owner):
        return True
    is_left = np.ones(total, dtype=np.bool_)
    is_changed = True
    while is_changed:
        is_changed = False
        for e in range(total):
            if is_left[e] and not _goes_with_all(e, n, vectors, owner[:total], is_left, metric, reach):
                is_left[e] = False
                is_changed = True
    has_any = np.zeros(n, dtype=np.bool_)
    is_other = False
    for e in range(total):
        if is_left[e]:
            has_any[owner[e]] = True
            for axis in range(3):
                is_other |= abs(vectors[e, axis] - steps[owner[e], axis]) > SLACK
    return is_other and has_any.all()


@compiled
def _all_steps(
    first: Array,
    second: Array,
    blocks: Array,
    metric: Array,
    reach: float,
    bounds: Array,
    shift: Array,
    vectors: Array,
    owner: Array,
) -> int:
    """Fill in all displacements within reach (squared, Å²) and their sites; returns how many, too many if cut short."""
    total = 0
    for block in range(len(blocks) - 1):
        for a in range(blocks[block], blocks[block + 1]):
            for b in range(blocks[block], blocks[block + 1]):
                d0 = first[b, 0] - second[a, 0] + shift[0]
                d1 = first[b, 1] - second[a, 1] + shift[1]
                d2 = first[b, 2] - second[a, 2] + shift[2]
                for i in range(math.ceil(-bounds[0] - d0), math.floor(bounds[0] - d0) + 1):
                    for j in range(math.ceil(-bounds[1] - d1), math.floor(bounds[1] - d1) + 1):
                        for k in range(math.ceil(-bounds[2] - d2), math.floor(bounds[2] - d2) + 1):
                            if square(d0 + i, d1 + j, d2 + k, metric) <= reach:
                                if total == len(owner):
                                    return total + 1
                                vectors[total, 0], vectors[total, 1], vectors[total, 2] = d0 + i, d1 + j, d2 + k
                                owner[total] = a
                                total += 1
    return total


@compiled
def _goes_with_all(e: int, n: int, vectors: Array, owner: Array, is_left: Array, metric: Array, reach: float) -> bool:
    """Whether every site has a displacement left within 2 r of displacement `e`; `owner` ascends."""
    site, is_found = 0, False
    for f in range(len(owner)):
        if owner[f] != site:
            if not is_found:
                return False
            site, is_found = owner[f], False
        if is_left[f] and not is_found:
            x, y, z = vectors[f, 0] - vectors[e, 0], vectors[f, 1] - vectors[e, 1], vectors[f, 2] - vectors[e, 2]
            is_found = (f == e or owner[f] != owner[e]) and square(x, y, z, metric) <= reach
    return is_found and site == n - 1


@compiled
def _row_minimum(squares: Array, row: int, blocks: Array) -> float:
    """Squared distance of a site to the nearest like one."""
    block = 0
    while blocks[block + 1] <= row:
        block += 1
    least = math.inf
    for j in range(blocks[block], blocks[block + 1]):
        least = min(least, squares[row, j])
    return least
