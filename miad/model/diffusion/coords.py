"""Wrapped-normal diffusion of fractional coordinates on the unit cell (a torus); lengths in cells."""

import torch
from torch import Tensor

IMAGES = 10  # periodic images on each side, as in DiffCSP


def wrapped_normal_score(displacement: Tensor, sigma: Tensor) -> Tensor:
    """Gradient of the log-density of a normal wrapped on the unit cell, in 1/cells.

    The ratio of series is formed by a softmax over the images: the plain ratio underflows to 0/0 at small sigma.

    Args:
        displacement: noisy minus clean fractional coordinates, any shape, in cells; at small positive ones the score
            is negative.
        sigma: noise scale, broadcastable to `displacement`, in cells, positive.

    Raises:
        ValueError: sigma is not positive (not looked for on a GPU: the answer would be waited for).

    Source: Jiao et al., DiffCSP, arXiv:2309.04475, appendix B.
    """
    if sigma.device.type == "cpu" and not bool((sigma > 0).all()):
        raise ValueError("sigma must be positive; t = 0 has no noise and no score.")
    shifts = torch.arange(-IMAGES, IMAGES + 1, device=displacement.device, dtype=displacement.dtype)  # (n_images,)
    # To the nearest image first, so that the series is centred where the density lives.
    centred = displacement - displacement.round()  # (…)
    offsets = centred[..., None] + shifts  # (…, n_images)
    variance = sigma.square()[..., None]  # (…, 1)
    weights = torch.softmax(-offsets.square() / (2 * variance), -1)  # (…, n_images)
    return -(weights * offsets / variance).sum(-1)  # (…)


def score_norm(sigma: Tensor, points: int = 2048) -> Tensor:
    """λ = E|score|² of one coordinate under the wrapped normal, by quadrature.

    The trapezoid rule over a period converges exponentially for a smooth periodic integrand; 2048 points resolve
    sigma = 0.005 with ten points per sigma. Noise scales (n,) are in cells and positive, λ (n,) is in 1/cells².
    """
    nodes = (torch.arange(points, dtype=torch.float64) / points - 0.5)[None]  # (1, points)
    rows = []
    for part in sigma.double().cpu().split(64):  # keeps the images' tensor small
        scale = part[:, None]  # (part, 1)
        score = wrapped_normal_score(nodes.expand(len(part), -1), scale)  # (part, points)
        shifts = torch.arange(-IMAGES, IMAGES + 1, dtype=torch.float64)  # (n_images,)
        density = torch.exp(-((nodes[..., None] + shifts) ** 2) / (2 * scale[..., None] ** 2)).sum(-1)  # (part, points)
        rows.append((score.square() * density).sum(1) / density.sum(1))  # (part,)
    return torch.cat(rows).to(sigma)


def add_noise(frac_coords: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """F_t = (F_0 + σ_t z) mod 1; shapes (n_crystals, n_atoms, 3), sigma (n_crystals, 1, 1)."""
    return torch.remainder(frac_coords + sigma * noise, 1.0)


def centre(score: Tensor, weights: Tensor) -> Tensor:
    """Take the mean over atoms out of a score, (n_crystals, n_atoms, 3): a rigid shift carries no information.

    The weights, (n_crystals, n_atoms), are 1 for the atoms that count, 0 for the others.
    """
    weights = weights[..., None].to(score.dtype)  # (n_crystals, n_atoms, 1)
    mean = (score * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp(min=1)  # (n_crystals, 1, 3)
    return score - mean


def loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean square over the components of score/√λ, (n_crystals, n_atoms); which atoms count is not decided here."""
    return (predicted - target).square().mean(-1)


def correct(frac_coords: Tensor, score: Tensor, step: Tensor, noise: Tensor) -> Tensor:
    """Langevin corrector: F + δ·score + √(2δ)·z, wrapped."""
    return torch.remainder(frac_coords + step * score + torch.sqrt(2 * step) * noise, 1.0)


def denoise(frac_coords: Tensor, score: Tensor, sigma: Tensor, sigma_next: Tensor, noise: Tensor) -> Tensor:
    """Reverse (ancestral) step of the variance-exploding process from σ_t to a smaller σ_s.

    Args:
        frac_coords: F_t, (n_crystals, n_atoms, 3), cells, as the F_s in [0, 1) that is returned.
        score: (n_crystals, n_atoms, 3), 1/cells.
        sigma: σ_t, a scalar, cells.
        sigma_next: σ_s, a scalar, cells; with 0 this is the noise-free last step (Tweedie's estimate).
        noise: standard normal, (n_crystals, n_atoms, 3).
    """
    drop = sigma**2 - sigma_next**2
    spread = torch.sqrt(sigma_next**2 * drop / sigma**2)
    return torch.remainder(frac_coords + drop * score + spread * noise, 1.0)
