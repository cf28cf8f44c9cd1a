"""Limits of the elements that a network of `allowed_input` is told in training, drawn at random around each crystal.

So one model serves samples of any elements and samples of given ones: told of no limit it is the model of all crystals,
told of some it is that of the crystals within them.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from miad.core.crystal import MIRAGE, NUM_SPECIES


def draw(species: Tensor, known: Tensor, free_share: float, generator: torch.Generator) -> Tensor:
    """The elements that may occur, (n_crystals, n_species), all for crystals that are told no limits.

    Others are allowed their own elements and n more of the known ones, n + 1 log-uniform up to the number of these: one
    or two more are as likely as half the periodic table.

    Args:
        species: (n_crystals, n_atoms), 0 for mirage atoms and padding.
        known: (n_species,), true for elements of the training set.
        free_share: share of the crystals that are told no limits.
        generator: on the device of the crystals.
    """
    num, device = len(species), species.device
    own = one_hot(species, NUM_SPECIES).any(1)  # (n_crystals, n_species)
    own[:, MIRAGE] = False
    others = known & ~own  # (n_crystals, n_species)
    others[:, MIRAGE] = False
    uniform = torch.rand(num, 2, generator=generator, device=device)  # (n_crystals, 2)
    more = (others.sum(1) + 1).float().pow(uniform[:, 0]).long() - 1  # (n_crystals,)
    scores = torch.rand(num, NUM_SPECIES, generator=generator, device=device) * others  # (n_crystals, n_species)
    ranks = scores.argsort(1, descending=True).argsort(1)  # (n_crystals, n_species)
    allowed = own | (others & (ranks < more[:, None]))
    return allowed | (uniform[:, 1:] < free_share)
