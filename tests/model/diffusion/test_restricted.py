"""Species under conditions: what is drawn fulfils them, and without conditions it is what the posterior says."""

import itertools

import pytest
import torch
from torch.nn.functional import one_hot

from miad.model.diffusion import restricted, species
from miad.model.process import Restriction

K = 6
ALL = torch.ones(1, 3, K, dtype=torch.bool)


def logits(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, K, generator=torch.Generator().manual_seed(0))


def test_the_mirage_class_keeps_its_share_and_the_elements_theirs_among_each_other():
    allowed = ALL & torch.tensor([True, True, True, False, False, False])
    before, after = torch.softmax(logits(1, 3), -1), restricted.restrict(logits(1, 3), allowed).exp()
    assert torch.allclose(after[..., 0], before[..., 0]) and (after[..., 3:] == 0).all()
    assert torch.allclose(after[..., 1] / after[..., 2], before[..., 1] / before[..., 2])
    assert torch.allclose(after.sum(-1), torch.ones(1, 3))


@pytest.mark.parametrize("classes", [[0], [4], [1, 2]])
def test_predictions_that_are_sure_of_something_else_stay_distributions(classes):
    allowed = torch.zeros(1, 3, K, dtype=torch.bool)
    allowed[..., classes] = True
    for sure in range(K):
        found = restricted.restrict(1e4 * one_hot(torch.full((1, 3), sure), K).float(), allowed).exp()
        assert torch.allclose(found.sum(-1), torch.ones(1, 3)) and (found[~allowed] == 0).all()


def test_the_assignment_is_the_best_of_all_that_fill_the_slots():
    scores = logits(1, 3)
    slots = torch.zeros(1, 3, K, dtype=torch.bool)
    slots[0, 0, 2] = slots[0, 1, 3] = slots[0, 1, 4] = slots[0, 2, 0] = True
    possible = {order for kinds in ((2, 3, 0), (2, 4, 0)) for order in itertools.permutations(kinds)}
    best = max(possible, key=lambda kinds: sum(scores[0, i, kind].item() for i, kind in enumerate(kinds)))
    assert tuple(restricted.assign(scores, slots)[0].tolist()) == best


def test_without_conditions_the_draws_follow_the_posterior():
    num = 60_000
    noisy, now, later = torch.full((num, 1), 2), torch.tensor(0.6), torch.tensor(0.8)
    every = torch.ones(num, 1, K, dtype=torch.bool)
    prediction = logits(1, 1).expand(num, 1, K)
    draws = torch.rand(num, 1, K + 1, generator=torch.Generator().manual_seed(1))
    found = restricted.denoise(noisy, prediction, now, later, draws, Restriction(every, every))
    expected = species.posterior(noisy[:1], torch.softmax(prediction[:1], -1), now, later)[0, 0]
    observed = found.flatten().bincount(minlength=K) / num
    assert torch.allclose(observed, expected, atol=5 * 0.5 / num**0.5)


def test_the_last_step_without_conditions_is_that_of_the_free_process():
    prediction, noisy, now = logits(1, 3), torch.tensor([[0, 2, 5]]), torch.tensor(0.9)
    found = restricted.denoise(
        noisy, prediction, now, torch.tensor(1.0), torch.rand(1, 3, K + 1), Restriction(ALL, ALL)
    )
    assert torch.equal(found, species.settle(noisy, prediction, now))
