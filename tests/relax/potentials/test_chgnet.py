"""CHGNet in batches: its numbers against CHGNet's own calculator and against calculus."""

import numpy as np
import pytest

from miad.relax.potentials.chgnet import Chgnet
from miad.relax.potentials.engine import AseEngine
from tests.builders.potentials import Atoms, single_points


def rattled(seed: int, numbers: list[int], edge: float) -> Atoms:
    """A rattled crystal with a skewed cell."""
    random = np.random.default_rng(seed)
    lattice = edge * (np.eye(3) + 0.15 * random.standard_normal((3, 3)))
    grid = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5]])[: len(numbers)]
    return Atoms(lattice, grid + 0.05 * random.standard_normal(grid.shape), np.array(numbers))


CRYSTALS = [
    rattled(0, [38, 22, 8, 8, 8], 4.4),
    rattled(1, [11, 17], 4.0),
    rattled(2, [29], 2.6),
    rattled(3, [14, 14, 6], 4.5),
    Atoms(np.eye(3) * 5.5, np.zeros((1, 3)), np.array([55])),  # bonds, but none short enough for angles
]


@pytest.fixture(scope="module")
def evaluate():
    """Our CHGNet."""
    import torch

    torch.set_num_threads(1)
    engine = Chgnet().engine("cpu", 1e9)
    return lambda crystals: single_points(engine, crystals)


def test_agrees_with_chgnets_own_calculator(evaluate):
    theirs = single_points(AseEngine(Chgnet().ase_calculator("cpu"), "cpu"), CRYSTALS)
    for crystal, our, their in zip(CRYSTALS, evaluate(CRYSTALS), theirs, strict=True):
        assert our.energy == pytest.approx(their.energy, abs=2e-5 * len(crystal.atomic_numbers))
        np.testing.assert_allclose(our.forces, their.forces, atol=5e-4)
        np.testing.assert_allclose((our.virial + our.virial.T) / 2, their.virial, atol=2e-3)


def test_batch_and_single_agree(evaluate):
    for crystal, together in zip(CRYSTALS, evaluate(CRYSTALS), strict=True):
        [alone] = evaluate([crystal])
        assert alone.energy == pytest.approx(together.energy, abs=2e-5)
        np.testing.assert_allclose(alone.forces, together.forces, atol=2e-4)


def test_forces_are_minus_the_gradient(evaluate):
    crystal, step = CRYSTALS[0], 2e-3
    [here] = evaluate([crystal])
    for atom, axis in ((0, 0), (1, 2), (3, 1)):
        energies = []
        for sign in (-1, 1):
            moved = crystal.frac_coords.copy() @ crystal.lattice
            moved[atom, axis] += sign * step
            shifted = Atoms(crystal.lattice, moved @ np.linalg.inv(crystal.lattice), crystal.atomic_numbers)
            energies.append(evaluate([shifted])[0].energy)
        assert here.forces[atom, axis] == pytest.approx((energies[0] - energies[1]) / (2 * step), abs=0.02)


def test_virial_is_minus_the_gradient_by_strain(evaluate):
    crystal, step = CRYSTALS[0], 1e-3
    [here] = evaluate([crystal])
    for row, column in ((0, 0), (1, 2)):
        energies = []
        for sign in (-1, 1):
            strain = np.eye(3)
            strain[row, column] += sign * step
            strained = Atoms(crystal.lattice @ strain, crystal.frac_coords, crystal.atomic_numbers)
            energies.append(evaluate([strained])[0].energy)
        assert here.virial[row, column] == pytest.approx((energies[0] - energies[1]) / (2 * step), abs=0.05)


def test_left_handed_cell_and_other_images_change_nothing(evaluate):
    crystal = CRYSTALS[0]
    [here] = evaluate([crystal])
    mirrored = Atoms(crystal.lattice[[1, 0, 2]], crystal.frac_coords[:, [1, 0, 2]] + [3, -2, 1], crystal.atomic_numbers)
    [there] = evaluate([mirrored])
    assert there.energy == pytest.approx(here.energy, abs=2e-5)
    np.testing.assert_allclose(there.forces, here.forces, atol=2e-4)
    np.testing.assert_allclose(there.virial, here.virial, atol=2e-3)


def test_lonely_atom_is_refused(evaluate):
    with pytest.raises(ValueError, match="neighbour"):
        evaluate([Atoms(np.eye(3) * 50, np.zeros((1, 3)), np.array([11]))])


def test_too_dense_a_crystal_is_refused_before_it_fills_the_memory(evaluate):
    with pytest.raises(ValueError, match="out of memory"):
        evaluate([Atoms(np.eye(3) * 0.5, np.zeros((1, 3)), np.array([1]))])
