"""Snapshots of a generation: their file, and when atoms are real, come, go and settle on a type."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from miad.core.crystal import MIRAGE, Crystal
from miad.core.errors import MiadError
from miad.core.files import atomic_path
from miad.core.provenance import ARITHMETIC

if TYPE_CHECKING:
    from miad.model.process import State


@dataclass(frozen=True)
class Trajectory:
    """Snapshots of some crystals on their way from noise, in the order of the sampler: times fall.

    Attributes:
        times: (n_times,), T … 0.
        lattice: (n_times, n_crystals, 3, 3) Å, rows are vectors.
        frac_coords: (n_times, n_crystals, n_atoms, 3).
        species: (n_times, n_crystals, n_atoms), 0 where there is no real atom.
    """

    times: np.ndarray
    lattice: np.ndarray
    frac_coords: np.ndarray
    species: np.ndarray

    def crystals(self, index: int) -> list[Crystal]:
        """The snapshots of one crystal, real atoms only; ids tell the time."""
        found = []
        for time, lattice, coords, species in zip(
            self.times, self.lattice[:, index], self.frac_coords[:, index], self.species[:, index], strict=True
        ):
            real = species != MIRAGE
            found.append(Crystal(f"t={time}", lattice.astype(float), coords[real].astype(float), species[real]))
        return found


def write(path: Path, snapshots: "dict[int, State]", arithmetic: str | None = None) -> None:
    """Write the snapshots of a shard's first crystals, by their times, as a `Trajectory`; just no times without any.

    What computed the shard goes into the header, where `miad.core.provenance` reads it.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {"times": torch.tensor(list(snapshots), dtype=torch.long)}
    if snapshots:
        states = snapshots.values()
        tensors["lattice"] = torch.stack([state.lattice for state in states])
        tensors["frac_coords"] = torch.stack([state.frac_coords for state in states])
        tensors["species"] = torch.stack([state.real_species for state in states]).to(torch.uint8)
    with atomic_path(path) as temporary:
        header = {ARITHMETIC: f"sample: {arithmetic}"} if arithmetic else None
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, temporary, header)


def read(path: Path) -> Trajectory | None:
    """Snapshots that `miad sample` wrote, or None if it recorded none; a MiadError if it is no such file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
        if not len(tensors["times"]):
            return None
        return Trajectory(*(tensors[name] for name in ("times", "lattice", "frac_coords", "species")))
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise MiadError(f"{path} holds no snapshots of miad ({error!r}). Delete it and sample again.") from error


def joined(parts: list[Trajectory]) -> Trajectory | None:
    """Snapshots of several shards as one; shards that were recorded otherwise than the first are left out."""
    if not parts:
        return None
    same = [part for part in parts if np.array_equal(part.times, parts[0].times)]
    width = max(part.species.shape[2] for part in same)

    def padded(array: np.ndarray) -> np.ndarray:
        room = [(0, 0), (0, 0), (0, width - array.shape[2]), *[(0, 0)] * (array.ndim - 3)]
        return np.pad(array, room)

    return Trajectory(
        parts[0].times,
        np.concatenate([part.lattice for part in same], 1),
        np.concatenate([padded(part.frac_coords) for part in same], 1),
        np.concatenate([padded(part.species) for part in same], 1),
    )


def real_atoms(trajectory: Trajectory) -> list[dict[str, Any]]:
    """Number of real atoms per crystal at each time: mean, and the middle 90 % of the crystals."""
    counts = (trajectory.species != MIRAGE).sum(2)  # (n_times, n_crystals)
    low, high = np.quantile(counts, (0.05, 0.95), axis=1)
    rows = zip(trajectory.times.tolist(), counts.mean(1).tolist(), low.tolist(), high.tolist(), strict=True)
    return [{"time": time, "mean": mean, "low": lowest, "high": highest} for time, mean, lowest, highest in rows]


def turnover(trajectory: Trajectory) -> list[dict[str, Any]]:
    """Changes per crystal since the snapshot before: mirage atoms that became real, real ones that vanished or changed.

    A change that was undone between two snapshots is not seen.
    """

    def mean(changes: np.ndarray) -> float:
        return float(changes.sum(1).mean())

    rows = []
    for time, before, after in zip(trajectory.times[1:], trajectory.species, trajectory.species[1:], strict=False):
        was, is_ = before != MIRAGE, after != MIRAGE  # (n_crystals, n_atoms)
        changed = mean(was & is_ & (before != after))
        rows.append({"time": int(time), "appeared": mean(~was & is_), "vanished": mean(was & ~is_), "changed": changed})
    return rows


def settled(trajectory: Trajectory) -> list[dict[str, Any]]:
    """Share of places whose type is the final one at a time and ever after; real places and mirage ones apart."""
    final = trajectory.species[-1]
    agrees = trajectory.species == final  # (n_times, n_crystals, n_atoms)
    # From the end back: settled as long as nothing has disagreed yet.
    lasting = np.logical_and.accumulate(agrees[::-1], axis=0)[::-1]
    is_real = final != MIRAGE

    def share(mask: np.ndarray) -> list[float | None]:
        return [float(now[mask].mean()) if mask.any() else None for now in lasting]

    rows = zip(trajectory.times.tolist(), share(is_real), share(~is_real), strict=True)
    return [{"time": time, "real": real, "mirage": mirage} for time, real, mirage in rows]
