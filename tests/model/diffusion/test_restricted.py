"""Species under conditions: what is drawn fulfils them, and without conditions it is what the posterior says."""

import itertools

import pytest
import torch
from torch.nn.functional import one_hot

from miad.core.crystal import MIRAGE, NUM_SPECIES
from miad.model.diffusion import restricted, species
from miad.model.process import Restriction

K = 6
ALL = torch.ones(1, 3, K, dtype=torch.bool)


def logits(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, K, generator=torch.Generator().manual_seed(0))


def test_the_mirage_class_keeps_its_share_and_the_elements_get_no_less():
    allowed = ALL & torch.tensor([True, True, True, False, False, False])
    before, after = torch.softmax(logits(1, 3), -1), restricted.restrict(logits(1, 3), allowed).exp()
    assert torch.allclose(after[..., 0], before[..., 0]) and (after[..., 3:] == 0).all()
    assert (after[..., 1:3] > before[..., 1:3]).all()
    assert torch.allclose(after.sum(-1), torch.ones(1, 3))


def test_an_element_that_is_not_allowed_gives_its_share_to_those_like_it():
    sodium, iron, oxygen = 11, 26, 8
    allowed = torch.zeros(1, 1, NUM_SPECIES, dtype=torch.bool)
    allowed[..., [MIRAGE, sodium, iron, oxygen]] = True
    for sure, likest in ((19, sodium), (27, iron), (9, oxygen), (16, oxygen), (55, sodium), (MIRAGE, MIRAGE)):
        prediction = 50.0 * one_hot(torch.tensor([[sure]]), NUM_SPECIES)
        found = restricted.restrict(prediction, allowed).exp()[0, 0]
        assert found.argmax() == likest and found.max() > 0.5 and abs(found.sum() - 1) < 1e-5


def test_rows_of_one_batch_are_kept_apart():
    allowed = ALL.clone()
    allowed[0, 1, 3:] = False
    together = restricted.restrict(logits(1, 3), allowed)
    for place in range(3):
        alone = restricted.restrict(logits(1, 3)[:, place : place + 1], allowed[:, place : place + 1])
        assert torch.allclose(together[:, place], alone[:, 0], atol=1e-6)


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
