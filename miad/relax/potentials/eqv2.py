"""eqV2 of OMat24 through fairchem-core 1.x, many crystals in one evaluation.

Source: Barroso-Luque et al., arXiv:2410.12771.
"""

import importlib
import logging
import pickle  # for the name of its error only
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from miad.config.sections import Relax
from miad.core.errors import MiadError
from miad.core.files import verify
from miad.relax.potentials.register import Atoms, Evaluation, Evaluator, Potential, weights_label

if TYPE_CHECKING:
    import torch
    from torch_geometric.data import Batch

    from miad.relax.optimisers.batch import Relaxations

KEY = "relax.potentials.eqv2"
# What `eqV2` needs of fairchem; its own set-up imports every model it has, some of which need packages that are absent.
_MODULES = (
    "common.logger",
    "datasets",
    "trainers.ocp_trainer",
    "models.base",
    "models.equiformer_v2.equiformer_v2",
    "models.equiformer_v2.heads",
    "models.equiformer_v2.trainers.forces_trainer",
)


class Eqv2(Potential):
    """eqV2, trained on uncorrected PBE(+U) energies.

    Args:
        checkpoint: path of the weights.
        checksum: of the weights, `sha256:…`; needed only if they hold more than tensors and plain settings.
        mode: `relaxed`, cell and positions, energies MP2020-corrected; `as_paper`, fixed cell and nothing corrected.
    """

    native_frame = "uncorrected"
    is_batched = True
    reach = 12.0
    elements = frozenset(range(1, 95)) - {84, 85, 86, 87, 88}  # the 89 of OMat24 and of its fine-tuning sets

    def __init__(self, checkpoint: str | None = None, checksum: str | None = None, mode: str = "relaxed") -> None:
        if mode not in ("relaxed", "as_paper"):
            raise MiadError(f"{KEY}.mode is '{mode}'; use relaxed or as_paper.")
        self.checkpoint = Path(checkpoint) if checkpoint else None
        self.checksum, self.mode = checksum, mode

    @property
    def energy_frame(self) -> str:
        """The paper compares uncorrected energies; that is what `as_paper` means."""
        return "uncorrected" if self.mode == "as_paper" else "mp2020"

    @property
    def label(self) -> str:
        """Name, version and checksum of the weights."""
        [path] = self.files()
        return weights_label(path.stem, "fairchem-core", path)

    def files(self) -> list[Path]:
        """The weights.

        Raises:
            MiadError: they are absent, or not those of the checksum.
        """
        if self.checkpoint is None or not self.checkpoint.is_file():
            found = f"{self.checkpoint} does not exist" if self.checkpoint else "there is no path of its weights"
            raise MiadError(
                f"relax.calculators names eqv2, but {found}. The weights are gated: ask for access on the page"
                " facebook/OMAT24 of the Hugging Face Hub, download eqV2_153M_omat_mp_salex.pt there (or one of 86M"
                f" or 31M), and set {KEY}.checkpoint in config.yaml to its path."
            )
        if self.checksum:
            verify(self.checkpoint, self.checksum, remedy=f"Download it again, or correct {KEY}.checksum.")
        return [self.checkpoint]

    def evaluator(self, device: str) -> Evaluator:
        """A function that evaluates crystals together."""
        [path] = self.files()
        return _Evaluator(load_trainer(path, device, is_trusted=self.checksum is not None), device)

    def relaxations(self, settings: Relax, device: str) -> "Relaxations":
        """L-BFGS at fixed cell as in the paper, or FIRE of cell and positions."""
        from miad.relax.optimisers.lbfgs import Lbfgs

        if self.mode == "relaxed":
            return super().relaxations(settings, device)
        return Lbfgs(fmax=settings.fmax, max_steps=settings.max_steps, device=device)


class _Evaluator:
    """Energies, forces and virials by a trainer of fairchem."""

    def __init__(self, trainer: Any, device: str) -> None:
        self.trainer, self.device = trainer, device

    def __call__(self, crystals: Sequence[Atoms]) -> list[Evaluation]:
        batch = _batch(crystals).to(self.device)
        found = self.trainer.predict(batch, per_image=False, disable_tqdm=True)
        energies = found["energy"].double().cpu().numpy().reshape(-1)
        stresses = found["stress"].double().cpu().numpy().reshape(-1, 3, 3)  # eV/Å³
        ends = np.cumsum([len(crystal.atomic_numbers) for crystal in crystals])[:-1]
        forces = np.split(found["forces"].double().cpu().numpy(), ends)
        volumes = [abs(np.linalg.det(crystal.lattice)) for crystal in crystals]
        parts = zip(energies, forces, volumes, stresses, strict=True)
        return [Evaluation(float(energy), force, -volume * stress) for energy, force, volume, stress in parts]


def _batch(crystals: Sequence[Atoms]) -> "Batch":
    """Crystals as fairchem takes them; it finds the neighbours itself."""
    import torch
    from torch_geometric.data import Batch, Data

    def data(crystal: Atoms) -> Data:
        num_atoms = len(crystal.atomic_numbers)
        return Data(
            pos=torch.tensor(np.mod(crystal.frac_coords, 1.0) @ crystal.lattice, dtype=torch.float32),
            cell=torch.tensor(crystal.lattice, dtype=torch.float32)[None],
            atomic_numbers=torch.tensor(crystal.atomic_numbers, dtype=torch.uint8),
            natoms=num_atoms,
            tags=torch.zeros(num_atoms, dtype=torch.int),
            fixed=torch.zeros(num_atoms, dtype=torch.int),
            pbc=torch.ones(1, 3, dtype=torch.bool),
        )

    return Batch.from_data_list([data(crystal) for crystal in crystals])


def load_trainer(path: Path, device: str, *, is_trusted: bool) -> Any:
    """The trainer of fairchem that holds the model of a checkpoint, ready to predict.

    Args:
        path: a checkpoint of fairchem-core 1.x: weights, settings, normalizers and element references.
        device: as torch names it.
        is_trusted: whether the checksum of the file was checked, so that it may be opened as a pickle.

    Raises:
        MiadError: not such a file, or one that would run code when it is opened.
    """
    _import_fairchem()
    import torch
    from fairchem.core.common.registry import registry
    from fairchem.core.common.utils import update_config

    checkpoint = _open(path, is_trusted)
    try:
        config = update_config(checkpoint["config"])
        config["model"]["otf_graph"] = True  # neighbours on the fly
        trainer = registry.get_trainer_class(config.get("trainer", "ocp"))(
            task=config.get("task", {}),
            model=config["model"],
            dataset=[_dataset(config)],
            outputs=config["outputs"],
            loss_functions=config["loss_functions"],
            evaluation_metrics=config["evaluation_metrics"],
            optimizer=config["optim"],
            identifier="",
            slurm={},
            local_rank=torch.device(device).index or 0,
            is_debug=True,  # no folders, no loggers
            cpu=device == "cpu",
            amp=False,
            inference_only=True,
        )
        trainer.load_checkpoint(str(path), checkpoint, inference_only=True)
    except (KeyError, TypeError, AttributeError, NotImplementedError) as error:
        raise MiadError(
            f"{path} is not a checkpoint of eqV2 in the layout of fairchem-core 1.x ({type(error).__name__}: {error})."
            f" Correct {KEY}.checkpoint."
        ) from error
    return _at_rest(trainer)


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


def edge_rotations(vectors: "torch.Tensor") -> "torch.Tensor":
    """Rotations that turn each edge onto the y axis, (n_edges, 3, 3), for edge vectors (n_edges, 3).

    The angle around the edge is free. fairchem draws it at random at every evaluation, which lets energies flicker
    and depend on the other crystals of the batch; here it follows from the edge alone.
    """
    import torch

    y = vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    aside = torch.nn.functional.one_hot(y.abs().argmin(dim=1), 3).to(y)
    x = torch.linalg.cross(y, aside)
    x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=1).detach()


def _dataset(config: dict) -> dict:
    """The settings of the training set, which the normalizers may be part of; no data are read."""
    dataset = config["dataset"]
    if isinstance(dataset, list):
        dataset = dataset[0]
    return {key: value for key, value in dataset.get("train", dataset).items() if key != "src"}


def _open(path: Path, is_trusted: bool) -> dict:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=not is_trusted)
    except pickle.UnpicklingError as error:
        raise MiadError(
            f"{path} holds more than tensors and plain settings, and opening it would run what it says. If you trust"
            f" where it is from, set {KEY}.checksum in config.yaml to its checksum (sha256:…)."
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise MiadError(f"{path} cannot be read ({error}). Download it again.") from error


def _import_fairchem() -> None:
    """Import what eqV2 needs, nothing else.

    Raises:
        MiadError: fairchem-core 1.x is not installed.
    """
    if "torch_scatter" not in sys.modules and importlib.util.find_spec("torch_scatter") is None:
        # A compiled package that fairchem imports without depending on it; torch_geometric can do the same.
        sys.modules["torch_scatter"] = stand_in = ModuleType("torch_scatter")
        stand_in.scatter = _scatter
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
    src: "torch.Tensor",
    index: "torch.Tensor",
    dim: int = -1,
    out: None = None,
    dim_size: int | None = None,
    reduce: str = "sum",
) -> "torch.Tensor":
    """`torch_scatter.scatter` by torch_geometric."""
    from torch_geometric.utils import scatter

    return scatter(src, index, dim=dim % src.dim(), dim_size=dim_size, reduce=reduce)
