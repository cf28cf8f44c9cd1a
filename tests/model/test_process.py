"""Batches of crystals and their random numbers: what every process is given."""

import torch

from miad.model.process import Noise, State


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_crystal_depends_on_its_block_alone():
    together = Noise([seeded(1), seeded(2)], [3, 4])
    alone = Noise([seeded(2)], [4])
    for draw in ("normal", "uniform", "classes"):
        whole, part = getattr(together, draw)(5, 3), getattr(alone, draw)(5, 3)
        assert whole.shape == (7, 5, 3) and torch.equal(whole[3:], part)


def test_processes_that_share_a_batch_draw_what_one_would():
    whole = Noise([seeded()], [7])
    parts = [Noise([seeded()], [7], part) for part in (slice(0, 3), slice(3, 7))]
    for draw in ("normal", "uniform", "classes"):
        assert torch.equal(getattr(whole, draw)(2), torch.cat([getattr(part, draw)(2) for part in parts]))


def test_the_padding_of_the_baseline_is_dropped():
    state = State(
        4 * torch.eye(3).repeat(2, 1, 1),
        torch.rand(2, 4, 3),
        torch.tensor([[5, 6, 7, 8], [5, 0, 7, 8]]),
        torch.tensor([[True, True, False, False], [True, True, True, False]]),
    )
    first, second = state.crystals(["a", "b"])
    assert first.atomic_numbers.tolist() == [5, 6] and second.atomic_numbers.tolist() == [5, 7]
    assert torch.equal(state.real_species[:, 2:], torch.tensor([[0, 0], [7, 0]]))
