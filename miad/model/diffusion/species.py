"""D3PM of the atom types with uniform transitions over K classes (0 = mirage), all in closed form.

Q̄_t = ᾱ_t I + (1 − ᾱ_t)/K · 11ᵀ, and between any s < t: Q_{s→t} = r I + (1 − r)/K · 11ᵀ with r = ᾱ_t/ᾱ_s.
No 1000 × 100 × 100 tables, and strided steps cost the same as single ones.

Source: Austin et al., arXiv:2107.03006.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

LOG_OFFSET = 1e-4  # added to probabilities before the logarithm, as in the authors' program
LOSS_SCALE = 1000.0  # of the KL divergence, as in the authors' program


def spread(probabilities: Tensor, keep: Tensor) -> Tensor:
    """Apply keep·I + (1 − keep)/K·11ᵀ to distributions, (…, K); `keep` is broadcastable to (…, 1)."""
    return keep * probabilities + (1 - keep) / probabilities.shape[-1]


def add_noise(species: Tensor, keep: Tensor, uniform: Tensor, resampled: Tensor) -> Tensor:
    """Draw A_t from Q̄_t(A_0 → ·): keep the class with probability ᾱ_t, (n_crystals, 1), else take the resampled one.

    A_0, numbers of U(0, 1) and uniform classes are (n_crystals, n_atoms).
    """
    return torch.where(uniform < keep, species, resampled)


def posterior(species: Tensor, clean: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor) -> Tensor:
    """Distribution of A_s given A_t and a distribution p₀ of A_0: Q_{s→t}(·→A_t) ⊙ (p₀ Q̄_s) / (p₀ Q̄_t)(A_t).

    Args:
        species: A_t, (n_crystals, n_atoms).
        clean: p₀, (n_crystals, n_atoms, K); one-hot in training, softmax of logits in prediction.
        alpha_bar: ᾱ_t, broadcastable to (n_crystals, 1, 1).
        alpha_bar_next: ᾱ_s of the earlier time; 1 at s = 0.
    """
    noisy = one_hot(species, clean.shape[-1]).to(clean.dtype)  # (n_crystals, n_atoms, K)
    towards = spread(noisy, alpha_bar / alpha_bar_next)  # Q_{s→t} is symmetric
    weights = towards * spread(clean, alpha_bar_next)  # (n_crystals, n_atoms, K)
    return weights / weights.sum(-1, keepdim=True)


def loss(logits: Tensor, species: Tensor, clean: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor) -> Tensor:
    """1000 · KL(true posterior ‖ predicted posterior) of each atom, (n_crystals, n_atoms).

    Args:
        logits: by the network, (n_crystals, n_atoms, K).
        species, clean: A_t and A_0, (n_crystals, n_atoms).
        alpha_bar, alpha_bar_next: ᾱ_t and ᾱ_{t−1}, (n_crystals, 1, 1).
    """
    true = posterior(species, one_hot(clean, logits.shape[-1]).to(logits.dtype), alpha_bar, alpha_bar_next)
    predicted = posterior(species, torch.softmax(logits, -1), alpha_bar, alpha_bar_next)
    divergence = true * (torch.log(true + LOG_OFFSET) - torch.log(predicted + LOG_OFFSET))  # (n_crystals, n_atoms, K)
    return LOSS_SCALE * divergence.sum(-1)


def cross_entropy(logits: Tensor, species: Tensor, clean: Tensor, alpha_bar: Tensor) -> Tensor:
    """−log of the predicted posterior of A_0 in nats, (n_crystals, n_atoms); arguments as of `loss`.

    It has the same minimum as `loss`, whose offset of 1e-4 hides what a single step can tell of rare classes: p₀ is
    what the rest of the crystal says of an atom, and A_t comes to it by Bayes' rule. D3PM's auxiliary loss,
    −log p₀(A_0), has another: with it p₀ holds what A_t says already, and `posterior` counts it twice.
    """
    noisy = one_hot(species, logits.shape[-1]).to(logits.dtype)  # (n_crystals, n_atoms, K)
    scores = logits + spread(noisy, alpha_bar).log()  # (n_crystals, n_atoms, K)
    return torch.nn.functional.cross_entropy(scores.transpose(1, 2), clean, reduction="none")


def denoise(species: Tensor, logits: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor, uniform: Tensor) -> Tensor:
    """Draw A_s from the predicted posterior by inversion of its cumulative sum, with numbers of U(0, 1).

    Shapes are those of `loss`; ᾱ_t and ᾱ_s are scalars.
    """
    probabilities = posterior(species, torch.softmax(logits, -1), alpha_bar, alpha_bar_next)
    cumulative = probabilities.cumsum(-1)  # (n_crystals, n_atoms, K)
    drawn = (cumulative <= uniform[..., None] * cumulative[..., -1:]).sum(-1)  # (n_crystals, n_atoms)
    return drawn.clamp(max=logits.shape[-1] - 1)


def settle(species: Tensor, logits: Tensor, alpha_bar: Tensor) -> Tensor:
    """The last step, to s = 0: the most probable class of the posterior, (n_crystals, n_atoms)."""
    return posterior(species, torch.softmax(logits, -1), alpha_bar, torch.ones_like(alpha_bar)).argmax(-1)
