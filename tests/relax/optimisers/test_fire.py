"""FIRE on cell and positions against ASE's, step by step, for one crystal and for several at once."""

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from miad.relax.optimisers.fire import Fire
from tests.builders.emt import distorted, relaxed


@pytest.mark.parametrize("steps", [1, 5, 30])
def test_follows_the_path_of_ase(steps):
    atoms = distorted()
    [state] = relaxed(Fire(fmax=1e-9, max_steps=steps, device="cpu"), [distorted()])
    atoms.calc = EMT()
    FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-9, steps=steps)
    np.testing.assert_allclose(distorted().cell[:] @ state.deformation.T, atoms.cell[:], atol=1e-6)
    np.testing.assert_allclose(state.positions, atoms.positions, atol=1e-6)
    assert state.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
    assert state.num_steps == steps and not state.is_converged


def test_each_of_several_stops_where_ase_stops():
    given = [distorted(seed, repeat) for seed, repeat in ((1, 1), (2, 2), (3, 1))]
    states = relaxed(Fire(fmax=0.05, max_steps=500, device="cpu"), given)
    for atoms, state in zip(given, states, strict=True):
        atoms.calc = EMT()
        optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
        optimizer.run(fmax=0.05, steps=500)
        assert state.is_converged
        assert state.num_steps == optimizer.nsteps
        np.testing.assert_allclose(state.positions, atoms.positions, atol=1e-6)
    assert len({state.num_steps for state in states}) > 1
