"""FIRE on cell and positions against ASE's, step by step."""

import ase
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from miad.fire import Relaxation


def distorted() -> ase.Atoms:
    """Copper and gold, strained and rattled."""
    atoms = bulk("Cu", "fcc", a=3.7, cubic=True)
    atoms.set_cell(atoms.cell[:] @ np.array([[1.05, 0.02, 0], [0, 0.97, 0.01], [0.01, 0, 1.04]]), scale_atoms=True)
    atoms.numbers[0] = 79
    atoms.rattle(0.1, seed=1)
    return atoms


def evaluate(lattice: np.ndarray, frac_coords: np.ndarray, numbers: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy, forces and virial of EMT."""
    atoms = ase.Atoms(numbers, cell=lattice, scaled_positions=frac_coords, pbc=True, calculator=EMT())
    return atoms.get_potential_energy(), atoms.get_forces(), -atoms.get_volume() * atoms.get_stress(voigt=False)


@pytest.mark.parametrize("steps", [1, 5, 30])
def test_follows_the_path_of_ase(steps):
    atoms = distorted()
    state = Relaxation(atoms.cell[:], atoms.get_scaled_positions(wrap=False), fmax=1e-9, max_steps=steps)
    while not state.update(*evaluate(state.lattice, state.frac_coords, atoms.numbers)):
        pass
    atoms.calc = EMT()
    FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-9, steps=steps)
    np.testing.assert_allclose(state.lattice, atoms.cell[:], atol=1e-6)
    np.testing.assert_allclose(state.positions, atoms.positions, atol=1e-6)
    assert state.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
    assert state.num_steps == steps and not state.is_converged


def test_stops_where_ase_stops():
    atoms = distorted()
    state = Relaxation(atoms.cell[:], atoms.get_scaled_positions(wrap=False), fmax=0.05, max_steps=500)
    while not state.update(*evaluate(state.lattice, state.frac_coords, atoms.numbers)):
        pass
    atoms.calc = EMT()
    optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
    optimizer.run(fmax=0.05, steps=500)
    assert state.is_converged
    assert state.num_steps == optimizer.nsteps


def test_displacement_ignores_drift_and_strain():
    lattice, coords = np.eye(3) * 4.0, np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]])
    state = Relaxation(lattice, coords, fmax=0.1, max_steps=1)
    state.variables[:2] += [0.3, 0.1, 0]
    state.deformation = np.diag([1.1, 1, 1])
    assert state.rms_displacement == pytest.approx(0)
    state.variables[0, 2] += 0.2
    assert state.rms_displacement == pytest.approx(0.1)
    assert state.volume_ratio == pytest.approx(1.1)


def test_no_force_means_no_step():
    state = Relaxation(np.eye(3), np.zeros((1, 3)), fmax=0.1, max_steps=5)
    assert state.update(-1.0, np.zeros((1, 3)), np.zeros((3, 3)))
    assert state.is_converged and state.num_steps == 0
