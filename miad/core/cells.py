"""Unit cells: the same crystal in a compact cell, and the shortest distance in it."""

import itertools

import numpy as np

SKEWED = 0.2  # volume over the product of the edges, below which a cell is reduced; at 60° it is 0.71


def compact(lattice: np.ndarray, frac_coords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same crystal in a Minkowski-reduced cell if its own cell is very skewed.

    A search for neighbours has to look at many more cells in a skewed lattice, though the crystal is the same. Lattice
    (3, 3) in Å and fractional coordinates (n_atoms, 3), given and returned.
    """
    if abs(np.linalg.det(lattice)) > SKEWED * np.prod(np.linalg.norm(lattice, axis=1)):
        return lattice, frac_coords
    return _reduced(lattice, frac_coords)


def closest_distance(lattice: np.ndarray, frac_coords: np.ndarray) -> float:
    """Shortest distance between two atoms of a periodic crystal, images of one atom included, Å."""
    return min(closest_distances(lattice, frac_coords))


def closest_distances(lattice: np.ndarray, frac_coords: np.ndarray) -> tuple[float, float]:
    """Shortest distance between two different atoms of a periodic crystal, and from an atom to its own images, Å.

    The first is infinite for a lone atom.
    """
    reduced, frac = _reduced(lattice, frac_coords)
    frac = frac - np.floor(frac)
    # In a Minkowski-reduced cell the closest image of a point of the cell lies within one cell on each side.
    images = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ reduced  # (27, 3)
    own = np.linalg.norm(images[np.any(images != 0, axis=1)], axis=1).min()
    between = np.inf
    cart = frac @ reduced
    for index in range(len(cart) - 1):
        apart = cart[index + 1 :, None] - cart[index] + images  # (n_atoms - index - 1, 27, 3)
        between = min(between, np.linalg.norm(apart, axis=-1).min())
    return float(between), float(own)


def _reduced(lattice: np.ndarray, frac_coords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from ase.geometry import minkowski_reduce

    reduced, _ = minkowski_reduce(lattice)
    return reduced, np.asarray(frac_coords) @ lattice @ np.linalg.inv(reduced)
