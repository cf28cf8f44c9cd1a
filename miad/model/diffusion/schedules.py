"""Noise schedules of the three processes; index t = 0 … T, where 0 is the clean crystal. All in float64."""

import math

import torch
from torch import Tensor

from miad.config.sections import Diffusion


def lattice_alpha_bar(settings: Diffusion) -> Tensor:
    """ᾱ_t of the lattice DDPM, (T + 1,): cosine schedule with β clipped to [1e-4, 0.9999].

    Source: Nichol and Dhariwal, arXiv:2102.09672, as used by DiffCSP.
    """
    times = torch.arange(settings.num_timesteps + 1, dtype=torch.float64) / settings.num_timesteps  # (T + 1,)
    offset = settings.cosine_offset
    f = torch.cos((times + offset) / (1 + offset) * math.pi / 2) ** 2  # (T + 1,)
    betas = (1 - f[1:] / f[:-1]).clamp(1e-4, 0.9999)  # (T,)
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - betas, 0)])  # (T + 1,)


def coords_sigma(settings: Diffusion) -> Tensor:
    """σ_t of the wrapped normal in cells, (T + 1,): geometric from sigma_min to sigma_max, σ_0 = 0."""
    steps = torch.linspace(0, 1, settings.num_timesteps, dtype=torch.float64)  # (T,)
    sigma = settings.sigma_min * (settings.sigma_max / settings.sigma_min) ** steps  # (T,)
    return torch.cat([torch.zeros(1, dtype=torch.float64), sigma])  # (T + 1,)


def species_alpha_bar(settings: Diffusion) -> Tensor:
    """ᾱ_t of the D3PM, (T + 1,): the probability that a species was never resampled.

    The cosine is not squared and runs over T + 1 steps, as in the authors' program, so that ᾱ_T stays positive.
    """
    num, offset = settings.num_timesteps, settings.cosine_offset
    times = torch.arange(num + 1, dtype=torch.float64) / (num + 1)  # (T + 1,)
    g = torch.cos((times + offset) / (1 + offset) * math.pi / 2)  # (T + 1,)
    return g / g[0]  # (T + 1,)
