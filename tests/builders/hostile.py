"""Crystals of the kinds that have broken relaxers before."""

import numpy as np

from miad.core.crystal import Crystal


def overlapping(random) -> tuple:
    return 6 * np.eye(3), np.array([[0.1, 0.1, 0.1], [0.1, 0.1, 0.13]]), [11, 17]


def tiny_cell(random) -> tuple:
    return 1e-3 * np.eye(3), np.zeros((1, 3)), [29]


def huge_cell(random) -> tuple:
    return 100 * np.eye(3), random.random((int(random.integers(1, 4)), 3)), None


def flat_cell(random) -> tuple:
    lattice = 5 * random.standard_normal((3, 3))
    lattice[2] = lattice[1] + 1e-9
    return lattice, random.random((2, 3)), None


def dense(random) -> tuple:
    spacing = 0.6 + 0.2 * random.random()
    return 5 * spacing * np.eye(3), np.array(list(np.ndindex(5, 5, 5))) / 5, None


def far_away(random) -> tuple:
    return 4.5 * np.eye(3), random.integers(-9, 9, (2, 3)) + np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), [55, 17]


def one_atom(random) -> tuple:
    return 2.6 * np.eye(3) + 0.1 * random.standard_normal((3, 3)), np.zeros((1, 3)), None


def two_hundred_atoms(random) -> tuple:
    coords = np.array(list(np.ndindex(6, 6, 6)))[:200] / 6 + 0.01 * random.standard_normal((200, 3))
    return 18 * np.eye(3), coords, None


def noble_gas(random) -> tuple:
    return 4 * np.eye(3), np.zeros((1, 3)), [int(random.choice([2, 10, 18, 36, 54, 86]))]


def unknown_element(random) -> tuple:
    return 4 * np.eye(3), np.zeros((1, 3)), [int(random.choice([84, 89, 95, 99, 118]))]


def not_numbers(random) -> tuple:
    coords = random.random((2, 3))
    coords[1, 2] = random.choice([np.nan, np.inf])
    return 4 * np.eye(3), coords, None


def left_handed(random) -> tuple:
    return 4.1 * np.eye(3)[[1, 0, 2]], np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), [55, 17]


def no_atoms(random) -> tuple:
    return 4 * np.eye(3), np.zeros((0, 3)), []


# What may become of each kind: a reason, or None where it is sound.
HOSTILE = {
    overlapping: ["atoms closer than 0.5"],
    tiny_cell: ["its cell is flat", "the cell has a volume", "atoms closer"],
    huge_cell: ["no atom has a neighbour within 6 Å", None],
    flat_cell: ["its cell is flat", "the cell has a volume", "atoms closer"],
    dense: ["out of memory"],
    far_away: [None],
    one_atom: [None, "its volume changed", "no atom has a neighbour"],
    two_hundred_atoms: [None],
    noble_gas: [None, "the potential does not know Rn"],
    unknown_element: ["the potential does not know", None],
    not_numbers: ["not a finite number"],
    left_handed: [None],
    no_atoms: ["it has no atoms"],
}


def hostile(count: int, seed: int = 0) -> list[Crystal]:
    """Crystals of the kinds that have broken relaxers before, one after the other; few of 200 atoms, they take long."""
    random = np.random.default_rng(seed)
    kinds, crystals = list(HOSTILE), []
    for index in range(count):
        kind = kinds[index % len(kinds)]
        kind = one_atom if kind is two_hundred_atoms and index > 30 else kind
        lattice, coords, numbers = kind(random)
        numbers = random.integers(1, 84, len(coords)) if numbers is None else numbers
        crystals.append(Crystal(f"{kind.__name__}-{index}", lattice, coords, np.array(numbers, dtype=int)))
    return crystals
