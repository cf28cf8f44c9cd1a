"""The Triton kernels of the edge block against the plain path: on a GPU if there is one, else in the interpreter."""

import math
import os
import platform
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

triton = pytest.importorskip("triton", reason="triton is not installed: the plain path is all there is")

from miad.config.sections import Network  # noqa: E402
from miad.model import edges, kernels  # noqa: E402
from miad.model.edges import PairIndex  # noqa: E402
from miad.model.kernels import edge_kernel  # noqa: E402
from miad.model.kernels.edge_kernel import EdgeKernel, Tiles, tiles_for  # noqa: E402
from miad.model.network import CSPNet  # noqa: E402
from tests.builders import ROOT  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
NAMES = ("mean", "receiver", "sender", "even", "odd", "alone", "weight", "bias")


@pytest.fixture(autouse=True)
def interpreted_half_precision(monkeypatch):
    """Triton's interpreter cuts bfloat16 off and multiplies its bits; here it rounds, and multiplies numbers."""
    if DEVICE == "cuda":
        return
    from triton.runtime import interpreter

    half, single = triton.language.bfloat16, triton.language.float32
    product, convert = interpreter.InterpreterBuilder.create_dot, interpreter._convert_float

    def numbers(handle):
        if handle.dtype.scalar != half:
            return handle
        values = torch.from_numpy(handle.data.view("int16")).view(torch.bfloat16)
        return interpreter.TensorHandle(values.float().numpy(), single)

    def rounded(data, source, target, mode):
        if (source, target) != (single, half):
            return convert(data, source, target, mode)
        return torch.from_numpy(data).bfloat16().view(torch.int16).numpy().view("uint16")

    monkeypatch.setattr(interpreter, "_convert_float", rounded)
    monkeypatch.setattr(
        interpreter.InterpreterBuilder,
        "create_dot",
        lambda self, a, b, *more: product(self, numbers(a), numbers(b), *more),
    )


def inputs(num: int, atoms: int, hidden: int, is_ragged: bool = False):
    """Random arguments of edge_mean; every other crystal of a ragged batch has padding."""
    g = torch.Generator().manual_seed(0)
    pairs = PairIndex(atoms)
    shapes = [(num, atoms, hidden)] * 2 + [(num, len(pairs.first), hidden)] * 2 + [(hidden,), (hidden,) * 2, (hidden,)]
    tensors = [torch.randn(shape, generator=g) for shape in shapes]
    tensors[5] /= hidden**0.5
    share = None
    if is_ragged:
        is_atom = torch.arange(atoms) < torch.where(torch.arange(num) % 2 == 0, atoms, (atoms + 1) // 2)[:, None]
        share = is_atom / is_atom.sum(1, keepdim=True)
    return tensors, share


def outcome(function, tensors, share, dtype, device):
    """Mean and all gradients of a random projection of it, in float64 on the CPU."""
    leaves = [tensor.to(device, dtype).requires_grad_() for tensor in tensors]
    mean = function(*leaves, None if share is None else share.to(device, dtype))
    probe = torch.randn(mean.shape, generator=torch.Generator().manual_seed(1)).to(device, dtype)
    gradients = torch.autograd.grad((mean * probe).sum(), leaves)
    return [part.detach().double().cpu() for part in (mean, *gradients)]


def plain(*arguments):
    """The path in torch, which `edge_mean` takes on a CPU without a compiler."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIAD_EDGES", "plain")
        return edges.edge_mean(*arguments, PairIndex(arguments[0].shape[1]))


def error(found, expected) -> float:
    """Relative, in the norm of the whole tensor."""
    return float((found - expected).norm() / expected.norm().clamp(min=1e-30))


SHAPES = [(2, 5, 32, False), (2, 7, 48, True), (2, 1, 16, False), (2, 2, 16, True), (1, 25, 32, True)]


@pytest.mark.parametrize("shape", SHAPES)
def test_single_precision_is_the_plain_path_in_double(shape):
    tensors, share = inputs(*shape)
    found = outcome(EdgeKernel.apply, tensors, share, torch.float32, DEVICE)
    expected = outcome(plain, tensors, share, torch.float64, "cpu")
    for name, ours, theirs in zip(NAMES, found, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5 * float(theirs.abs().max()) if theirs.numel() else 0), name


@pytest.mark.parametrize("shape", [(2, 7, 48, True), (1, 12, 32, False)])
def test_half_precision_is_at_least_as_good_as_the_plain_path(shape):
    """Both round SiLU(u), the messages and the edges' gradients to eight bits; the plain path also u and v."""
    tensors, share = inputs(*shape)
    tensors = [tensor.bfloat16() for tensor in tensors]  # what is rounded before is the same for all
    share = None if share is None else share.bfloat16()
    exact = outcome(plain, tensors, share, torch.float64, "cpu")
    found = outcome(EdgeKernel.apply, tensors, share, torch.bfloat16, DEVICE)
    rounded = outcome(plain, tensors, share, torch.bfloat16, "cpu")
    for name, ours, theirs, truth in zip(NAMES, found, rounded, exact, strict=True):
        assert error(ours, truth) < 1.1 * error(theirs, truth) and error(ours, truth) < 2**-7, name


def test_crystals_larger_than_a_tile(monkeypatch):
    monkeypatch.setattr(edge_kernel, "tiles_for", lambda *_: Tiles(16, 16, 16, 4, 2))
    tensors, share = inputs(1, 17, 16, is_ragged=True)  # two passes of nine senders
    found = outcome(EdgeKernel.apply, tensors, share, torch.float32, DEVICE)
    expected = outcome(plain, tensors, share, torch.float64, "cpu")
    for name, ours, theirs in zip(NAMES, found, expected, strict=True):
        assert error(ours, theirs) < 1e-5, name


def test_a_crystal_depends_on_no_other():
    """Not a bit, whatever the batch; a crystal that is no number stays alone."""
    (*tensors, alone, weight, bias), _ = inputs(3, 5, 32)
    tensors = [tensor.to(DEVICE) for tensor in tensors]
    layer = [tensor.to(DEVICE) for tensor in (alone, weight, bias)]
    together = EdgeKernel.apply(*tensors, *layer, None)
    for k in range(3):
        assert torch.equal(EdgeKernel.apply(*(tensor[k : k + 1] for tensor in tensors), *layer, None)[0], together[k])
    tensors[0][1, 0] = float("nan")
    spoilt = EdgeKernel.apply(*tensors, *layer, None)
    assert torch.equal(spoilt[[0, 2]], together[[0, 2]]) and spoilt[1].isnan().any()


def test_the_network_takes_the_kernel(monkeypatch):
    """The same weights and crystals by both paths: the three predictions and every gradient."""
    torch.manual_seed(0)
    network = CSPNet(Network(hidden_dim=16, num_layers=2, num_frequencies=4, time_dim=8, gram_scale=0.5)).to(DEVICE)
    data = {
        "lattice": 3 * torch.randn(2, 3, 3),
        "frac_coords": torch.rand(2, 6, 3),
        "species": torch.randint(0, 100, (2, 6)),
        "times": torch.tensor([3, 900]),
        "is_atom": torch.tensor([[True] * 6, [True] * 4 + [False] * 2]),
    }
    data = {name: tensor.to(DEVICE) for name, tensor in data.items()}
    calls, results = [], []
    counted = SimpleNamespace(apply=lambda *arguments: calls.append(1) or EdgeKernel.apply(*arguments))
    monkeypatch.setattr(edge_kernel, "EdgeKernel", counted)
    for is_kernel in (True, False):
        monkeypatch.setattr(kernels, "fits_triton", lambda _, is_kernel=is_kernel: is_kernel)
        network.zero_grad()
        parts = network(**data)
        sum(part.square().mean() for part in parts).backward()
        results.append([*parts, *(parameter.grad.clone() for parameter in network.parameters())])
        assert len(calls) == 2  # one per layer, and none on the plain path
    for ours, theirs in zip(*results, strict=True):
        assert error(ours, theirs) < 1e-5


@pytest.mark.parametrize(
    ("is_fit", "device", "dtype", "shape"),
    [
        (True, "cuda", torch.float32, (2, 3, 32)),
        (True, "cuda", torch.bfloat16, (2, 3, 32)),
        (False, "cpu", torch.float32, (2, 3, 32)),
        (False, "cuda", torch.float64, (2, 3, 32)),
        (False, "cuda", torch.float32, (2, 3, 24)),
        (False, "cuda", torch.float32, (0, 3, 32)),
    ],
)
def test_where_the_kernel_is_chosen(monkeypatch, is_fit, device, dtype, shape):
    like = SimpleNamespace(device=torch.device(device), dtype=dtype, shape=shape, numel=lambda: math.prod(shape))
    monkeypatch.delenv("MIAD_EDGES", raising=False)
    monkeypatch.setattr(kernels, "has_triton", lambda: True)
    assert kernels.fits_triton(like) == is_fit == (kernels.fast_edges(like) == EdgeKernel.apply)
    monkeypatch.setattr(kernels, "has_triton", lambda: False)
    assert not kernels.fits_triton(like)
    monkeypatch.setenv("MIAD_EDGES", "plain")
    monkeypatch.setattr(kernels, "has_triton", lambda: True)
    assert kernels.fast_edges(like) is None


def test_kernels_need_triton_and_a_compiler(monkeypatch, caplog):
    has_triton = kernels.has_triton.__wrapped__
    monkeypatch.setenv("CC", "cc")
    assert has_triton()
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    assert not has_triton() and "Install gcc, or set CC" in caplog.text


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the assembler comes with triton for x86-64 only")
def test_the_kernels_compile_for_a_card_that_is_not_there():
    """For Hopper: within its shared memory and nearly its registers, with tensor cores wherever they are wanted."""
    command = [sys.executable, str(ROOT / "benchmarks" / "compiled.py"), "--card", "90", "--half"]
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert "(fits)" in line and int(re.search(r"(\d+) bytes spilt", line)[1]) < 512
        products = int(re.search(r"(\d+) tensor-core", line)[1])
        assert (products > 0) == ("second layer" in line), line


@pytest.mark.parametrize("hidden", [16, 48, 128, 320, 512])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("is_exact", "is_hopper"), [(False, False), (False, True), (True, True)])
def test_tiles_divide_the_layer(hidden, dtype, is_exact, is_hopper):
    tiles = tiles_for(hidden, dtype, is_exact, is_hopper)
    assert hidden % tiles.columns == 0 and hidden % tiles.depth == 0
    assert all(size >= 16 and size & (size - 1) == 0 for size in (tiles.rows, tiles.columns, tiles.depth))
