"""Species of crystals under conditions: predictions without classes that may not occur, and counts by assignment.

The posterior of D3PM is drawn in two stages that together are the same as one: A_0 from p₀(A_0) Q̄_t(A_0 → A_t), then
A_s from what A_0 and A_t leave. Between the two, A_0 is made to fulfil the conditions of the crystal as a whole; the
noise stays that of the training.
"""

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from miad.core.crystal import MIRAGE, NUM_SPECIES
from miad.model.diffusion import species as free
from miad.model.process import Restriction

REACH = 6.0  # places on Pettifor's scale; Li and Na are one apart, Cl and Br also
LEAST = 1e-30  # probability of what is allowed


def restrict(logits: Tensor, allowed: Tensor) -> Tensor:
    """Log p₀ over the allowed classes alone, (n_crystals, n_atoms, K), as logits of the network and `allowed` are.

    The share of an element that is not allowed goes to the allowed ones, most to those that are chemically near it, and
    that of the mirage class stays what it is. If all of p₀ was scaled up instead, it would go to elements that the
    crystal has already, and to mirage atoms: to crystals of one element, or of hardly any atoms.
    """
    given = torch.softmax(torch.nan_to_num(logits), -1).flatten(0, 1)  # (n_places, K); of failed crystals something
    rows, of_row = torch.unique(allowed.flatten(0, 1), dim=0, return_inverse=True)  # (n_rows, K), (n_places,)
    found = torch.empty_like(given)
    for number, row in enumerate(rows):
        here = of_row == number  # (n_places,)
        found[here] = given[here] @ _moves(row, given)
    return found.clamp(min=LEAST).log().view_as(logits).masked_fill(~allowed, -torch.inf)


def _moves(row: Tensor, like: Tensor) -> Tensor:
    """Where the share of each class goes if only those of a row, (K,), are allowed: (K, K), whose rows add up to 1."""
    near = _nearness().to(like)[: len(row), : len(row)] * row  # (K, K)
    moves = near / near.sum(1, keepdim=True)
    moves[row] = torch.eye(len(row), dtype=like.dtype, device=like.device)[row]
    return moves


@functools.cache
def _nearness() -> Tensor:
    """How near classes are in chemistry, (K, K): exp(−|Δ|/REACH) of elements on Pettifor's scale of 103 places.

    Elements become mirage only where nothing else is allowed; what was mirage becomes any element.

    Source: Pettifor, J. Phys. C 19, 285 (1986), in pymatgen as mendeleev_no.
    """
    from pymatgen.core import Element

    places = torch.tensor([0.0, *(Element.from_Z(number).mendeleev_no for number in range(1, NUM_SPECIES))])
    near = torch.exp(-(places[:, None] - places).abs() / REACH)  # (K, K)
    near[:, MIRAGE], near[MIRAGE] = LEAST, 1.0
    return near


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
