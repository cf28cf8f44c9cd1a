"""Checkpoints of a training: everything that is needed to go on as if nothing had happened, in one safetensors file.

The random numbers of a step are made from (seed, step), so the number of steps done is the whole generator state.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from miad.files import atomic_path

if TYPE_CHECKING:
    import torch


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        key: fingerprint of the settings and data that the run must not change under way.
        step: optimizer steps done.
        epoch: whole epochs done.
        batch: batches done of the epoch under way.
        rows: the loss curve so far, one record per epoch.
        seconds: time spent, all sessions together.
    """

    key: str
    step: int = 0
    epoch: int = 0
    batch: int = 0
    rows: list[dict] = field(default_factory=list)
    seconds: float = 0.0


def fingerprint(record: dict, files: list[Path]) -> str:
    """A key that changes with the settings or the data."""
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for path in files:
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def save(path: Path, progress: Progress, tensors: "dict[str, dict[str, torch.Tensor]]") -> None:
    """Write groups of tensors (`weights`, `average`, `exp_avg`, `exp_avg_sq`, `running`) and the progress, atomically."""
    from safetensors.torch import save_file

    flat = {f"{group}/{name}": tensor for group, part in tensors.items() for name, tensor in part.items()}
    with atomic_path(path) as temporary:
        save_file(flat, temporary, {"progress": json.dumps(progress.__dict__)})


def load(path: Path, key: str) -> "tuple[Progress, dict[str, dict[str, torch.Tensor]]] | None":
    """The checkpoint at `path`, or None when there is none or it belongs to other settings or data."""
    from safetensors import safe_open

    if not Path(path).is_file():
        return None
    groups: dict = {}
    with safe_open(path, framework="pt") as file:
        progress = Progress(**json.loads(file.metadata()["progress"]))
        if progress.key != key:
            return None
        for flat in file.keys():  # noqa: SIM118
            group, _, name = flat.partition("/")
            groups.setdefault(group, {})[name] = file.get_tensor(flat)
    return progress, groups
