"""fairchem-core 1.x as far as eqV2 needs it: its checkpoints and private parts, checked on version 1.10.0."""

import importlib
import importlib.util
import json
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from miad.core.errors import MiadError
from miad.io.torch_file import read_torch_file
from miad.relax.geometry import Geometry
from miad.relax.potentials.engine import Engine

# The parts that eqV2 is made of; fairchem's own set-up imports every model, also those whose packages are absent.
_MODULES = (
    "common.logger",
    "datasets",
    "trainers.ocp_trainer",
    "models.base",
    "models.equiformer_v2.equiformer_v2",
    "models.equiformer_v2.heads",
    "models.equiformer_v2.trainers.forces_trainer",
)
# Names that a checkpoint may give its parts: those of eqV2. fairchem imports and calls whatever a dotted name says.
_TRAINERS = ("ocp", "forces", "equiformerv2_forces")
_BACKBONES = ("equiformer_v2_backbone",)
_HEADS = (
    "equiformer_v2_energy_head",
    "equiformer_v2_force_head",
    "equiformerV2_scalar_head",
    "equiformerV2_vector_head",
    "rank2_symmetric_head",
)


class Eqv2Engine(Engine):
    """Energies, forces and virials by a trainer of fairchem, which finds the neighbours itself.

    Args:
        path: a checkpoint of fairchem-core 1.x: weights, settings, normalizers and element references.

    Raises:
        MiadError: not such a file, or one that names other parts than those of eqV2.
    """

    def __init__(self, path: Path, device: str) -> None:
        super().__init__(device)
        import_fairchem()
        self.trainer = _at_rest(_trainer(path, read_torch_file(path), device))

    def evaluate(self, geometry: Geometry, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Engine`."""
        from torch_geometric.data import Batch

        crystals = geometry.arrays(chosen)
        batch = Batch.from_data_list([_data(*crystal) for crystal in crystals]).to(self.device)
        found = self.trainer.predict(batch, per_image=False, disable_tqdm=True)
        volumes = torch.tensor([abs(np.linalg.det(lattice)) for lattice, *_ in crystals], device=self.device)
        virials = -volumes[:, None, None] * found["stress"].double().reshape(-1, 3, 3)  # of stresses in eV/Å³
        return found["energy"].double().reshape(-1), found["forces"].double(), virials


def _data(lattice: np.ndarray, frac_coords: np.ndarray, numbers: np.ndarray) -> Any:
    """A crystal as fairchem takes it, a `torch_geometric.data.Data`."""
    from torch_geometric.data import Data

    return Data(
        pos=torch.tensor(np.mod(frac_coords, 1.0) @ lattice, dtype=torch.float32),
        cell=torch.tensor(lattice, dtype=torch.float32)[None],
        atomic_numbers=torch.tensor(numbers, dtype=torch.uint8),
        natoms=len(numbers),
        tags=torch.zeros(len(numbers), dtype=torch.int),
        fixed=torch.zeros(len(numbers), dtype=torch.int),
        pbc=torch.ones(1, 3, dtype=torch.bool),
    )


def _trainer(path: Path, checkpoint: dict, device: str) -> Any:
    """The trainer of fairchem that holds the model of a checkpoint, and of its other settings nothing."""
    from fairchem.core.common.registry import registry

    try:
        settings = _settings(checkpoint["config"])
        trainer = registry.get_trainer_class(settings["trainer"])(
            task=settings["task"],
            model=settings["model"],
            dataset=[{}],
            outputs=settings["outputs"],
            loss_functions=[
                {"energy": {"fn": "mae", "coefficient": 1.0}}
            ],  # without any, fairchem takes it as an old one
            evaluation_metrics={},
            optimizer={},
            identifier="",
            slurm={},
            local_rank=torch.device(device).index or 0,
            is_debug=True,  # no folders, no loggers
            cpu=device == "cpu",
            amp=False,
            inference_only=True,
        )
        # Whatever else it holds may be the path of a file that fairchem would read.
        parts = {key: checkpoint.get(key) or {} for key in ("state_dict", "normalizers", "elementrefs")}
        trainer.load_checkpoint(str(path), parts, inference_only=True)
    except torch.OutOfMemoryError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, AssertionError, RuntimeError) as error:
        said = f"{type(error).__name__}: {str(error)[:200]}"
        raise MiadError(
            f"{path} is not a checkpoint of eqV2 in the layout of fairchem-core 1.x ({said})."
            " Correct relax.potentials.eqv2.checkpoint."
        ) from error
    return trainer


def _settings(config: Any) -> dict[str, Any]:
    """What a checkpoint says of its model, as plain JSON and with no names but those of eqV2's parts.

    Raises:
        ValueError: it names another part, or another checkpoint to start from.
    """
    plain = {key: json.loads(json.dumps(config[key], allow_nan=False)) for key in ("model", "outputs")}
    trainer, model = config.get("trainer", "ocp"), plain["model"]
    model["otf_graph"] = True  # neighbours on the fly
    named = {
        "trainer": (trainer, _TRAINERS),
        "model": (model["name"], ("hydra",)),
        "backbone": (model["backbone"]["model"], _BACKBONES),
        **{f"head {name}": (head["module"], _HEADS) for name, head in model["heads"].items()},
    }
    for part, (name, known) in named.items():
        if name not in known:
            raise ValueError(f"its {part} is {name!r:.60}; of eqV2 it is {' or '.join(known)}")
    if model.get("finetune_config") is not None:
        raise ValueError("its finetune_config names another checkpoint to start from")
    task = {"strict_load": bool((config.get("task") or {}).get("strict_load", True))}
    return {"trainer": trainer, "task": task, **plain}


def _at_rest(trainer: Any) -> Any:
    """The trainer with its averaged weights for good, and rotations that do not depend on chance."""
    if trainer.ema is not None:
        trainer.ema.copy_to()
        trainer.ema = None  # else they are copied at every prediction
    trainer.scaler = None  # single precision
    trainer.model.eval().requires_grad_(False)
    for module in trainer.model.modules():
        if hasattr(module, "_init_edge_rot_mat"):
            module._init_edge_rot_mat = lambda data, edges, vectors: edge_rotations(vectors)
    return trainer


def edge_rotations(vectors: Tensor) -> Tensor:
    """Rotations that turn each edge onto the y axis, (n_edges, 3, 3), for edge vectors (n_edges, 3).

    The angle around the edge is free. fairchem draws it at random at every evaluation, so that energies change
    and depend on the other crystals of the batch; here it follows from the edge alone.
    """
    y = vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    aside = torch.nn.functional.one_hot(y.abs().argmin(dim=1), 3).to(y)
    x = torch.linalg.cross(y, aside)
    x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=1).detach()


def import_fairchem() -> None:
    """Import what eqV2 needs, nothing else."""
    if "torch_scatter" not in sys.modules and importlib.util.find_spec("torch_scatter") is None:
        # A compiled package that fairchem imports without depending on it; torch_geometric can do the same.
        sys.modules["torch_scatter"] = stand_in = ModuleType("torch_scatter")
        vars(stand_in)["scatter"] = _scatter
    try:
        registry = importlib.import_module("fairchem.core.common.registry").registry
        registry.register("imports_setup", True)
        for name in _MODULES:
            importlib.import_module(f"fairchem.core.{name}")
    except ImportError as error:
        raise MiadError(
            f"relax.calculators names eqv2, but fairchem-core 1.x cannot be imported ({error}). Run"
            " envs/install.sh python eqv2; fairchem-core 2 has no eqV2."
        ) from error
    logging.getLogger("fairchem").setLevel(logging.WARNING)


def _scatter(
    src: Tensor, index: Tensor, dim: int = -1, out: None = None, dim_size: int | None = None, reduce: str = "sum"
) -> Tensor:
    """`torch_scatter.scatter` by torch_geometric."""
    from torch_geometric.utils import scatter

    return scatter(src, index, dim=dim % src.dim(), dim_size=dim_size, reduce=reduce)
