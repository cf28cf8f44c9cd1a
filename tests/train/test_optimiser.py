"""Learning rate, clipping and averaged weights by hand."""

import copy

import pytest
import torch

from miad.train.optimiser import Optimiser, cooldown_start, learning_rate
from tests.builders import toy

SCHEDULE = toy.changed(learning_rate=0.01, warmup_steps=10, cooldown_fraction=0.25)


def test_warm_up_constant_cooldown():
    rates = [learning_rate(SCHEDULE, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.001 * (step + 1) for step in range(10)])
    assert rates[10:75] == [0.01] * 65
    assert rates[75] == 0.01  # the first step of the cooldown is still a full one
    assert rates[75 + 9] == pytest.approx(0.01 * (1 - (9 / 25) ** 0.5)) == pytest.approx(0.004)
    assert rates[75:] == sorted(rates[75:], reverse=True)
    assert 0 < rates[99] < 0.03 * 0.01


def test_runs_of_all_lengths_agree_until_the_shorter_ones_cooldown():
    start = cooldown_start(SCHEDULE, 100)
    assert start == 75
    for step in range(start + 1):
        assert learning_rate(SCHEDULE, step, 100) == learning_rate(SCHEDULE, step, 1000)
    assert learning_rate(SCHEDULE, start + 1, 100) < learning_rate(SCHEDULE, start + 1, 1000)


@pytest.mark.parametrize(("fraction", "start"), [(0.0, 100), (1.0, 0), (0.001, 100)])
def test_extremes_of_the_cooldown(fraction, start):
    settings = toy.changed(warmup_steps=0, learning_rate=1.0, cooldown_fraction=fraction)
    rates = [learning_rate(settings, step, 100) for step in range(100)]
    assert cooldown_start(settings, 100) == start
    assert all(rate == 1.0 for rate in rates) if start == 100 else rates[25] == pytest.approx(0.5)


def gradients(network, seed, size=1.0):
    g = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.grad = size * torch.randn(parameter.shape, generator=g)


def test_the_average_is_the_one_computed_by_hand():
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    optimiser = Optimiser(network, toy.changed(ema_decay=0.3, warmup_steps=0))
    expected = network.weight.detach().double().clone()
    for step in range(6):
        gradients(network, step)
        optimiser.step(step, 6)
        # 1/10, 2/11, 3/12 while the average warms up, then 0.3
        decay = (0.1, 2 / 11, 0.25, 0.3, 0.3, 0.3)[step]
        expected = decay * expected + (1 - decay) * network.weight.detach().double()
    assert torch.allclose(optimiser.average["weight"].double(), expected, atol=1e-7)
    assert not torch.equal(optimiser.average["weight"], network.weight)


def test_without_decay_the_average_is_the_weights():
    network = torch.nn.Linear(3, 2)
    optimiser = Optimiser(network, toy.changed(ema_decay=None))
    for step in range(30):
        gradients(network, step)
        optimiser.step(step, 30)
    assert all(torch.equal(optimiser.average[name], weight) for name, weight in network.named_parameters())


def test_clipping_limits_the_norm_of_the_whole_gradient():
    network = torch.nn.Linear(3, 2)
    for limit, expected in ((0.5, 0.5), (None, None)):
        optimiser = Optimiser(network, toy.changed(clip_norm=limit))
        gradients(network, 0, size=100.0)
        before = torch.cat([p.grad.flatten() for p in network.parameters()])
        norm = optimiser.step(0, 10)
        after = torch.cat([p.grad.flatten() for p in network.parameters()])
        assert norm.item() == pytest.approx(before.norm().item(), rel=1e-5)
        assert after.norm().item() == pytest.approx(expected or before.norm().item(), rel=1e-4)
        assert torch.cosine_similarity(before, after, dim=0) > 0.999999


def test_one_step_is_adams():
    """After one step Adam's moments cancel: each weight moves by the learning rate against its gradient."""
    network = torch.nn.Linear(3, 2)
    before = network.weight.detach().clone()
    gradients(network, 0)
    Optimiser(network, toy.changed(warmup_steps=0, learning_rate=0.01, clip_norm=None)).step(0, 10)
    assert torch.allclose(network.weight - before, -0.01 * network.weight.grad.sign(), atol=1e-6)


def test_its_state_comes_back_to_the_last_bit():
    torch.manual_seed(1)
    networks = [torch.nn.Linear(3, 2) for _ in range(2)]
    whole, torn = (Optimiser(network, toy.changed()) for network in networks)
    for step in range(3):
        gradients(networks[0], step)
        whole.step(step, 10)
    torn.load_state(copy.deepcopy(whole.state()), 3)
    for step in range(3, 6):
        for network, optimiser in zip(networks, (whole, torn), strict=True):
            gradients(network, step)
            optimiser.step(step, 10)
    states = whole.state(), torn.state()
    assert states[0].keys() == {"weights", "average", "exp_avg", "exp_avg_sq"}
    for group, part in states[0].items():
        assert all(torch.equal(tensor, states[1][group][name]) for name, tensor in part.items()), group


def test_the_state_before_the_first_step_comes_back_too():
    network = torch.nn.Linear(3, 2)
    state = Optimiser(network, toy.changed()).state()
    assert state["exp_avg"] == {}
    Optimiser(torch.nn.Linear(3, 2), toy.changed()).load_state(state, 0)
