"""FIRE on cell and positions, for many crystals at once; step by step that of ASE.

Source: Bitzek et al., PRL 97, 170201 (2006).
"""

import torch
from torch import Tensor

from miad.relax.optimisers.batch import Relaxations

TIME_STEP, TIME_STEP_MAX, MAX_STEP = 0.1, 1.0, 0.2  # ASE's defaults; MAX_STEP in Å
PATIENCE, GROW, SHRINK, MIXING, MIXING_DECAY = 5, 1.1, 0.5, 0.1, 0.99


class Fire(Relaxations):
    """Relaxations whose moves FIRE chooses; see `Relaxations` for the arguments."""

    def _fresh_crystals(self, num_crystals: int) -> dict[str, Tensor]:
        return {
            "time_step": self._zeros(num_crystals) + TIME_STEP,
            "mixing": self._zeros(num_crystals) + MIXING,
            "num_downhill": self._zeros(num_crystals).long(),
            "cell_velocity": self._zeros(num_crystals, 3, 3),
        }

    def _fresh_atoms(self, num_atoms: int) -> dict[str, Tensor]:
        return {"velocity": self._zeros(num_atoms, 3)}

    def _moves(self, general: Tensor, cell: Tensor, is_moving: Tensor) -> tuple[Tensor, Tensor]:
        crystal, atom, owners = self.crystal, self.atom, self.owners
        velocity, cell_velocity = atom["velocity"], crystal["cell_velocity"]
        is_downhill = self._dot(general, cell, velocity, cell_velocity) > 0
        force = self._dot(general, cell, general, cell)
        speed = self._dot(velocity, cell_velocity, velocity, cell_velocity)
        kept = torch.where(is_downhill, 1 - crystal["mixing"], 0.0)
        mixed = torch.where(is_downhill & (force > 0), crystal["mixing"] * (speed / force).sqrt(), 0.0)
        self._adapt(is_downhill)
        step = crystal["time_step"]
        along = mixed + step
        velocity = kept[owners, None] * velocity + along[owners, None] * general
        cell_velocity = kept[:, None, None] * cell_velocity + along[:, None, None] * cell
        atom["velocity"], crystal["cell_velocity"] = velocity, cell_velocity
        length = step * self._dot(velocity, cell_velocity, velocity, cell_velocity).sqrt()
        step = torch.where(length > MAX_STEP, step * MAX_STEP / length, step)
        return step[owners, None] * velocity, step[:, None, None] * cell_velocity

    def _adapt(self, is_downhill: Tensor) -> None:
        """Longer steps after a while downhill, shorter ones after a step uphill; the first step is neither."""
        crystal = self.crystal
        is_uphill = ~is_downhill & (crystal["num_steps"] > 0)
        is_steady = is_downhill & (crystal["num_downhill"] > PATIENCE)
        longer = (crystal["time_step"] * GROW).clamp(max=TIME_STEP_MAX)
        step = torch.where(is_steady, longer, crystal["time_step"])
        crystal["time_step"] = torch.where(is_uphill, step * SHRINK, step)
        mixing = torch.where(is_steady, crystal["mixing"] * MIXING_DECAY, crystal["mixing"])
        crystal["mixing"] = torch.where(is_uphill, MIXING, mixing)
        crystal["num_downhill"] = torch.where(is_downhill, crystal["num_downhill"] + 1, 0)

    def _dot(self, first: Tensor, first_cell: Tensor, second: Tensor, second_cell: Tensor) -> Tensor:
        """Scalar product over all variables of a crystal, (n_crystals,)."""
        return self.total((first * second).sum(dim=1)) + (first_cell * second_cell).sum(dim=(1, 2))
