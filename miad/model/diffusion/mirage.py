"""Mirage infusion and reduction: the two maps between crystals and the expanded domain of N_m atoms.

Source: MiAD, arXiv:2511.14426, section 3; the `center` variant: Schneuing et al., ICLR 2025, as in Table 5.
"""

import math

import numpy as np
import torch
from torch import Tensor

from miad.core.crystal import MIRAGE, Crystal
from miad.core.sound import MIN_VOLUME, NOT_FINITE, fault


def infuse(frac_coords: Tensor, species: Tensor, uniform: Tensor, coordinates: str) -> Tensor:
    """Give the mirage atoms coordinates; real atoms stay where they are.

    Called every time a crystal is seen, with fresh random numbers, not once per data set.

    Args:
        frac_coords: (n_crystals, n_atoms, 3), as returned; entries of mirage atoms are ignored.
        species: (n_crystals, n_atoms); 0 marks mirage atoms.
        uniform: U(0, 1), (n_crystals, n_atoms, 3).
        coordinates: `uniform`, or `center`: the mean position of the real atoms, which on a torus is the
            circular mean of each axis.

    Raises:
        ValueError: `coordinates` is neither.
    """
    is_mirage = (species == MIRAGE)[..., None]  # (n_crystals, n_atoms, 1)
    if coordinates == "center":
        places = circular_mean(frac_coords, ~is_mirage).expand_as(frac_coords)  # (n_crystals, n_atoms, 3)
    elif coordinates == "uniform":
        places = uniform
    else:
        raise ValueError(f"coordinates of mirage atoms are uniform or center, not {coordinates}.")
    return torch.where(is_mirage, places, frac_coords)


def circular_mean(frac_coords: Tensor, is_counted: Tensor) -> Tensor:
    """Mean direction of each axis over the counted atoms, (n_crystals, n_atoms, 1), as (n_crystals, 1, 3) in [0, 1)."""
    angles = 2 * math.pi * frac_coords
    weights = is_counted.to(frac_coords.dtype)
    sine = (weights * angles.sin()).sum(1, keepdim=True)  # (n_crystals, 1, 3)
    cosine = (weights * angles.cos()).sum(1, keepdim=True)  # (n_crystals, 1, 3)
    return torch.remainder(torch.atan2(sine, cosine) / (2 * math.pi), 1.0)


def reduce(crystal_id: str, lattice: np.ndarray, frac_coords: np.ndarray, species: np.ndarray) -> Crystal:
    """One sample, (3, 3) Å, (n_atoms, 3) and (n_atoms,), without its mirage atoms.

    It has a failure when no real atom is left or a number is not finite.
    """
    real = species != MIRAGE  # (n_atoms,)
    # A tiny negative number, wrapped in single precision, is 1 and not in [0, 1).
    with np.errstate(invalid="ignore"):
        wrapped = np.mod(frac_coords[real].astype(float), 1.0)  # (n_real, 3)
    crystal = Crystal(crystal_id, lattice.astype(float), wrapped, species[real].astype(int))
    if not real.any():
        return crystal.failed("sample", "no real atom left, all are mirage")
    reason = fault(crystal, min_volume=MIN_VOLUME) if np.isfinite(frac_coords).all() else NOT_FINITE
    return crystal.failed("sample", reason) if reason else crystal
