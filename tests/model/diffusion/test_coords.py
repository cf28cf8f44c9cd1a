"""Coordinates on the torus: symmetries of the score, and what the reverse steps do to a known density."""

import math

import pytest
import torch

from miad.model.diffusion import coords

DOUBLE = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def moment(places: torch.Tensor) -> complex:
    """First circular moment, E[exp(2πi F)]; of a wrapped normal about 0 it is exp(−2π²σ²)."""
    return torch.exp(2j * math.pi * places).mean().item()


def test_the_score_is_periodic_odd_and_points_home():
    displacement = torch.linspace(-0.49, 0.49, 99, dtype=DOUBLE)
    sigma = torch.tensor([0.1], dtype=DOUBLE)
    score = coords.wrapped_normal_score(displacement, sigma)
    assert torch.allclose(coords.wrapped_normal_score(displacement + 3, sigma), score, atol=1e-9)
    assert torch.allclose(coords.wrapped_normal_score(-displacement, sigma), -score, atol=1e-12)
    assert ((score * displacement) <= 0).all()
    assert coords.wrapped_normal_score(torch.tensor([0.0, 0.5], dtype=DOUBLE), sigma).abs().max() < 1e-12


def test_the_norm_has_its_known_limits():
    """λ → 1/σ² for narrow noise, where no image matters; → 8π² exp(−4π²σ²) for wide noise, the first harmonic."""
    sigma = torch.tensor([0.005, 0.02, 0.5, 0.6], dtype=DOUBLE)
    norm = coords.score_norm(sigma)
    assert norm[:2].tolist() == pytest.approx((1 / sigma[:2] ** 2).tolist(), rel=1e-6)
    wide = 8 * math.pi**2 * torch.exp(-4 * math.pi**2 * sigma[2:] ** 2)
    assert norm[2:].tolist() == pytest.approx(wide.tolist(), rel=1e-3)


def test_added_noise_stays_in_the_cell():
    noise = torch.randn(50, 4, 3, generator=seeded())
    noisy = coords.add_noise(torch.rand(50, 4, 3, generator=seeded()), torch.full((50, 1, 1), 3.0), noise)
    assert noisy.min() >= 0 and noisy.max() <= 1


def test_centring_takes_out_the_rigid_shift_of_the_atoms_that_count():
    score = torch.randn(2, 4, 3, generator=seeded(), dtype=DOUBLE)
    weights = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
    centred = coords.centre(score, weights)
    assert (centred * weights[..., None]).sum(1).abs().max() < 1e-12
    assert torch.allclose(coords.centre(score + torch.tensor([0.3, -1.0, 2.0]), weights), centred)
    assert torch.allclose(centred[0, 0] - centred[0, 1], score[0, 0] - score[0, 1])
    assert torch.isfinite(coords.centre(score, torch.zeros(2, 4))).all()


def test_the_corrector_leaves_the_density_as_it_is():
    """Langevin steps with the true score keep a wrapped normal a wrapped normal, and bring others to it."""
    g, sigma = seeded(), torch.tensor([0.2], dtype=DOUBLE)
    right = 0.2 * torch.randn(20_000, generator=g, dtype=DOUBLE)
    wrong = torch.rand(20_000, generator=g, dtype=DOUBLE)
    for _ in range(100):
        noise = torch.randn(20_000, generator=g, dtype=DOUBLE)
        step = torch.tensor(1e-3, dtype=DOUBLE)
        right = coords.correct(right, coords.wrapped_normal_score(right, sigma), step, noise)
        wrong = coords.correct(wrong, coords.wrapped_normal_score(wrong, sigma), step, noise)
    expected = math.exp(-2 * math.pi**2 * 0.2**2)
    for places in (right, wrong):
        assert moment(places).real == pytest.approx(expected, abs=0.03)
        assert moment(places).imag == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(("before", "after"), [(0.1, 0.09), (0.1, 0.03), (0.03, 0.005)])
def test_a_reverse_step_narrows_the_density_to_the_earlier_one(before, after):
    g = seeded()
    sigma, sigma_next = (torch.tensor(value, dtype=DOUBLE) for value in (before, after))
    places = before * torch.randn(50_000, generator=g, dtype=DOUBLE)
    score = coords.wrapped_normal_score(places, sigma)
    noise = torch.randn(50_000, generator=g, dtype=DOUBLE)
    found = coords.denoise(places, score, sigma, sigma_next, noise)
    found = found - found.round()
    assert found.std().item() == pytest.approx(after, rel=0.02)
    assert found.mean().abs() < 5 * after / 50_000**0.5


def test_the_last_step_is_the_estimate_without_noise():
    places, sigma = torch.tensor([0.51], dtype=DOUBLE), torch.tensor(0.02, dtype=DOUBLE)
    score = coords.wrapped_normal_score(places - 0.5, sigma)
    found = coords.denoise(places, score, sigma, torch.zeros((), dtype=DOUBLE), torch.full((1,), 1e6, dtype=DOUBLE))
    assert found.item() == pytest.approx(0.5, abs=1e-9)


def test_the_loss_is_a_mean_over_components():
    predicted, target = torch.zeros(1, 2, 3), torch.tensor([[[1.0, 2.0, 3.0], [0.0, 0.0, 0.3]]])
    assert coords.loss(predicted, target)[0].tolist() == pytest.approx([14 / 3, 0.03])
