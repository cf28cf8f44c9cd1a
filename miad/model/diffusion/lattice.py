"""DDPM on the lattice matrix L, (n_crystals, 3, 3) in Å, rows are lattice vectors; noise of unit variance in Å."""

import torch
from torch import Tensor


def add_noise(lattice: Tensor, alpha_bar: Tensor, noise: Tensor) -> Tensor:
    """L_t = √ᾱ_t L_0 + √(1 − ᾱ_t) ε of clean lattices, (n_crystals, 3, 3); ᾱ_t (n_crystals,), ε standard normal.

    Source: Ho et al., arXiv:2006.11239.
    """
    alpha_bar = alpha_bar[:, None, None]  # (n_crystals, 1, 1)
    return alpha_bar.sqrt() * lattice + (1 - alpha_bar).sqrt() * noise


def loss(predicted: Tensor, noise: Tensor) -> Tensor:
    """Mean square of the predicted noise over the nine entries, (n_crystals,)."""
    return (predicted - noise).square().mean((1, 2))


def denoise(lattice: Tensor, predicted: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor, noise: Tensor) -> Tensor:
    """One reverse step from t to any earlier s: the DDPM posterior mean plus its noise.

    Args:
        lattice: L_t, (n_crystals, 3, 3), Å, as the L_s that is returned.
        predicted: ε predicted by the network, (n_crystals, 3, 3).
        alpha_bar: ᾱ_t, a scalar.
        alpha_bar_next: ᾱ_s, a scalar; 1 at s = 0, where the posterior has no noise.
        noise: standard normal, (n_crystals, 3, 3).
    """
    ratio = alpha_bar / alpha_bar_next  # the product of 1 − β over the steps from s to t
    mean = (lattice - (1 - ratio) / (1 - alpha_bar).sqrt() * predicted) / ratio.sqrt()  # (n_crystals, 3, 3)
    variance = (1 - ratio) * (1 - alpha_bar_next) / (1 - alpha_bar)
    return mean + torch.sqrt(variance) * noise


def limit(lattice: Tensor, predicted: Tensor, alpha_bar: Tensor, max_length: float) -> Tensor:
    """The predicted noise, changed so that no vector of the clean lattice it implies is longer than `max_length`.

    The network multiplies L, so that an error of a barely trained one feeds on itself and cells grow without bound;
    this is the usual clipping of the predicted clean sample, in a form that rotations leave alone. Shapes and units are
    those of `denoise`, ᾱ_t is below 1; ε is as it was where no vector is too long.
    """
    signal, noise = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    clean = (lattice - noise * predicted) / signal  # (n_crystals, 3, 3)
    lengths = clean.norm(dim=-1, keepdim=True)  # (n_crystals, 3, 1)
    shorter = clean * (max_length / lengths).clamp(max=1)  # (n_crystals, 3, 3)
    return torch.where(lengths > max_length, (lattice - signal * shorter) / noise, predicted)
