"""The hand-written backward pass of the edge block, the pieces it works in, and that it is complete by itself."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from torch.nn.functional import silu

from miad.model import edges
from miad.model.edges import PairIndex, edge_mean
from tests.builders import ROOT

HIDDEN = 3


def inputs(num=2, atoms=4, share=None, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    pairs = PairIndex(atoms)
    shapes = [(num, atoms, HIDDEN)] * 2 + [(num, len(pairs.first), HIDDEN)] * 2
    shapes += [(HIDDEN,), (HIDDEN, HIDDEN), (HIDDEN,)]
    tensors = [torch.randn(shape, generator=g, dtype=dtype).requires_grad_() for shape in shapes]
    share = torch.full((num, atoms), 1 / atoms) if share is None else share
    return [*tensors, share.to(dtype), pairs]


def plain(receiver, sender, even, odd, alone, weight, bias, share, pairs):
    """The same by a loop over ordered pairs."""
    atoms = receiver.shape[1]
    position = {pair: k for k, pair in enumerate(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))}
    rows = []
    for i in range(atoms):
        total = 0
        for j in range(atoms):
            k = position.get((min(i, j), max(i, j)))
            feature = alone if i == j else even[:, k] + (odd[:, k] if i < j else -odd[:, k])
            u = receiver[:, i] + sender[:, j] + feature
            total = total + share[:, j, None] * silu(silu(u) @ weight.T + bias)
        rows.append(total)
    return torch.stack(rows, 1)


SHARE = torch.tensor([[0.5, 0.25, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0]])


def test_pairs_and_their_mirror_images_cover_every_place_once():
    for atoms in (1, 2, 7):
        pairs = PairIndex(atoms)
        places = torch.cat([pairs.forward, pairs.backward, pairs.diagonal])
        assert places.sort().values.tolist() == list(range(atoms**2))
        assert torch.equal(pairs.forward // atoms, pairs.first) and torch.equal(pairs.forward % atoms, pairs.second)
        assert torch.equal(pairs.backward // atoms, pairs.second)


@pytest.mark.parametrize("share", [None, SHARE])
@pytest.mark.parametrize("piece", [1, 100, 1 << 18])
def test_it_is_the_loop_over_pairs_whatever_the_pieces(monkeypatch, share, piece):
    monkeypatch.setattr(edges, "PIECE", piece)
    arguments = inputs(share=share)
    found, expected = edge_mean(*arguments), plain(*arguments)
    assert torch.allclose(found, expected, atol=1e-12)
    probe = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=found.dtype)
    gradients = [torch.autograd.grad((result * probe).sum(), arguments[:7]) for result in (found, expected)]
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("share", [None, SHARE])
def test_gradients_against_finite_differences(share):
    arguments = inputs(share=share)
    assert torch.autograd.gradcheck(lambda *tensors: edge_mean(*tensors, *arguments[7:]), arguments[:7])


@pytest.mark.parametrize("atoms", [1, 2])
def test_the_smallest_crystals(atoms):
    arguments = inputs(atoms=atoms)
    assert torch.allclose(edge_mean(*arguments), plain(*arguments), atol=1e-12)


def test_no_crystals_have_no_gradient():
    """A process without a share of the batch still takes part."""
    arguments = inputs(num=0)
    edge_mean(*arguments).sum().backward()
    assert all((tensor.grad == 0).all() for tensor in arguments[:7])


def test_half_precision_is_close_and_stays_half():
    exact = edge_mean(*inputs())
    arguments = [tensor.detach().bfloat16() if isinstance(tensor, torch.Tensor) else tensor for tensor in inputs()]
    half = edge_mean(*arguments)
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.double(), exact, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tensors_that_are_views_of_others(dtype):
    """Whatever loops there are, they read memory in order."""
    *tensors, pairs = inputs(dtype=dtype)
    views = [torch.stack([tensor, -tensor], -1)[..., 0] for tensor in tensors]
    assert not any(view.is_contiguous() for view in views)
    assert torch.equal(edge_mean(*views, pairs), edge_mean(*tensors, pairs))


def test_the_arithmetic_says_what_ran(monkeypatch):
    monkeypatch.setenv("MIAD_EDGES", "plain")
    found = edges.arithmetic("cpu", "float32")
    assert found == f"Loops in float32, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


NETWORK_ALONE = """
import importlib.util, torch
from miad.config.sections import Network
from miad.model.network import CSPNet
assert importlib.util.find_spec("miad.model.kernels") is None
torch.manual_seed(0)
network = CSPNet(Network(16, 2, 4, 8, 0.5))
g = torch.Generator().manual_seed(0)
noisy = torch.randn(2, 3, 3, generator=g), torch.rand(2, 5, 3, generator=g), torch.randint(0, 100, (2, 5), generator=g)
total = sum(part.square().mean() for part in network(*noisy, torch.tensor([3, 900])))
total.backward()
print(total.item(), sum(parameter.grad.abs().sum().item() for parameter in network.parameters()))
"""


def test_the_package_is_complete_without_the_kernels(tmp_path):
    """Their folder left out, the network gives the same numbers, and training and sampling can be imported."""
    whole = NETWORK_ALONE.replace('assert importlib.util.find_spec("miad.model.kernels") is None\n', "")
    alone = NETWORK_ALONE + "import miad.train.trainer, miad.sample.step, miad.import_weights\n"
    shutil.copytree(ROOT / "miad", tmp_path / "miad", ignore=shutil.ignore_patterns("kernels", "__pycache__"))
    found = []
    for root, code in ((ROOT, whole), (tmp_path, alone)):
        environment = {**os.environ, "PYTHONPATH": str(root)}
        done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append([float(word) for word in done.stdout.split()])
    assert found[0] == pytest.approx(found[1], rel=1e-5)
