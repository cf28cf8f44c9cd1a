"""Random limits of the elements: always around the crystal, of all sizes, and none for a share of the crystals."""

import torch

from miad.core.crystal import MIRAGE, NUM_SPECIES
from miad.train import limits

KNOWN = torch.zeros(NUM_SPECIES, dtype=torch.bool)
KNOWN[1:41] = True
SPECIES = torch.tensor([[3, 8, 8, 0, 0], [11, 17, 0, 0, 0], [26, 26, 26, 26, 26]]).repeat(
    400, 1
)  # (n_crystals, n_atoms)


def drawn(free_share: float) -> torch.Tensor:
    return limits.draw(SPECIES, KNOWN, free_share, torch.Generator().manual_seed(5))


def test_a_crystals_own_elements_are_always_allowed_and_unknown_ones_never():
    allowed = drawn(0.0)
    own = torch.nn.functional.one_hot(SPECIES, NUM_SPECIES).any(1)  # (n_crystals, n_species)
    own[:, MIRAGE] = False
    assert (allowed | ~own).all()
    assert not (allowed & ~KNOWN).any()


def test_limits_are_of_all_sizes_small_ones_as_likely_as_large_ones():
    more = drawn(0.0).sum(1) - torch.tensor([2, 2, 1]).repeat(400)  # (n_crystals,)
    shares = [(more == n).float().mean().item() for n in (0, 1)] + [(more > 20).float().mean().item()]
    logs = [torch.log(torch.tensor(x)).item() / torch.log(torch.tensor(39.5)).item() for x in (2, 3 / 2, 39.5 / 22)]
    assert all(abs(share - log) < 0.04 for share, log in zip(shares, logs, strict=True))
    assert more.min() == 0 and more.max() >= 35


def test_the_share_without_limits_is_told_so():
    free = drawn(0.3).all(1)  # (n_crystals,)
    assert abs(free.float().mean() - 0.3) < 0.05
    assert drawn(1.0).all() and not drawn(0.0).all(1).any()


def test_padding_and_the_same_seed_change_nothing():
    wider = torch.cat([SPECIES, torch.zeros(len(SPECIES), 4, dtype=torch.long)], 1)  # (n_crystals, n_atoms)
    again = limits.draw(wider, KNOWN, 0.3, torch.Generator().manual_seed(5))
    assert torch.equal(again, drawn(0.3))
