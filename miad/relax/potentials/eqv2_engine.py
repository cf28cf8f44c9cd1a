"""eqV2 on several crystals at once, by a trainer of fairchem."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from miad.relax.geometry import Geometry
from miad.relax.potentials.engine import Engine


class Eqv2Engine(Engine):
    """Energies, forces and virials by a trainer of fairchem, which finds the neighbours itself."""

    def __init__(self, trainer: Any, device: str) -> None:
        super().__init__(device)
        self.trainer = trainer

    def evaluate(self, geometry: Geometry, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Engine`."""
        batch = Batch.from_data_list([_data(*crystal) for crystal in geometry.arrays(chosen)]).to(self.device)
        found = self.trainer.predict(batch, per_image=False, disable_tqdm=True)
        volumes = torch.linalg.det(geometry.lattices[chosen]).abs()
        virials = -volumes[:, None, None] * found["stress"].double().reshape(-1, 3, 3)  # of stresses in eV/Å³
        return found["energy"].double().reshape(-1), found["forces"].double(), virials


def _data(lattice: np.ndarray, frac_coords: np.ndarray, numbers: np.ndarray) -> Data:
    """A crystal as fairchem takes it."""
    return Data(
        pos=torch.tensor(np.mod(frac_coords, 1.0) @ lattice, dtype=torch.float32),
        cell=torch.tensor(lattice, dtype=torch.float32)[None],
        atomic_numbers=torch.tensor(numbers, dtype=torch.uint8),
        natoms=len(numbers),
        tags=torch.zeros(len(numbers), dtype=torch.int),
        fixed=torch.zeros(len(numbers), dtype=torch.int),
        pbc=torch.ones(1, 3, dtype=torch.bool),
    )
