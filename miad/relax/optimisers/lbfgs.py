"""L-BFGS of the positions at fixed cell, for many crystals at once; step by step that of ASE.

Source: Liu and Nocedal, Mathematical Programming 45, 503 (1989).
"""

import torch
from torch import Tensor

from miad.relax.optimisers.batch import Relaxations

MAX_STEP, MEMORY, CURVATURE = 0.2, 100, 70.0  # ASE's defaults; Å, steps, eV/Å²


class Lbfgs(Relaxations):
    """Relaxations at fixed cell whose moves L-BFGS chooses; see `Relaxations` for the arguments.

    All crystals share the slots of the history; those from before a crystal came hold zeros, which change nothing.
    """

    has_cell = False

    def _fresh_crystals(self, num_crystals: int) -> dict[str, Tensor]:
        return {"rho": self._zeros(num_crystals, self._num_slots)}

    def _fresh_atoms(self, num_atoms: int) -> dict[str, Tensor]:
        return {
            "last_position": self._zeros(num_atoms, 3),
            "last_force": self._zeros(num_atoms, 3),
            "steps": self._zeros(num_atoms, self._num_slots, 3),
            "changes": self._zeros(num_atoms, self._num_slots, 3),
        }

    @property
    def _num_slots(self) -> int:
        return self.crystal["rho"].shape[1] if self.crystal else 0

    def _moves(self, general: Tensor, cell: Tensor, is_moving: Tensor) -> tuple[Tensor, Tensor]:
        self._remember(general)
        atom, rho, owners = self.atom, self.crystal["rho"], self.owners
        direction, shares = general, []
        for slot in reversed(range(self._num_slots)):
            share = rho[:, slot] * self.total((atom["steps"][:, slot] * direction).sum(dim=1))
            direction = direction - share[owners, None] * atom["changes"][:, slot]
            shares.append(share)
        direction = direction / CURVATURE
        for slot in range(self._num_slots):
            back = rho[:, slot] * self.total((atom["changes"][:, slot] * direction).sum(dim=1))
            direction = direction + (shares.pop() - back)[owners, None] * atom["steps"][:, slot]
        longest = self.largest(torch.linalg.vector_norm(direction, dim=1))
        scale = torch.where(longest >= MAX_STEP, MAX_STEP / longest, 1.0)
        return scale[owners, None] * direction, torch.zeros_like(cell)

    def _remember(self, general: Tensor) -> None:
        """Append the last step and the change of the forces that it brought."""
        atom, crystal = self.atom, self.crystal
        has_moved = crystal["num_steps"] > 0
        moved = has_moved[self.owners, None]
        step = torch.where(moved, atom["position"] - atom["last_position"], 0.0)
        change = torch.where(moved, atom["last_force"] - general, 0.0)
        curvature = self.total((step * change).sum(dim=1))
        rho = torch.where(curvature != 0, 1 / curvature, 0.0)
        crystal["rho"] = torch.cat([crystal["rho"], rho[:, None]], dim=1)[:, -MEMORY:]
        atom["steps"] = torch.cat([atom["steps"], step[:, None]], dim=1)[:, -MEMORY:]
        atom["changes"] = torch.cat([atom["changes"], change[:, None]], dim=1)[:, -MEMORY:]
        atom["last_position"], atom["last_force"] = atom["position"], general
