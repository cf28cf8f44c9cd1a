"""D3PM in closed form: distributions stay distributions, and the extremes are the obvious ones."""

import pytest
import torch
from torch.nn.functional import one_hot

from miad.model.diffusion import species

K = 100
DOUBLE = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def alpha(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=DOUBLE)


def test_spread_keeps_distributions_and_composes():
    """Two spreads are one with the product of the keep probabilities: the semigroup behind Q̄_t."""
    start = torch.softmax(torch.randn(2, 3, K, generator=seeded(), dtype=DOUBLE), -1)
    once = species.spread(species.spread(start, alpha(0.7)), alpha(0.4))
    assert torch.allclose(once, species.spread(start, alpha(0.28)), atol=1e-15)
    assert torch.allclose(once.sum(-1), torch.ones(2, 3, dtype=DOUBLE))
    assert torch.equal(species.spread(start, alpha(1.0)), start)
    assert torch.allclose(species.spread(start, alpha(0.0)), torch.full((2, 3, K), 1 / K, dtype=DOUBLE))


def test_noise_at_the_two_ends():
    clean = torch.randint(0, K, (4, 5), generator=seeded())
    uniform, resampled = torch.rand(4, 5, generator=seeded(1)), torch.randint(0, K, (4, 5), generator=seeded(2))
    assert torch.equal(species.add_noise(clean, torch.ones(4, 1), uniform, resampled), clean)
    assert torch.equal(species.add_noise(clean, torch.zeros(4, 1), uniform, resampled), resampled)


@pytest.mark.parametrize(("now", "later"), [(0.5, 0.6), (0.002, 0.9), (0.99, 1.0)])
def test_posteriors_are_distributions(now, later):
    clean = torch.softmax(5 * torch.randn(2, 3, K, generator=seeded(), dtype=DOUBLE), -1)
    found = species.posterior(torch.randint(0, K, (2, 3), generator=seeded()), clean, alpha(now), alpha(later))
    assert (found >= 0).all() and torch.allclose(found.sum(-1), torch.ones(2, 3, dtype=DOUBLE))


def test_the_last_posterior_is_bayes_and_sure_predictions_settle_on_themselves():
    logits = torch.randn(1, 4, K, generator=seeded(), dtype=DOUBLE)
    noisy = torch.tensor([[0, 5, 50, 99]])
    likelihood = species.spread(one_hot(noisy, K).double(), alpha(0.9))
    expected = (torch.softmax(logits, -1) * likelihood).argmax(-1)
    assert torch.equal(species.settle(noisy, logits, alpha(0.9)), expected)
    sure = 100 * one_hot(torch.tensor([[8, 8, 0, 0]]), K).double()
    assert species.settle(noisy, sure, alpha(0.9)).tolist() == [[8, 8, 0, 0]]


@pytest.mark.parametrize("number", [0.0, 0.5, 1 - 2**-24])
def test_draws_never_leave_the_classes_nor_pick_an_impossible_one(number):
    """At the ends of the inversion, rounding must not fall on the class beyond the last or one of probability 0."""
    noisy = torch.full((1, 3), 7)
    sure = 1e4 * one_hot(torch.tensor([[0, 7, 99]]), K).float()
    uniform = torch.full((1, 3), number)
    drawn = species.denoise(noisy, sure, torch.tensor(0.5), torch.tensor(1.0), uniform)
    assert drawn.tolist() == [[0, 7, 99]]


def test_the_loss_is_a_thousand_times_the_divergence_with_softened_logarithms():
    noisy, clean = torch.tensor([[3]]), torch.tensor([[8]])
    now, later = alpha(0.5), alpha(0.55)
    logits = torch.randn(1, 1, K, generator=seeded(), dtype=DOUBLE)
    true = species.posterior(noisy, one_hot(clean, K).double(), now, later)
    predicted = species.posterior(noisy, torch.softmax(logits, -1), now, later)
    divergence = (true * ((true + 1e-4) / (predicted + 1e-4)).log()).sum()
    assert species.loss(logits, noisy, clean, now, later).item() == pytest.approx(1000 * divergence.item())


@pytest.mark.parametrize("keep", [0.03, 0.4, 0.98])
def test_both_losses_are_least_for_what_the_rest_of_the_crystal_says(keep, monkeypatch):
    """A_0 from a distribution π, A_t from noise: of all p₀ that may depend on A_t, π has the least expected losses."""
    monkeypatch.setattr(species, "LOG_OFFSET", 0.0)
    rest = torch.softmax(2 * torch.randn(K, generator=seeded(), dtype=DOUBLE), -1)  # π, (K,)
    every = torch.arange(K).repeat(K, 1)  # (n_crystals, n_atoms): an atom for each A_0, a crystal for each A_t
    noisy = every.T.contiguous()  # (n_crystals, n_atoms)
    joint = rest * species.spread(torch.eye(K, dtype=DOUBLE), alpha(keep))  # P(A_t, A_0), (n_crystals, n_atoms)
    logits = rest.log().repeat(K, 1)[:, None].requires_grad_()  # (n_crystals, 1, K)
    shared = logits.expand(K, K, K)  # (n_crystals, n_atoms, K)
    later = alpha(keep + 0.01)
    auxiliary = (joint * species.cross_entropy(shared, noisy, every, alpha(keep))).sum()
    main = (joint * species.loss(shared, noisy, every, alpha(keep), later)).sum() / species.LOSS_SCALE
    for expected in (auxiliary, main):
        assert torch.autograd.grad(expected, logits, retain_graph=True)[0].abs().max() < 1e-12
    forgotten = (joint * torch.nn.functional.cross_entropy(shared.transpose(1, 2), every, reduction="none")).sum()
    assert torch.autograd.grad(forgotten, logits)[0].abs().max() > 1e-3  # without A_t the minimum lies elsewhere
