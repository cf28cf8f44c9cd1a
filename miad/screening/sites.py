"""The verdict in one common basis: can the sites of two cells be paired after a shift?"""

import math

import numpy as np

from miad.screening import NO, OPEN, YES
from miad.screening.assignment import assign
from miad.screening.vectors import Array, compiled, square, triple

NO_PAIRING = -1
SLACK = 1e-6  # relative; more than round-off could be


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
    verdict, any_pairing, any_other = NO, False, False
    shift, squares = np.empty(3), np.empty((n, n))
    for start in range(blocks[block], blocks[block + 1]):
        for axis in range(3):
            shift[axis] = second[anchor, axis] - first[start, axis]
        if not _fill_squares(first, second, blocks, metric, radius, bounds, shift, squares):
            any_other |= _is_tried(first, second, blocks, bounds, shift)
            continue
        here = _of_pairing(first, second, blocks, metric, radius, bounds, shift, squares)
        if here == YES:
            return YES
        if here == NO_PAIRING:
            any_other |= _is_tried(first, second, blocks, bounds, shift)
            continue
        any_pairing = True
        if here == NO and _separation(first, start, blocks[block], blocks[block + 1], metric) <= 3 * radius:
            here = OPEN  # the anchor might pair with another site than the one it was put on
        verdict = max(verdict, here)
    only_one = blocks[block + 1] - blocks[block] == 1
    return OPEN if any_pairing and any_other and not only_one else verdict


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
def _is_tried(first: Array, second: Array, blocks: Array, bounds: Array, shift: Array) -> bool:
    """Whether StructureMatcher looks for a pairing: each site has a like site in a box around it."""
    for block in range(len(blocks) - 1):
        for i in range(blocks[block], blocks[block + 1]):
            has_partner = False
            for j in range(blocks[block], blocks[block + 1]):
                is_near = True
                for axis in range(3):
                    d = first[j, axis] - second[i, axis] + shift[axis]
                    is_near &= abs(d - round(d)) <= bounds[axis]
                has_partner |= is_near
            if not has_partner:
                return False
    return True


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
) -> int:
    """The verdict on the cheapest pairing of like sites within 2 r; NO_PAIRING if there is none."""
    n = len(first)
    partner = np.empty(n, dtype=np.int64)
    is_unique = True
    for block in range(len(blocks) - 1):
        begin, end = blocks[block], blocks[block + 1]
        gap = assign(squares[begin:end, begin:end], 4 * radius * radius, partner[begin:end])
        if gap < 0:
            return NO_PAIRING
        is_unique &= gap > SLACK * radius * radius
        for i in range(begin, end):
            partner[i] += begin
    if not is_unique:
        return OPEN
    steps, mean = np.empty((n, 3)), np.zeros(3)
    total, dearest, cheapest = 0.0, 0.0, 0.0
    for i in range(n):
        least, other = _nearest(second[i], first[partner[i]], shift, metric, radius, bounds, steps[i])
        if other - least <= SLACK * radius * radius:
            return OPEN
        total += least
        nearest = _row_minimum(squares, i, blocks)
        cheapest += nearest
        dearest = max(dearest, nearest)
        for axis in range(3):
            mean[axis] += steps[i, axis] / n
    largest = 0.0
    for i in range(n):
        rest = square(steps[i, 0] - mean[0], steps[i, 1] - mean[1], steps[i, 2] - mean[2], metric)
        largest = max(largest, math.sqrt(max(rest, 0.0)))
    if largest > radius * (1 + SLACK):
        return NO
    # a pairing with some sites beyond 2 r costs at least this
    beyond = 4 * radius * radius + cheapest - dearest
    return YES if largest < radius * (1 - SLACK) and total < beyond * (1 - SLACK) else OPEN


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


@compiled
def _separation(sites: Array, one: int, begin: int, end: int, metric: Array) -> float:
    """Distance (Å) from one site to the nearest other one of its element."""
    least = math.inf
    for j in range(begin, end):
        if j == one:
            continue
        d0, d1, d2 = sites[j, 0] - sites[one, 0], sites[j, 1] - sites[one, 1], sites[j, 2] - sites[one, 2]
        d0, d1, d2 = d0 - round(d0), d1 - round(d1), d2 - round(d2)
        for i in range(-1, 2):
            for k in range(-1, 2):
                for m in range(-1, 2):
                    least = min(least, square(d0 + i, d1 + k, d2 + m, metric))
    return math.sqrt(least)
