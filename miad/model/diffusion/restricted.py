"""Species of crystals under conditions: predictions without classes that may not occur, and counts by assignment.

The posterior of D3PM is drawn in two stages that together are the same as one: A_0 from p₀(A_0) Q̄_t(A_0 → A_t), then
A_s from what A_0 and A_t leave. Between the two, A_0 is made to fulfil the conditions of the crystal as a whole; the
noise stays that of the training.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from miad.model.diffusion import species as free
from miad.model.process import Restriction


def restrict(logits: Tensor, allowed: Tensor) -> Tensor:
    """Log p₀ over the allowed classes alone, (n_crystals, n_atoms, K), as logits of the network and `allowed` are.

    The share of the mirage class stays what it is, and the elements share the rest: over all classes together, a few
    elements would leave most of p₀ to the mirage class, and crystals of hardly any atoms.
    """
    logits = torch.nan_to_num(logits)  # of a crystal that has failed; the others go on
    mirage = torch.log_softmax(logits, -1)[..., :1]  # (n_crystals, n_atoms, 1)
    kept = logits.masked_fill(~allowed, -torch.inf)
    elements = torch.log_softmax(kept[..., 1:], -1)  # (n_crystals, n_atoms, K − 1); NaN where none is allowed
    rest = torch.log1p(-mirage.exp()).clamp(min=-100.0)
    both = torch.cat([mirage, elements + rest], -1).masked_fill(~allowed, -torch.inf)  # (n_crystals, n_atoms, K)
    return torch.log_softmax(both, -1)


def assign(scores: Tensor, slots: Tensor) -> Tensor:
    """The species, (n_crystals, n_atoms), of the highest sum of scores that fill the slots, one atom in each.

    Args:
        scores: logarithms of weights, (n_crystals, n_atoms, K); −∞ for classes that an atom may not have.
        slots: (n_crystals, n_atoms, K), true for the classes that the atom in a slot may have.

    Source: linear assignment, Crouse 2016, as in scipy.
    """
    from scipy.optimize import linear_sum_assignment

    pairs = scores[:, :, None].masked_fill(~slots[:, None], -torch.inf)  # (n_crystals, n_atoms, n_slots, K)
    best, kinds = pairs.max(-1)  # (n_crystals, n_atoms, n_slots)
    filled = [linear_sum_assignment(one, maximize=True)[1] for one in best.double().cpu().numpy()]
    places = torch.from_numpy(np.stack(filled)).to(kinds.device)  # (n_crystals, n_atoms)
    return kinds.gather(2, places[..., None])[..., 0]


def denoise(
    species: Tensor, logits: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor, draws: Tensor, only: Restriction
) -> Tensor:
    """Draw A_s under conditions; at s = 0 the most probable species that fulfil them.

    Args:
        species: A_t, (n_crystals, n_atoms), as the A_s that is returned.
        logits: by the network, (n_crystals, n_atoms, K).
        alpha_bar, alpha_bar_next: ᾱ_t and ᾱ_s, scalars; 1 at s = 0.
        draws: U(0, 1), (n_crystals, n_atoms, K + 1), for A_0 (Gumbel's trick) and for A_s.
        only: the conditions.
    """
    num_species = logits.shape[-1]
    noisy = one_hot(species, num_species).to(logits.dtype)  # (n_crystals, n_atoms, K)
    scores = restrict(logits, only.allowed) + free.spread(noisy, alpha_bar).log()
    if alpha_bar_next == 1:
        return assign(scores, only.slots)
    gumbel = -torch.log(-torch.log(draws[..., 1:].clamp(min=1e-30)))
    clean = one_hot(assign(scores + gumbel, only.slots), num_species).to(logits.dtype)
    return free.denoise(species, clean.log(), alpha_bar, alpha_bar_next, draws[..., 0])
