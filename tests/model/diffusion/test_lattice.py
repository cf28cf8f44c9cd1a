"""DDPM on lattice matrices."""

import pytest
import torch

from miad.model.diffusion import lattice

DOUBLE = torch.float64


def test_noisy_lattices_have_the_mean_and_spread_of_the_process():
    clean = torch.diag(torch.tensor([3.0, 4.0, 5.0], dtype=DOUBLE)).repeat(20_000, 1, 1)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    noisy = lattice.add_noise(clean, torch.full((20_000,), 0.64, dtype=DOUBLE), noise)
    assert torch.allclose(noisy.mean(0), 0.8 * clean[0], atol=0.03)
    assert torch.allclose(noisy.std(0), torch.full((3, 3), 0.6, dtype=DOUBLE), atol=0.02)


def test_the_noise_of_a_batch_depends_on_each_crystals_time():
    clean, noise = torch.ones(2, 3, 3), torch.full((2, 3, 3), 7.0)
    noisy = lattice.add_noise(clean, torch.tensor([1.0, 0.0]), noise)
    assert torch.equal(noisy, torch.stack([clean[0], noise[1]]))


def test_the_last_step_undoes_the_noise_and_adds_none():
    clean, noise = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    now = torch.tensor(0.3, dtype=DOUBLE)
    noisy = lattice.add_noise(clean, now.expand(4), noise)
    found = lattice.denoise(noisy, noise, now, torch.ones((), dtype=DOUBLE), 1e6 * torch.ones(4, 3, 3, dtype=DOUBLE))
    assert torch.allclose(found, clean, atol=1e-12)


def test_the_loss_is_a_mean_over_the_nine_entries():
    predicted = torch.zeros(2, 3, 3)
    noise = torch.stack([torch.ones(3, 3), 3 * torch.eye(3)])
    assert lattice.loss(predicted, noise).tolist() == pytest.approx([1.0, 3.0])


def test_limit_bounds_the_cell_aimed_at_and_nothing_else():
    g = torch.Generator().manual_seed(0)
    noisy, predicted = torch.randn(2, 50, 3, 3, generator=g, dtype=torch.float64).unbind()
    alpha_bar = torch.tensor(0.3, dtype=torch.float64)
    limited = lattice.limit(noisy, predicted, alpha_bar, 2.5)

    def aimed_at(epsilon):
        return ((noisy - (1 - alpha_bar).sqrt() * epsilon) / alpha_bar.sqrt()).norm(dim=-1)

    before, after = aimed_at(predicted), aimed_at(limited)
    assert (before > 2.5).any() and (before < 2.5).any()
    assert torch.allclose(after, before.clamp(max=2.5))
    assert torch.equal(limited[before < 2.5], predicted[before < 2.5])
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=g, dtype=torch.float64))
    assert torch.allclose(lattice.limit(noisy @ turn, predicted @ turn, alpha_bar, 2.5), limited @ turn)
