"""Checkpoints of a training: everything that is needed to continue it unchanged, in one safetensors file.

The random numbers of a step are made from (seed, step), so the number of steps done is the whole generator state.
Three are kept: the newest, the one before it in case that one is damaged or spoilt, and the one from before
the cooldown, from which a longer run goes on.
"""

import contextlib
import hashlib
import itertools
import json
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from miad.core.crystal import plain
from miad.core.files import atomic_path
from miad.core.json_text import as_json

if TYPE_CHECKING:
    import torch

    Found = tuple["Progress", dict[str, dict[str, torch.Tensor]]]

log = logging.getLogger("miad")
LAST = "last.safetensors"
PREVIOUS = "previous.safetensors"
BEFORE_COOLDOWN = "before_cooldown.safetensors"
KEPT = "epoch-{:06d}.safetensors"  # a model for later evaluation, with its settings as .json beside it


@dataclass
class Progress:
    """State of a training besides its tensors.

    Attributes:
        key: fingerprint of the settings and data that the run must not change under way.
        step: optimizer steps done.
        epoch: whole epochs done.
        batch: batches done of the epoch under way.
        rows: the loss curve so far, one record per epoch.
        seconds: time spent, all sessions together.
        num_steps: steps that the session was to take, which say when its cooldown began.
        best: loss of the untrained network or of the best epoch since, by which an explosion is told.
    """

    key: str
    step: int = 0
    epoch: int = 0
    batch: int = 0
    rows: list[dict] = field(default_factory=list)
    seconds: float = 0.0
    num_steps: int = 0
    best: float = float("inf")


def fingerprint(record: dict, files: list[Path]) -> str:
    """A key that changes with the settings or the data."""
    digest = hashlib.sha256(as_json(record, sort_keys=True).encode())
    for path in files:
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def _as_json(progress: Progress) -> str:
    """The progress as JSON, which has no infinity: nothing is best yet."""
    rows = [{name: plain(value) for name, value in row.items()} for row in progress.rows]
    return as_json(vars(progress) | {"best": plain(progress.best), "rows": rows})


def save(path: Path, progress: Progress, tensors: "dict[str, dict[str, torch.Tensor]]") -> None:
    """Write the progress and groups of tensors (weights, average, exp_avg, exp_avg_sq, running), atomically.

    The newest one that was there stays as `PREVIOUS`. Killed between its renaming and that of the new file, the folder
    holds no `LAST`, and `find` takes `PREVIOUS`.
    """
    from safetensors.torch import save_file

    flat = {f"{group}/{name}": tensor for group, part in tensors.items() for name, tensor in part.items()}
    keep = path.with_name(PREVIOUS) if path.name == LAST else None
    with atomic_path(path, keep) as temporary:
        save_file(flat, temporary, {"progress": _as_json(progress)})


def load(path: Path) -> "Found | None":
    """The checkpoint at `path`, or None when there is none.

    A damaged one counts as none: it is renamed to damaged-N-… and a line in the log says so.
    """
    from safetensors import SafetensorError, safe_open

    groups: dict = {}
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads(file.metadata()["progress"])
            progress = Progress(**{**record, "best": math.inf if record["best"] is None else record["best"]})
            for flat in file.keys():  # noqa: SIM118
                group, _, name = flat.partition("/")
                groups.setdefault(group, {})[name] = file.get_tensor(flat)
    except FileNotFoundError:
        return None
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        kept = unused(path.parent, "damaged-{}-" + path.name)
        with contextlib.suppress(FileNotFoundError):  # another process of the training was faster
            path.replace(kept)
        log.warning("%s is damaged (%s). It is now %s; training goes on without it.", path, error, kept.name)
        return None
    return progress, groups


def find(folder: Path, key: str, is_usable: Callable[[Progress], bool]) -> "tuple[Found | None, list[Path]]":
    """The newest checkpoint to go on from, if any, and the files to be set aside before.

    It bears the `key`, the fingerprint of settings and data, and is a state that the run asked for would come by.
    """
    found, stale = None, []
    for name in (LAST, PREVIOUS, BEFORE_COOLDOWN):
        if name == PREVIOUS and found is not None:
            break
        candidate = load(folder / name)
        if candidate is None:
            continue
        if candidate[0].key != key or not is_usable(candidate[0]):
            stale.append(folder / name)
        elif found is None or candidate[0].step > found[0].step:  # either of the last two may be the newer one
            found = candidate
    if stale or found is None:
        # Models kept after this point came from another schedule.
        epoch = found[0].epoch if found else 0
        stale += [path for path in sorted(folder.glob("epoch-*")) if path.stem > Path(KEPT.format(epoch)).stem]
    return found, stale


def set_aside(folder: Path, files: Iterable[Path]) -> Path:
    """Move files of an older training to a folder older-N: what was computed is never destroyed."""
    target = unused(folder, "older-{}")
    target.mkdir()
    for path in files:
        path.replace(target / path.name)
    return target


def unused(folder: Path, pattern: str) -> Path:
    """The first name of a numbered pattern that is still free."""
    return next(path for number in itertools.count(1) if not (path := folder / pattern.format(number)).exists())
