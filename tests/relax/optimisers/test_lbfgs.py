"""L-BFGS at fixed cell against ASE's, also for crystals that come later."""

import numpy as np
import pytest
import torch
from ase.calculators.emt import EMT
from ase.optimize import LBFGS

from miad.relax.optimisers.lbfgs import Lbfgs
from tests.builders.emt import distorted, relaxed


@pytest.mark.parametrize("fmax", [0.3, 0.02])
def test_each_of_several_follows_the_path_of_ase(fmax):
    given = [distorted(seed, repeat) for seed, repeat in ((1, 1), (2, 2), (3, 1))]
    states = relaxed(Lbfgs(fmax=fmax, max_steps=100, device="cpu"), given)
    for atoms, state in zip(given, states, strict=True):
        atoms.calc = EMT()
        optimizer = LBFGS(atoms, logfile=None)
        optimizer.run(fmax=fmax, steps=100)
        assert state.num_steps == optimizer.nsteps > 0
        np.testing.assert_allclose(state.positions, atoms.positions, atol=1e-6)
        np.testing.assert_array_equal(state.deformation, np.eye(3))


def test_a_crystal_that_comes_later_has_no_past():
    alone, late = Lbfgs(fmax=0.05, max_steps=100, device="cpu"), Lbfgs(fmax=0.05, max_steps=100, device="cpu")
    [expected] = relaxed(alone, [distorted(5)])
    relaxed(late, [distorted(1)])
    late.select(torch.tensor([False]))
    assert len(late) == 0
    [found] = relaxed(late, [distorted(5)])
    assert found.num_steps == expected.num_steps
    np.testing.assert_allclose(found.positions, expected.positions, atol=1e-12)
