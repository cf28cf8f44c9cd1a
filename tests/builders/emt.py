"""Copper and gold under ASE's EMT, and their relaxation by one of our optimisers."""

import ase
import numpy as np
import torch
from ase.build import bulk
from ase.calculators.emt import EMT

from miad.relax.geometry import geometry_of
from miad.relax.optimisers.batch import Outcome, Relaxations
from miad.relax.potentials.engine import AseEngine


def distorted(seed: int = 1, repeat: int = 1) -> ase.Atoms:
    """Copper and gold, strained and rattled."""
    atoms = bulk("Cu", "fcc", a=3.7, cubic=True) * (repeat, 1, 1)
    atoms.set_cell(atoms.cell[:] @ np.array([[1.05, 0.02, 0], [0, 0.97, 0.01], [0.01, 0, 1.04]]), scale_atoms=True)
    atoms.numbers[0] = 79
    atoms.rattle(0.1, seed=seed)
    return atoms


def relaxed(relaxations: Relaxations, given: list[ase.Atoms]) -> list[Outcome]:
    """The crystals after relaxation with EMT, each left where it is when it is done."""
    engine = AseEngine(EMT(), "cpu")
    relaxations.add(
        geometry_of(
            [atoms.cell[:] for atoms in given],
            [atoms.get_scaled_positions(wrap=False) for atoms in given],
            [atoms.numbers for atoms in given],
            "cpu",
        )
    )
    everything = torch.ones(len(given), dtype=torch.bool)
    while True:
        geometry = relaxations.geometry()
        engine.refresh(geometry)
        if bool(relaxations.update(*engine.evaluate(geometry, everything)).all()):
            return relaxations.outcomes(list(range(len(given))))
