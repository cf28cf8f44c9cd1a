"""The Triton kernels against the same in torch: on a GPU if there is one, else in the interpreter."""

import math
import os
import platform
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

triton = pytest.importorskip("triton", reason="triton is not installed: the loops of torch are all there is")

from miad.config.sections import Network  # noqa: E402
from miad.model import edges, kernels  # noqa: E402
from miad.model.edges import Loops, PairIndex, pair_waves  # noqa: E402
from miad.model.kernels import triton_loops as module  # noqa: E402
from miad.model.kernels.triton_loops import TritonLoops, constants  # noqa: E402
from miad.model.network import CSPNet  # noqa: E402
from tests.builders import ROOT  # noqa: E402
from tests.builders.loops import assert_close, outcome, rounding_interpreter  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
KINDS = {torch.float32: 2e-6, torch.bfloat16: 2**-7}
# Channels in one and in several tiles, of a size that is a power of two or not.
SHAPES = [(2, 5, 48), (1, 3, 128), (1, 2, 192), (1, 1, 512), (1, 26, 16)]


@pytest.fixture(autouse=True)
def interpreted_half_precision(monkeypatch):
    """Triton's interpreter cuts bfloat16 off; here it rounds, as a GPU does."""
    if DEVICE == "cpu":
        monkeypatch.setattr(*rounding_interpreter())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", list(KINDS))
def test_kernels_are_torch_in_double_precision(shape, dtype):
    is_ragged = shape[1] == 5
    found = outcome(TritonLoops(), shape, dtype, is_ragged=is_ragged, device=DEVICE)
    expected = outcome(Loops(), shape, dtype, torch.float64, is_ragged=is_ragged)
    assert_close(found, expected, KINDS[dtype])


def test_more_atoms_than_a_tile_has_rows(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 4)
    found = outcome(TritonLoops(), (2, 5, 16), torch.float32, device=DEVICE)
    assert_close(found, outcome(Loops(), (2, 5, 16), torch.float32, torch.float64), 2e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 5), (1, 33, 7), (1, 3, 511)])
@pytest.mark.parametrize("dtype", list(KINDS))
def test_odd_numbers_of_channels_and_atoms(shape, dtype):
    found = outcome(TritonLoops(), shape, dtype, device=DEVICE)
    assert_close(found, outcome(Loops(), shape, dtype, torch.float64), KINDS[dtype])


def test_silu_and_its_slope_of_numbers_near_the_ends_of_float32():
    ends = [0.0, 1e-45, 80.0, 100.0, 1e4, 1e30, 3e38]
    x = torch.tensor([*ends, *(-end for end in ends), math.inf, math.nan])
    u, none, pairs = x.view(1, 1, -1).to(DEVICE), torch.zeros(1, 1, 16, device=DEVICE), PairIndex(1)
    no_pairs, a, slope, rest = none[:, :0], *(torch.empty_like(none) for _ in range(3))
    TritonLoops().first(None, a, u, none, no_pairs, no_pairs, none[0, 0], pairs)
    TritonLoops().first_backward(slope, rest, no_pairs, no_pairs, torch.ones_like(none), u, pairs)
    exact = x.requires_grad_()
    torch.nn.functional.silu(exact).sum().backward()
    for found, expected in ((a, torch.nn.functional.silu(x.detach())), (slope, exact.grad)):
        assert torch.allclose(found.cpu().view(-1), expected, rtol=1e-5, atol=1e-30, equal_nan=True)


@pytest.mark.parametrize("is_padding", [False, True])
@pytest.mark.parametrize("is_half", [False, True])
def test_a_crystal_of_nothing_spoils_no_other(monkeypatch, is_half, is_padding):
    """All padding, or cell and coordinates that are no numbers: its neighbours in the batch stay to the bit."""
    torch.manual_seed(0)
    network = CSPNet(Network(hidden_dim=16, num_layers=2, num_frequencies=2, time_dim=8, gram_scale=0.5)).to(DEVICE)
    monkeypatch.setattr(edges, "fast_loops", lambda _: TritonLoops())
    monkeypatch.setattr(edges, "gpu_loops", lambda _: TritonLoops())
    lattice, coords = 3 * torch.randn(3, 3, 3), torch.rand(3, 4, 3)
    species, is_atom = torch.randint(0, 100, (3, 4)), torch.ones(3, 4, dtype=torch.bool)
    species[2] = 0  # mirages only
    parts = []
    for is_spoilt in (False, True):
        if is_spoilt and is_padding:
            is_atom[1] = False
        elif is_spoilt:
            lattice[1], coords[1] = math.nan, math.nan
        inputs = (tensor.to(DEVICE) for tensor in (lattice, coords, species, torch.tensor([1, 2, 3]), is_atom))
        with torch.no_grad(), torch.autocast(DEVICE, torch.bfloat16, enabled=is_half):
            parts.append(network(*inputs))
    for sound, spoilt in zip(*parts, strict=True):
        assert torch.equal(sound[[0, 2]], spoilt[[0, 2]]) and sound.isfinite().all() and not spoilt[1].isfinite().all()


def test_what_is_no_number_stays_none():
    found = outcome(TritonLoops(), (2, 3, 16), torch.float32, poison=True, device=DEVICE)
    assert found["a"][0, 0, 3].isnan() and found["mean"][0, 0, 3].isnan() and found["d_v"][0, 0, 3].isnan()
    assert not any(part[1].isnan().any() for name, part in found.items() if part.dim() == 3)  # the other crystal


def test_a_crystal_depends_on_no_other():
    """Not a bit, whatever the batch."""
    num, atoms, hidden = 3, 5, 32
    g = torch.Generator().manual_seed(0)
    v, bias = (torch.randn(shape, generator=g).to(DEVICE) for shape in ((num, atoms**2, hidden), (hidden,)))
    share = torch.full((num, atoms), 1 / atoms, device=DEVICE)
    together = torch.empty(num, atoms, hidden, device=DEVICE)
    TritonLoops().second(together, v, bias, share)
    for k in range(num):
        one = torch.empty_like(together[k : k + 1])
        TritonLoops().second(one, v[k : k + 1], bias, share[k : k + 1])
        assert torch.equal(one[0], together[k])


@pytest.mark.parametrize("atoms", [1, 2, 7])
@pytest.mark.parametrize("dtype", list(KINDS))
def test_waves_of_pairs(monkeypatch, atoms, dtype):
    """Of the type asked for, rounded once."""
    angles = torch.rand(2, atoms, 12, generator=torch.Generator().manual_seed(0)) * 2 * math.pi
    inputs, pairs = (angles.sin(), angles.cos()), PairIndex(atoms)
    expected = pair_waves(*(part.double() for part in inputs), pairs, torch.float64)
    monkeypatch.setattr(edges, "gpu_loops", lambda _: TritonLoops())
    found = pair_waves(*(part.to(DEVICE) for part in inputs), pairs, dtype)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == dtype and torch.allclose(ours.double().cpu(), theirs, atol=KINDS[dtype], rtol=0)


def test_waves_of_angles_that_lie_otherwise_in_memory(monkeypatch):
    """As of coordinates whose crystals and atoms were exchanged."""
    angles, pairs = (
        torch.rand(4, 2, 6, generator=torch.Generator().manual_seed(0)).transpose(0, 1).to(DEVICE),
        PairIndex(4),
    )
    inputs = angles.sin(), angles.cos()
    expected = pair_waves(*(part.cpu() for part in inputs), pairs, torch.float32)
    monkeypatch.setattr(edges, "gpu_loops", lambda _: TritonLoops())
    assert not inputs[0].is_contiguous()
    for ours, theirs in zip(pair_waves(*inputs, pairs, torch.float32), expected, strict=True):
        assert torch.allclose(ours.cpu(), theirs, atol=1e-6)


@pytest.mark.parametrize("is_half", [False, True])
def test_the_network_by_kernels_and_by_torch(monkeypatch, is_half):
    """The same weights and crystals: the three predictions and every gradient, with and without a backward pass."""
    torch.manual_seed(0)
    network = CSPNet(Network(hidden_dim=16, num_layers=1, num_frequencies=2, time_dim=8, gram_scale=0.5)).to(DEVICE)
    data = {
        "lattice": 3 * torch.randn(2, 3, 3),
        "frac_coords": torch.rand(2, 6, 3),
        "species": torch.randint(0, 100, (2, 6)),
        "times": torch.tensor([3, 900]),
        "is_atom": torch.tensor([[True] * 6, [True] * 4 + [False] * 2]),
    }
    data = {name: tensor.to(DEVICE) for name, tensor in data.items()}
    results = []
    for loops in (TritonLoops(), None):
        monkeypatch.setattr(edges, "fast_loops", lambda _, loops=loops: loops)
        monkeypatch.setattr(edges, "gpu_loops", lambda _, loops=loops: loops)
        network.zero_grad()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=is_half):
            parts = network(**data)
            with torch.no_grad():
                again = network(**data)
        assert all(torch.equal(one, two) for one, two in zip(parts, again, strict=True))
        sum(part.square().mean() for part in parts).backward()
        results.append([*parts, *(parameter.grad.clone() for parameter in network.parameters())])
    for ours, theirs in zip(*results, strict=True):
        assert (ours - theirs).norm() < (0.02 if is_half else 1e-5) * theirs.norm()


@pytest.mark.parametrize(
    ("is_fit", "device", "dtype", "shape"),
    [
        (True, "cuda", torch.float32, (2, 3, 32)),
        (True, "cuda", torch.bfloat16, (2, 3, 20)),
        (False, "meta", torch.float32, (2, 3, 32)),
        (False, "cuda", torch.float64, (2, 3, 32)),
        (False, "cuda", torch.float32, (0, 3, 32)),
    ],
)
def test_where_the_kernels_are_chosen(monkeypatch, is_fit, device, dtype, shape):
    like = SimpleNamespace(device=torch.device(device), dtype=dtype, shape=shape, numel=lambda: math.prod(shape))
    monkeypatch.delenv("MIAD_EDGES", raising=False)
    monkeypatch.setattr(kernels, "has_triton", lambda: True)
    assert is_fit == isinstance(kernels.fast_loops(like), TritonLoops)
    monkeypatch.setattr(kernels, "has_triton", lambda: False)
    assert kernels.fast_loops(like) is None
    monkeypatch.setenv("MIAD_EDGES", "plain")
    monkeypatch.setattr(kernels, "has_triton", lambda: True)
    assert kernels.fast_loops(like) is None


def test_kernels_need_a_triton_that_can_build_one(monkeypatch, caplog):
    """Without a compiler, headers or a folder to write to, Triton raises at its first kernel."""
    has_triton = kernels.has_triton.__wrapped__
    trial = module.trial
    monkeypatch.setattr(module, "trial", lambda: trial("cpu"))  # by the interpreter
    assert has_triton()
    monkeypatch.setattr(module, "trial", lambda: os.stat("/no/Python.h"))
    assert not has_triton()
    assert "Triton builds no kernels here (FileNotFoundError: " in caplog.text and "Python's headers" in caplog.text


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the assembler comes with triton for x86-64 only")
def test_the_kernels_compile_for_a_card_that_is_not_there():
    """For Hopper, without a spill."""
    command = [sys.executable, str(ROOT / "benchmarks" / "compiled.py"), "--card", "90", "--half"]
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all(int(re.search(r"(\d+) bytes spilt", line)[1]) == 0 for line in lines), done.stdout


@pytest.mark.parametrize("hidden", [1, 20, 48, 512])
@pytest.mark.parametrize("atoms", [1, 3, 26, 200])
def test_tiles_are_powers_of_two_and_divide_the_channels(hidden, atoms):
    sizes = constants(atoms, hidden)
    assert hidden % sizes["COLUMNS"] == 0
    assert all(sizes[name] & (sizes[name] - 1) == 0 for name in ("ROWS", "COLUMNS"))
