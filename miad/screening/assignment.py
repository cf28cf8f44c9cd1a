"""The cheapest one-to-one pairing, and by how much it beats the next one; compiled."""

import math

import numpy as np

from miad.screening.vectors import compiled


@compiled
def assign(costs: np.ndarray, limit: float, partner: np.ndarray) -> float:
    """Pair rows with columns at the least total cost.

    Args:
        costs: (n, n), not negative; infinite where a pair is forbidden.
        limit: no cost that is allowed exceeds it.
        partner: (n,) integers, filled with the column of each row.

    Returns:
        How much dearer the next pairing is, infinity if there is no other; −1 if there is no pairing at all.

    Source: shortest augmenting paths, Jonker and Volgenant, Computing 38, 325 (1987); the next pairing differs by a
    cycle, the cheapest of which Floyd and Warshall find among the reduced costs.
    """
    n = len(costs)
    forbidden = 4 * n * (limit + 1.0)  # dearer than any pairing without it
    rows, columns = np.zeros(n + 1), np.zeros(n + 1)
    owner = np.zeros(n + 1, dtype=np.int64)
    for row in range(1, n + 1):
        _augment(costs, forbidden, rows, columns, owner, row)
    for j in range(1, n + 1):
        partner[owner[j] - 1] = j - 1
        if costs[owner[j] - 1, j - 1] == math.inf:
            return -1.0
    return _cheapest_cycle(costs, rows, columns, partner)


@compiled
def _augment(
    costs: np.ndarray, forbidden: float, rows: np.ndarray, columns: np.ndarray, owner: np.ndarray, row: int
) -> None:
    """Give one more row a column, along the cheapest path; number 0 stands for none."""
    n = len(costs)
    owner[0], column = row, 0
    least, way = np.full(n + 1, math.inf), np.zeros(n + 1, dtype=np.int64)
    used = np.zeros(n + 1, dtype=np.bool_)
    while owner[column] != 0:
        used[column] = True
        step, target = math.inf, 0
        for j in range(1, n + 1):
            if not used[j]:
                cost = min(costs[owner[column] - 1, j - 1], forbidden) - rows[owner[column]] - columns[j]
                if cost < least[j]:
                    least[j], way[j] = cost, column
                if least[j] < step:
                    step, target = least[j], j
        for j in range(n + 1):
            if used[j]:
                rows[owner[j]] += step
                columns[j] -= step
            else:
                least[j] -= step
        column = target
    while column:
        owner[column] = owner[way[column]]
        column = way[column]


@compiled
def _cheapest_cycle(costs: np.ndarray, rows: np.ndarray, columns: np.ndarray, partner: np.ndarray) -> float:
    """The least that any exchange of partners adds to the total cost."""
    n = len(costs)
    path = np.empty((n, n))
    for i in range(n):
        for k in range(n):
            path[i, k] = math.inf if i == k else costs[i, partner[k]] - rows[i + 1] - columns[partner[k] + 1]
    for middle in range(n):
        for i in range(n):
            for k in range(n):
                path[i, k] = min(path[i, k], path[i, middle] + path[middle, k])
    least = math.inf
    for i in range(n):
        least = min(least, path[i, i])
    return max(least, 0.0)
