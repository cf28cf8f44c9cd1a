"""The elementwise parts of the edge block as Triton kernels for a GPU: `Loops` of miad/model/edges.py.

Each passes once over memory; the matrix products between them are the library's. A program works on the edges of one
atom at some channels, and every sum is made by one program in a fixed order: results do not vary from run to run, and
a crystal's depend neither on its neighbours in the batch nor on the size of the batch. All arithmetic is in float32.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# Edges and channels of a tile; with 4 warps a thread has 16 of its numbers, read 16 bytes at a time.
ROWS, COLUMNS = 32, 64


@triton.jit
def _place(NUM_ATOMS: tl.constexpr, COLUMNS: tl.constexpr):
    """Of this program: its atom in the batch, that atom's crystal, its place in the crystal, and the channels."""
    atom = tl.program_id(0).to(tl.int64)
    return atom, atom // NUM_ATOMS, atom % NUM_ATOMS, tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)


@triton.jit
def _pair(crystal, i, j, NUM_ATOMS: tl.constexpr):
    """Place of the unordered pair (i, j) in the batch, in the order of torch.triu_indices; any number for i = j."""
    low, high = tl.minimum(i, j), tl.maximum(i, j)
    return crystal * (NUM_ATOMS * (NUM_ATOMS - 1) // 2) + low * (2 * NUM_ATOMS - low - 1) // 2 + high - low - 1


@triton.jit
def _load(pointer, rows, k, mask, HIDDEN: tl.constexpr):
    """Rows of a tensor of HIDDEN channels at channels k, as float32, (rows, columns); 0 where the mask says no."""
    return tl.load(pointer + rows[:, None] * HIDDEN + k[None, :], mask=mask[:, None], other=0.0).to(tl.float32)


@triton.jit
def _store(pointer, values, rows, k, mask, HIDDEN: tl.constexpr):
    """The inverse of `_load`; rounds to the type of the tensor."""
    tl.store(pointer + rows[:, None] * HIDDEN + k[None, :], values.to(pointer.dtype.element_ty), mask=mask[:, None])


@triton.jit
def _sigmoid(x):
    """1 / (1 + exp(−x)) as (1 + 2^(−x log₂e))^−½ squared: a fifth fewer instructions in all than with tl.sigmoid."""
    root = tl.rsqrt(1 + tl.exp2(x * -1.4426950408889634))
    return root * root


@triton.jit
def _silu(x):
    return x * _sigmoid(x)


@triton.jit
def _slope(x):
    """Derivative of SiLU."""
    gate = _sigmoid(x)
    return gate * (1 + x * (1 - gate))


@triton.jit
def _first(
    u, a, receiver, sender, even, odd, alone,
    NUM_ATOMS: tl.constexpr, HIDDEN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """u and SiLU(u) of the edges to one atom; `u` may be None."""
    atom, crystal, i, k = _place(NUM_ATOMS, COLUMNS)
    r = tl.load(receiver + atom * HIDDEN + k).to(tl.float32)[None, :]
    itself = tl.load(alone + k).to(tl.float32)[None, :]
    for start in range(0, NUM_ATOMS, ROWS):
        j = start + tl.arange(0, ROWS)
        is_atom, is_self = j < NUM_ATOMS, (j == i)[:, None]
        pairs, is_pair = _pair(crystal, i, j, NUM_ATOMS), is_atom & (j != i)
        sign = tl.where(i < j, 1.0, -1.0)[:, None]
        wave = _load(even, pairs, k, is_pair, HIDDEN) + sign * _load(odd, pairs, k, is_pair, HIDDEN)
        x = r + _load(sender, crystal * NUM_ATOMS + j, k, is_atom, HIDDEN) + tl.where(is_self, itself, wave)
        x = x.to(a.dtype.element_ty).to(tl.float32)  # what the backward pass reads
        if u is not None:
            _store(u, x, atom * NUM_ATOMS + j, k, is_atom, HIDDEN)
        _store(a, _silu(x), atom * NUM_ATOMS + j, k, is_atom, HIDDEN)


@triton.jit
def _second(
    mean, v, bias, share,
    NUM_ATOMS: tl.constexpr, HIDDEN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Mean of the messages to one atom."""
    atom, crystal, _, k = _place(NUM_ATOMS, COLUMNS)
    b = tl.load(bias + k).to(tl.float32)[None, :]
    total = tl.zeros((COLUMNS,), tl.float32)
    for start in range(0, NUM_ATOMS, ROWS):
        j = start + tl.arange(0, ROWS)
        is_atom = j < NUM_ATOMS
        weight = tl.load(share + crystal * NUM_ATOMS + j, mask=is_atom, other=0.0)[:, None]
        x = _load(v, atom * NUM_ATOMS + j, k, is_atom, HIDDEN) + b
        total += tl.sum(weight * (_silu(x)), 0)
    tl.store(mean + atom * HIDDEN + k, total.to(mean.dtype.element_ty))


@triton.jit
def _second_backward(
    d_v, a, d_bias, grad, u, v, bias, share,
    NUM_ATOMS: tl.constexpr, HIDDEN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Gradients of v of the edges to one atom and their sum, and SiLU(u) once more."""
    atom, crystal, _, k = _place(NUM_ATOMS, COLUMNS)
    b = tl.load(bias + k).to(tl.float32)[None, :]
    g = tl.load(grad + atom * HIDDEN + k).to(tl.float32)[None, :]
    total = tl.zeros((COLUMNS,), tl.float32)
    for start in range(0, NUM_ATOMS, ROWS):
        j = start + tl.arange(0, ROWS)
        is_atom, edges = j < NUM_ATOMS, atom * NUM_ATOMS + j
        weight = tl.load(share + crystal * NUM_ATOMS + j, mask=is_atom, other=0.0)[:, None]
        d = weight * g * _slope(_load(v, edges, k, is_atom, HIDDEN) + b)
        total += tl.sum(d, 0)
        _store(d_v, d, edges, k, is_atom, HIDDEN)
        x = _load(u, edges, k, is_atom, HIDDEN)
        _store(a, _silu(x), edges, k, is_atom, HIDDEN)
    tl.store(d_bias + atom * HIDDEN + k, total)


@triton.jit
def _first_backward(
    receiver, sender, even, odd, alone, d_a, u,
    NUM_ATOMS: tl.constexpr, HIDDEN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Gradients of the projections of atom i, of its pairs with j > i, and of its edge with itself."""
    atom, crystal, i, k = _place(NUM_ATOMS, COLUMNS)
    to_i, from_i = tl.zeros((COLUMNS,), tl.float32), tl.zeros((COLUMNS,), tl.float32)
    for start in range(0, NUM_ATOMS, ROWS):
        j = start + tl.arange(0, ROWS)
        is_atom = j < NUM_ATOMS
        there, back = atom * NUM_ATOMS + j, (crystal * NUM_ATOMS + j) * NUM_ATOMS + i  # to i from j, and to j from i
        d_there = _load(d_a, there, k, is_atom, HIDDEN) * _slope(_load(u, there, k, is_atom, HIDDEN))
        d_back = _load(d_a, back, k, is_atom, HIDDEN) * _slope(_load(u, back, k, is_atom, HIDDEN))
        to_i += tl.sum(d_there, 0)
        from_i += tl.sum(d_back, 0)
        pairs, is_first = _pair(crystal, i, j, NUM_ATOMS), is_atom & (j > i)
        _store(even, d_there + d_back, pairs, k, is_first, HIDDEN)
        _store(odd, d_there - d_back, pairs, k, is_first, HIDDEN)
    itself = (atom * NUM_ATOMS + i) * HIDDEN + k
    d_itself = tl.load(d_a + itself).to(tl.float32) * _slope(tl.load(u + itself).to(tl.float32))
    tl.store(alone + atom * HIDDEN + k, d_itself)
    tl.store(receiver + atom * HIDDEN + k, to_i.to(receiver.dtype.element_ty))
    tl.store(sender + atom * HIDDEN + k, from_i.to(sender.dtype.element_ty))


@triton.jit
def _waves(
    odd, even, sine, cosine,
    NUM_ATOMS: tl.constexpr, HIDDEN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sine and cosine of the differences between atom i's angles and those of the atoms j > i."""
    atom, crystal, i, k = _place(NUM_ATOMS, COLUMNS)
    sine_i, cosine_i = tl.load(sine + atom * HIDDEN + k)[None, :], tl.load(cosine + atom * HIDDEN + k)[None, :]
    for start in range(0, NUM_ATOMS, ROWS):
        j = start + tl.arange(0, ROWS)
        is_first = (j < NUM_ATOMS) & (j > i)
        atoms, pairs = crystal * NUM_ATOMS + j, _pair(crystal, i, j, NUM_ATOMS)
        sine_j, cosine_j = _load(sine, atoms, k, is_first, HIDDEN), _load(cosine, atoms, k, is_first, HIDDEN)
        _store(odd, sine_j * cosine_i - cosine_j * sine_i, pairs, k, is_first, HIDDEN)
        _store(even, cosine_j * cosine_i + sine_j * sine_i, pairs, k, is_first, HIDDEN)


def constants(num_atoms: int, hidden: int) -> dict[str, int]:
    """Sizes and tiles of a kernel: powers of two, of channels one that divides them."""
    rows, columns = min(ROWS, triton.next_power_of_2(num_atoms)), min(COLUMNS, hidden & -hidden)
    return {"NUM_ATOMS": num_atoms, "HIDDEN": hidden, "ROWS": rows, "COLUMNS": columns}


def _run(kernel: Any, *tensors: Tensor | None, like: Tensor) -> None:
    """Start a kernel; `like` has the number of crystals, of atoms and of channels."""
    num, atoms, hidden = like.shape
    sizes = constants(atoms, hidden)
    with torch.cuda.device_of(like):  # Triton starts its programs on the current card
        kernel[(num * atoms, hidden // sizes["COLUMNS"])](*tensors, **sizes)


def trial(device: str = "cuda") -> None:
    """Build and run a small kernel on the current card; raises whatever keeps Triton from it."""
    odd, even = torch.empty(2, 1, 1, 16, device=device).unbind()
    angles = torch.zeros(1, 2, 16, device=device)
    TritonLoops().waves(odd, even, angles, angles)


class TritonLoops:
    """The methods of `miad.model.edges.Loops` by the kernels of this module, in float32 or bfloat16 on a GPU."""

    def first(self, u, a, receiver, sender, even, odd, alone, pairs) -> None:
        """See `Loops`."""
        _run(_first, u, a, receiver, sender, even, odd, alone, like=receiver)

    def second(self, mean, v, bias, share) -> None:
        """See `Loops`."""
        _run(_second, mean, v, bias, share, like=mean)

    def second_backward(self, d_v, a, grad, u, v, bias, share) -> Tensor:
        """See `Loops`."""
        d_bias = torch.empty_like(grad, dtype=torch.float32)  # one per receiver
        _run(_second_backward, d_v, a, d_bias, grad, u, v, bias, share, like=grad)
        return d_bias.sum((0, 1))

    def first_backward(self, receiver, sender, even, odd, d_a, u, pairs) -> Tensor:
        """See `Loops`."""
        alone = torch.empty_like(receiver, dtype=torch.float32)  # one per atom
        _run(_first_backward, receiver, sender, even, odd, alone, d_a, u, like=receiver)
        return alone.sum((0, 1))

    def waves(self, odd, even, sine, cosine) -> None:
        """See `miad.model.edges.pair_waves`; sines and cosines of the pairs are filled."""
        _run(_waves, odd, even, sine, cosine, like=sine)
