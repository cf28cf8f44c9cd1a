"""The variables of a relaxation and what is kept of it."""

import numpy as np
import pytest
import torch

from miad.relax.geometry import geometry_of
from miad.relax.optimisers.fire import Fire


def two(fmax: float = 0.1) -> Fire:
    """Two crystals of two and one atoms."""
    relaxations = Fire(fmax=fmax, max_steps=5, device="cpu")
    coords = [np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]), np.zeros((1, 3))]
    relaxations.add(geometry_of([np.eye(3) * 4, np.eye(3)], coords, [np.array([11, 17]), np.array([29])], "cpu"))
    return relaxations


def test_displacement_ignores_drift_and_strain():
    state = two()
    state.atom["position"][:2] += torch.tensor([0.3, 0.1, 0])
    state.crystal["deformation"][0] = torch.diag(torch.tensor([1.1, 1, 1]).double())
    assert state.outcomes([0])[0].rms_displacement == pytest.approx(0)
    state.atom["position"][0, 2] += 0.2
    assert state.outcomes([0])[0].rms_displacement == pytest.approx(0.1)
    assert state.outcomes([0])[0].volume_ratio == pytest.approx(1.1)
    assert state.outcomes([1])[0].volume_ratio == pytest.approx(1.0)


def test_no_force_means_no_step():
    state = two()
    assert state.update(torch.zeros(2).double(), torch.zeros(3, 3).double(), torch.zeros(2, 3, 3).double()).all()
    assert all(outcome.is_converged and outcome.num_steps == 0 for outcome in state.outcomes([0, 1]))


def test_what_is_not_a_number_stops_its_own_crystal_only():
    state = two()
    forces = torch.ones(3, 3).double()
    forces[2, 1] = torch.nan
    is_over = state.update(torch.zeros(2).double(), forces, torch.zeros(2, 3, 3).double())
    assert is_over.tolist() == [False, True]
    assert state.crystal["is_finite"].tolist() == [True, False]
    first, second = state.outcomes([0, 1])
    assert first.num_steps == 1 and second.num_steps == 0
    assert np.isfinite(first.positions).all() and np.isfinite(second.positions).all()


def test_selection_and_addition_keep_states_apart():
    state = two()
    state.update(torch.tensor([1.0, 2.0]).double(), torch.ones(3, 3).double(), torch.zeros(2, 3, 3).double())
    before = state.outcomes([1])[0]
    state.select(torch.tensor([False, True]))
    state.add(geometry_of([np.eye(3) * 3], [np.zeros((1, 3))], [np.array([3])], "cpu"))
    kept, fresh = state.outcomes([0, 1])
    np.testing.assert_array_equal(kept.positions, before.positions)
    assert (kept.num_steps, kept.energy, fresh.num_steps) == (1, 2.0, 0)
    assert state.geometry().owners.tolist() == [0, 1]
