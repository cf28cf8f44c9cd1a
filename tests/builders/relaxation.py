"""Relaxations short enough for tests: their settings, and crystals of rock salt."""

import numpy as np

from miad.config.sections import Relax
from miad.core.crystal import Crystal

SETTINGS = Relax(
    calculators=["chgnet"],
    fmax=0.1,
    max_steps=100,
    min_distance=0.5,
    max_volume_ratio=4.0,
    time_limit=60.0,
    memory=1.5,
    workers=1,
    device="cpu",
    potentials={},
)


def rocksalt(name: str, edge: float, numbers: tuple[int, int] = (11, 17), apart: float = 0.5) -> Crystal:
    """A primitive cell of rock salt with a cubic edge in Å."""
    lattice = edge / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0.0]])
    return Crystal(name, lattice, np.array([[0, 0, 0], [apart] * 3]), np.array(numbers))
