"""The infuse step: crystals as dense tensors of N_m atoms each, ready for training.

Added atoms have type 0. Their coordinates are not stored: training draws them anew each time a crystal is seen.
Without infusion (`mirage.num_atoms: null`, the DiffCSP baseline) crystals are padded to the largest one, and the
padding is masked out of everything.
"""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miad.config.sections import Mirage
from miad.core.crystal import NUM_SPECIES, Crystal, read_crystals
from miad.core.errors import MiadError
from miad.core.files import atomic_path
from miad.core.json_text import as_json
from miad.core.sound import fault

if TYPE_CHECKING:
    import torch

    from miad.model.process import State


def to_tensors(crystals: list[Crystal], num_atoms: int) -> dict:
    """Crystals of at most `num_atoms` atoms each, padded to as many.

    Returns:
        lattice (n, 3, 3) Å float32, frac_coords (n, num_atoms, 3) float32, species (n, num_atoms) int64 with 0 where
        padded, num_atoms (n,) int64.
    """
    import torch

    sizes = [crystal.num_atoms for crystal in crystals]
    frac_coords = torch.zeros(len(crystals), num_atoms, 3)
    species = torch.zeros(len(crystals), num_atoms, dtype=torch.long)
    for row, crystal in enumerate(crystals):
        frac_coords[row, : sizes[row]] = torch.from_numpy(crystal.frac_coords)
        species[row, : sizes[row]] = torch.from_numpy(crystal.atomic_numbers)
    lattice = torch.from_numpy(np.array([crystal.lattice for crystal in crystals])).float()
    return {"lattice": lattice, "frac_coords": frac_coords, "species": species, "num_atoms": torch.tensor(sizes)}


def padding_mask(num_atoms: "torch.Tensor", width: int) -> "torch.Tensor":
    """Mask of the places that hold an atom, (n, width), from the numbers of atoms, (n,)."""
    import torch

    return torch.arange(width, device=num_atoms.device) < num_atoms[:, None]


def sizes(num_atoms: "torch.Tensor", lattice: "torch.Tensor", at_least: int = 0) -> tuple[list[int], float]:
    """Numbers of crystals of 0, 1, 2 … (and `at_least`) atoms, and the longest lattice vector, Å.

    Sampling needs both of the training crystals; their numbers of atoms are (n,), their lattices (n, 3, 3) Å.
    """
    return num_atoms.bincount(minlength=at_least + 1).tolist(), float(lattice.norm(dim=-1).max())


def check(crystals: list[Crystal], path: Path, num_atoms: int | None) -> None:
    """Refuse what cannot be infused, before hours are spent.

    Raises:
        MiadError: no crystals, more atoms than N_m, an element beyond the species classes, or what is no number.
    """
    if not crystals:
        raise MiadError(f"{path} holds no crystals. Check dataset.files and dataset.exclude in config.yaml.")
    largest = max(crystals, key=lambda crystal: crystal.num_atoms)
    if num_atoms is not None and largest.num_atoms > num_atoms:
        raise MiadError(
            f"mirage.num_atoms is {num_atoms}, but {largest.crystal_id} in {path} has {largest.num_atoms} atoms."
            f" Set mirage.num_atoms to {largest.num_atoms + 5} (largest crystal + 5, as the paper does) in config.yaml."
        )
    for crystal in crystals:
        if odd := [number for number in crystal.atomic_numbers.tolist() if not 1 <= number < NUM_SPECIES]:
            raise MiadError(
                f"{crystal.crystal_id} in {path} has atomic number {odd[0]}; the model knows 1 to {NUM_SPECIES - 1}."
                " Leave it out with dataset.exclude in config.yaml."
            )
        if reason := fault(crystal):
            raise MiadError(
                f"{crystal.crystal_id} in {path} has a fault: {reason}. Leave it out with"
                " dataset.exclude in config.yaml."
            )


def load(path: Path) -> tuple[dict, dict]:
    """Tensors and settings of an infused file; a MiadError if it is missing or not one of ours."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["mirage"])  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise MiadError(f"{path} is not an infused data set ({error}). Make it with: miad infuse.") from error


def read_state(path: Path, num_atoms: int | None, device: "torch.device | str" = "cpu") -> "State":
    """The crystals of an infused file, as the process takes them.

    Raises:
        MiadError: the file is missing, damaged, or infused to another `num_atoms`; None: not, some places are padding.
    """
    from miad.model.process import State

    tensors, about = load(path)
    if about["num_atoms"] != num_atoms:
        raise MiadError(
            f"{path} was infused with mirage.num_atoms {about['num_atoms']}, the training is set to {num_atoms}."
            " Make it anew with: miad infuse."
        )
    parts = [tensors["lattice"], tensors["frac_coords"], tensors["species"]]
    if num_atoms is None:
        parts.append(padding_mask(tensors["num_atoms"], tensors["species"].shape[1]))
    return State(*(part.to(device) for part in parts))


def run(settings: Mirage, *, train: Path, val: Path, infused_train: Path, infused_val: Path) -> None:
    """Pad both splits to the same number of atoms, that of the largest crystal of the two where N_m is null.

    Args:
        train: training crystals, JSON lines.
        val: validation crystals, JSON lines.
        infused_train: tensors for training, safetensors.
        infused_val: tensors for validation, safetensors.
    """
    splits = {infused_train: (train, read_crystals(train)), infused_val: (val, read_crystals(val))}
    for source, crystals in splits.values():
        check(crystals, source, settings.num_atoms)
    from safetensors.torch import save_file  # takes seconds to import; errors come at once

    largest = max(crystal.num_atoms for _, crystals in splits.values() for crystal in crystals)
    for target, (_, crystals) in splits.items():
        tensors = to_tensors(crystals, settings.num_atoms or largest)
        with atomic_path(target) as temporary:
            save_file(tensors, temporary, metadata={"mirage": as_json(dataclasses.asdict(settings))})
