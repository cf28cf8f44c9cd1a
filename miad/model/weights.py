"""Trained models on disk: safetensors whose header carries the settings they were trained with. Never a pickle."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic.dataclasses import dataclass

from miad.config.sections import Diffusion, Mirage, Network, from_record
from miad.config.validation import STRICT
from miad.core.errors import MiadError
from miad.core.files import atomic_path
from miad.core.json_text import as_json, write_json
from miad.core.provenance import ARITHMETIC
from miad.model.shipped import located

if TYPE_CHECKING:
    import torch


# The process and the network of the first version. Left out of files, which so keep their bytes and are still read.
FIRST = {"process": "joint_diffusion", "kind": "cspnet"}
LEFT_OUT = (*FIRST.items(), ("elements", None), ("allowed_input", False), ("free_share", 0.3))


@dataclass(frozen=True, config=STRICT)
class Model:
    """Settings that sampling needs besides the weights.

    Attributes:
        mirage, diffusion, network: settings of the training.
        center_scores: whether the coordinate target was centred.
        atom_counts: training crystals of 0, 1, 2 … atoms; the DiffCSP baseline draws its numbers of atoms from it.
        max_length: longest lattice vector of the training crystals, Å; None: unknown.
        num_epochs: epochs of training behind the weights.
        origin: data set and run, for provenance.
        elements: atomic numbers that occur in the training crystals; None: unknown, in models of earlier versions.
    """

    mirage: Mirage
    diffusion: Diffusion
    network: Network
    center_scores: bool
    atom_counts: list[int]
    max_length: float | None
    num_epochs: int
    origin: str
    elements: list[int] | None = None

    @property
    def width(self) -> int:
        """Places for atoms of every sample: N_m, or without mirage infusion the largest training crystal's."""
        return self.mirage.num_atoms or len(self.atom_counts) - 1


def record_of(settings: Any) -> dict[str, Any]:
    """Settings as they are written into files: all but those of `LEFT_OUT`."""

    return dataclasses.asdict(settings, dict_factory=lambda pairs: dict(p for p in pairs if p not in LEFT_OUT))


def save(path: Path, weights: "dict[str, torch.Tensor]", model: Model, arithmetic: str | None = None) -> None:
    """Write `path` (safetensors) and, beside it, the same settings as .json, with what computed the training."""
    from safetensors.torch import save_file

    record = record_of(model)
    header = as_json(record, indent=1)
    with atomic_path(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, temporary, {"miad": header})
    told = {ARITHMETIC: f"train: {arithmetic}"} if arithmetic else {}
    write_json(Path(path).with_suffix(".json"), record | told)


def load(given: Path | str, device: "torch.device | str" = "cpu") -> "tuple[torch.nn.Module, Model]":
    """The network with its weights, in evaluation mode and float32, and its settings.

    Args:
        given: file, or name of a model that ships with miad.
        device: of the network.

    Raises:
        MiadError: no such model, not one of ours, or weights that do not fit the settings.
    """
    from miad.model.register import make_network

    path = located(given)
    with _opened(path, "pt") as file:
        model = _settings(file)
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        network = make_network(model.network)
        network.load_state_dict(weights)
    return network.to(device).eval().requires_grad_(False), model


def read_settings(given: Path | str) -> Model:
    """The settings of a model, without its weights; errors as of `load`."""
    with _opened(located(given), "np") as file:
        return _settings(file)


def _settings(file: Any) -> Model:
    return from_record(Model, json.loads(file.metadata()["miad"]))


@contextmanager
def _opened(path: Path, framework: str) -> Iterator[Any]:
    """A file of weights; whatever shows that it is none of ours is a MiadError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError, MiadError) as error:
        reason = " ".join(str(error).split("\n\t")[:2])  # torch names every weight that does not fit
        raise MiadError(
            f"{path} is not a model of miad ({reason})."
            " Train one with: miad train; read published weights with: miad import-weights."
        ) from error
