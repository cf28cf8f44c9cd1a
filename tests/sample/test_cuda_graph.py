"""The network as the sampler calls it."""

import pytest
import torch

from miad.model.network import CSPNet
from miad.sample.cuda_graph import Predictor
from tests.builders import toy


def batch(num: int, device: str = "cpu") -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(num)
    inputs = [
        4 * torch.randn(num, 3, 3, generator=g),
        torch.rand(num, 5, 3, generator=g),
        torch.randint(0, 100, (num, 5), generator=g),
        torch.full((num,), 7),
        torch.arange(5) < torch.randint(1, 6, (num, 1), generator=g),
    ]
    return [tensor.to(device) for tensor in inputs]


@pytest.fixture
def network() -> CSPNet:
    torch.manual_seed(0)
    return CSPNet(toy.NETWORK).eval()


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_on_a_cpu_it_is_the_network_itself(network, precision):
    inputs = batch(3)
    for found, expected in zip(Predictor(network, precision)(*inputs), network(*inputs), strict=True):
        assert torch.equal(found, expected) and not found.requires_grad


def test_gradients_by_inputs_come_only_where_they_are_asked_for(network):
    lattice, *others = batch(3)
    asked = [lattice.requires_grad_(), *others]
    found = Predictor(network, "float32")(*asked)
    (slope,) = torch.autograd.grad(found[2].sum(), lattice)
    assert slope.shape == (3, 3, 3) and (slope != 0).any()
    with torch.no_grad():
        assert not any(part.requires_grad for part in Predictor(network, "float32")(*asked))


def test_bf16_is_near_and_comes_back_in_single_precision(network):
    inputs = batch(3)
    for found, expected in zip(Predictor(network, "bf16")(*inputs), network(*inputs), strict=True):
        assert found.dtype == torch.float32 and not torch.equal(found, expected)
        assert (found - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_the_processes_own_arithmetic_is_left_as_it_was(network, precision):
    seen = []
    network.register_forward_pre_hook(lambda *_: seen.append(torch.backends.cuda.matmul.allow_tf32))
    Predictor(network, precision)(*batch(2))
    assert seen == [precision == "tf32"] and not torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(RuntimeError):
        Predictor(network, precision)(torch.zeros(2, 3, 3), *batch(3)[1:])
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.is_autocast_enabled("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_replayed_graph_is_the_call_it_recorded(network, precision):
    predictor = Predictor(network.cuda(), precision)
    kept = [(inputs, predictor(*inputs)) for inputs in (batch(3, "cuda"), batch(4, "cuda"))]  # two shapes
    again = [tensor.clone() for tensor in kept[0][0]]
    again[0] *= 2
    kept.append((again, predictor(*again)))  # a replay with other numbers
    for inputs, outputs in kept:
        for found, expected in zip(outputs, predictor._predict(inputs), strict=True):
            assert torch.equal(found, expected)
