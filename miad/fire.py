"""FIRE for one crystal: cell and positions together, one call per evaluation of the potential.

The arithmetic is that of ASE's `FIRE` on its `FrechetCellFilter`, which CHGNet's `StructOptimizer` uses; written as a
state that is fed with energies and gradients, so that many crystals can share one evaluation of the potential.
"""

import numpy as np
from scipy.linalg import expm

TIME_STEP, TIME_STEP_MAX, MAX_STEP = 0.1, 1.0, 0.2  # ASE's defaults; MAX_STEP in Å
PATIENCE, GROW, SHRINK, MIXING, MIXING_DECAY = 5, 1.1, 0.5, 0.1, 0.99


class Relaxation:
    """The state of one relaxation.

    The variables are those of the filter: the atoms in the undeformed cell, and the logarithm of the deformation
    times the number of atoms.

    Args:
        lattice: (3, 3) Å, rows are vectors.
        frac_coords: (n_atoms, 3).
        fmax: eV/Å, limit of the longest row of the generalised forces (the three cell rows count too).
        max_steps: steps after which the relaxation stops unconverged.

    Source: Bitzek et al., PRL 97, 170201 (2006); ASE's FrechetCellFilter for the cell.
    """

    def __init__(self, lattice: np.ndarray, frac_coords: np.ndarray, *, fmax: float, max_steps: int) -> None:
        self.fmax, self.max_steps = fmax, max_steps
        self.initial_lattice = np.array(lattice, dtype=float)
        self.initial_positions = np.asarray(frac_coords, dtype=float) @ self.initial_lattice
        self.variables = np.vstack([self.initial_positions, np.zeros((3, 3))])  # (n_atoms + 3, 3)
        self.deformation = np.eye(3)
        self.velocity: np.ndarray | None = None
        self.time_step, self.mixing, self.num_downhill = TIME_STEP, MIXING, 0
        self.num_steps = 0
        self.is_converged = False
        self.energy: float | None = None
        self.initial_energy: float | None = None

    @property
    def lattice(self) -> np.ndarray:
        """Current lattice, (3, 3) Å."""
        return self.initial_lattice @ self.deformation.T

    @property
    def positions(self) -> np.ndarray:
        """Current Cartesian positions, (n_atoms, 3) Å, not wrapped."""
        return self.variables[:-3] @ self.deformation.T

    @property
    def frac_coords(self) -> np.ndarray:
        """Current fractional coordinates, (n_atoms, 3), not wrapped."""
        return np.linalg.solve(self.initial_lattice.T, self.variables[:-3].T).T

    @property
    def volume_ratio(self) -> float:
        """Current volume over initial volume."""
        return float(np.linalg.det(self.deformation))

    @property
    def rms_displacement(self) -> float:
        """Å, in the undeformed cell and without the common drift, root mean square over atoms."""
        moved = self.variables[:-3] - self.initial_positions
        moved = moved - moved.mean(axis=0)
        return float(np.sqrt((moved**2).sum(axis=1).mean()))

    def update(self, energy: float, forces: np.ndarray, virial: np.ndarray) -> bool:
        """Take in an evaluation at the current state; step on unless done.

        Args:
            energy: total energy, eV.
            forces: (n_atoms, 3) eV/Å.
            virial: (3, 3) eV, minus the derivative of the energy by strain.

        Returns:
            Whether the relaxation is over, converged or not.
        """
        self.energy = energy
        if self.initial_energy is None:
            self.initial_energy = energy
        general = self._general_forces(forces, virial)
        self.is_converged = bool((general**2).sum(axis=1).max() < self.fmax**2)
        if self.is_converged or self.num_steps >= self.max_steps:
            return True
        self._step(general)
        self.num_steps += 1
        return False

    def _general_forces(self, forces: np.ndarray, virial: np.ndarray) -> np.ndarray:
        symmetric = (virial + virial.T) / 2
        gradient = symmetric @ np.linalg.inv(self.deformation.T)
        num_atoms = len(forces)
        # The adjoint of the derivative of exp at U is that at Uᵀ; its block formula needs one exponential.
        log_deformation = self.variables[-3:] / num_atoms
        block = np.zeros((6, 6))
        block[:3, :3] = block[3:, 3:] = log_deformation.T
        block[:3, 3:] = gradient
        return np.vstack([forces @ self.deformation, expm(block)[:3, 3:] / num_atoms])

    def _step(self, general: np.ndarray) -> None:
        if self.velocity is None:
            self.velocity = np.zeros_like(general)
        else:
            power = np.vdot(general, self.velocity)
            if power > 0:
                speed = np.sqrt(np.vdot(self.velocity, self.velocity) / np.vdot(general, general))
                self.velocity = (1 - self.mixing) * self.velocity + self.mixing * speed * general
                if self.num_downhill > PATIENCE:
                    self.time_step = min(self.time_step * GROW, TIME_STEP_MAX)
                    self.mixing *= MIXING_DECAY
                self.num_downhill += 1
            else:
                self.velocity = np.zeros_like(general)
                self.mixing, self.num_downhill = MIXING, 0
                self.time_step *= SHRINK
        self.velocity = self.velocity + self.time_step * general
        move = self.time_step * self.velocity
        length = np.sqrt(np.vdot(move, move))
        if length > MAX_STEP:
            move *= MAX_STEP / length
        self.variables = self.variables + move
        self.deformation = expm(self.variables[-3:] / (len(self.variables) - 3))
