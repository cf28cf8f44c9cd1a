"""The edge block of CSPNet as Triton kernels for a GPU: as in `miad.model.edges`, without edge tensors in memory.

Forward is one kernel. A program takes some receivers of one crystal with all their senders as the rows of a tile, makes
SiLU(u) of them from the projections (receiver, sender, even, odd) as it walks along the inner dimension of the second
layer, and reduces the messages to means before anything is written. A tile never holds atoms of two crystals, so that
a crystal's result depends neither on its neighbours in the batch nor on the size of the batch.

Backward recomputes. Only the projections are kept between the passes; for the time of one layer's backward pass there
are three edge tensors: dL/dv (v the second pre-activation) by the forward kernel with another ending, dL/da by the
library's matrix product, and a = SiLU(u) on the way, which the gradient of the weights needs.

Why not more in one kernel: the Fourier features are projected by the library before, because each unordered pair's
projection serves two rows in two tiles, and 768 → 512 products of a tile's own would be done twice. dL/dW sums
n_edges products of (hidden, hidden); a kernel of our own would compute a = SiLU(u) once per block of rows of W, and
exponentials, not products, would be its limit. Figures: benchmarks/RESULTS.md.
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor


@dataclass(frozen=True)
class Tiles:
    """Cut of the second layer. Fixed, not tuned at run time: other tiles round differently.

    Attributes:
        rows: edges of a tile, a power of two.
        columns: outputs of a tile, a power of two that divides hidden.
        depth: step along the inner dimension, a power of two that divides hidden.
        warps, stages: of a program, and of its software pipeline.
    """

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int


def tiles_for(hidden: int, dtype: torch.dtype, is_exact: bool, is_hopper: bool) -> Tiles:
    """Tiles that compile for a card without spilling its registers in the loop, and fit its shared memory.

    Args:
        hidden: a multiple of 16.
        dtype: of the projections.
        is_exact: float32 without tensor cores.
        is_hopper: 227 KiB of shared memory and asynchronous products (H100, H200, later); others have 99 KiB or more.
    """
    divisor = hidden & -hidden  # the largest power of two that divides hidden
    if is_exact:
        rows, columns, depth, warps, stages = 64, 128, 16, 8, 2
    elif not is_hopper:
        rows, columns, depth, warps, stages = 64, 128, 32, 4, 2
    elif dtype == torch.float32:
        rows, columns, depth, warps, stages = 128, 128, 32, 8, 2
    else:
        # 128 × 256 sums take half of the registers; 256 columns mean that SiLU(u) is made twice at hidden 512.
        rows, columns, depth, warps, stages = 128, 256, 32, 8, 3
    return Tiles(rows, min(columns, divisor), min(depth, divisor), warps, stages)


@triton.jit
def _pair(i, j, NUM_ATOMS: tl.constexpr):
    """Place of the unordered pair (i, j) in the order of torch.triu_indices; 0 for i = j."""
    low, high = tl.minimum(i, j), tl.maximum(i, j)
    place = low * (2 * NUM_ATOMS - low - 1) // 2 + high - low - 1
    return tl.where(i == j, 0, place)


@triton.jit
def _sigmoid(x):
    """1 / (1 + exp(−x)), as (1 + 2^(−x log₂e))^−½ squared: a third fewer instructions than tl.sigmoid on a GPU."""
    root = tl.rsqrt(1 + tl.exp2(x * -1.4426950408889634))
    return root * root


@triton.jit
def _pre_activation(
    receiver, sender, even, odd, alone, crystal, i, j, k, NUM_ATOMS: tl.constexpr, HIDDEN: tl.constexpr
):
    """u of receivers i and senders j, (rows,), at columns k, in float32, (rows, columns)."""
    pairs = crystal * (NUM_ATOMS * (NUM_ATOMS - 1) // 2) + _pair(i, j, NUM_ATOMS)
    is_self = (i == j)[:, None]
    of_pair = pairs[:, None] * HIDDEN + k[None, :]
    # A crystal of one atom has no pairs, so that the place of a self pair may not even be looked at.
    cosines = tl.load(even + of_pair, mask=~is_self, other=0.0).to(tl.float32)
    sines = tl.load(odd + of_pair, mask=~is_self, other=0.0).to(tl.float32)
    itself = tl.where(is_self, 1.0, 0.0) * tl.load(alone + k).to(tl.float32)[None, :]
    sign = tl.where(i < j, 1.0, -1.0)[:, None]
    r = tl.load(receiver + (crystal * NUM_ATOMS + i)[:, None] * HIDDEN + k[None, :]).to(tl.float32)
    s = tl.load(sender + (crystal * NUM_ATOMS + j)[:, None] * HIDDEN + k[None, :]).to(tl.float32)
    return (r + s) + (cosines + sign * sines) + itself


@triton.jit
def _second_layer(
    receiver, sender, even, odd, alone, weight, bias, share, grad, out, d_bias,
    NUM_ATOMS: tl.constexpr, HIDDEN: tl.constexpr, RECEIVERS: tl.constexpr, SENDERS: tl.constexpr,
    GROUPS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    IS_RAGGED: tl.constexpr, IS_BACKWARD: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Mean message of RECEIVERS atoms at COLUMNS outputs; backward: dL/dv of their edges and its sum.

    Programs: columns fastest, so that those which share a tile's projections run side by side and find them in the
    cache; then the tiles of a crystal; then crystals.
    """
    columns_of_tile = HIDDEN // COLUMNS
    tiles: tl.constexpr = (NUM_ATOMS + RECEIVERS - 1) // RECEIVERS
    program = tl.program_id(0)
    tile = program // columns_of_tile
    crystal = (tile // tiles).to(tl.int64)
    first = (tile % tiles) * RECEIVERS
    columns = (program % columns_of_tile) * COLUMNS + tl.arange(0, COLUMNS)
    rows = tl.arange(0, ROWS)
    group = rows // SENDERS  # which of the receivers
    i = tl.minimum(first + group, NUM_ATOMS - 1)
    b = tl.load(bias + columns).to(tl.float32)
    mean = tl.zeros((GROUPS, COLUMNS), tl.float32)
    total = tl.zeros((COLUMNS,), tl.float32)
    for start in tl.static_range(0, NUM_ATOMS, SENDERS):  # once, unless a crystal has more atoms than a tile has rows
        place = start + rows % SENDERS
        is_edge = (group < RECEIVERS) & (first + group < NUM_ATOMS) & (place < NUM_ATOMS)
        j = tl.minimum(place, NUM_ATOMS - 1)  # rows without an edge repeat another one and are dropped
        v = tl.zeros((ROWS, COLUMNS), tl.float32)
        for step in range(0, HIDDEN, DEPTH):
            k = step + tl.arange(0, DEPTH)
            u = _pre_activation(receiver, sender, even, odd, alone, crystal, i, j, k, NUM_ATOMS, HIDDEN)
            a = (u * _sigmoid(u)).to(weight.dtype.element_ty)
            w = tl.load(weight + columns[None, :] * HIDDEN + k[:, None])  # (depth, columns)
            v = tl.dot(a, w, v, input_precision=PRECISION)
        v += b[None, :]
        gate = _sigmoid(v)
        if IS_RAGGED:
            spread = tl.load(share + crystal * NUM_ATOMS + j).to(tl.float32)
        else:
            spread = tl.full((ROWS,), 1.0 / NUM_ATOMS, tl.float32)
        spread = tl.where(is_edge, spread, 0.0)
        if IS_BACKWARD:
            atom = crystal * NUM_ATOMS + i
            d_message = tl.load(grad + atom[:, None] * HIDDEN + columns[None, :]).to(tl.float32) * spread[:, None]
            d_v = d_message * gate * (1 + v * (1 - gate))
            total += tl.sum(tl.where(is_edge[:, None], d_v, 0.0), 0)
            place_out = (atom * NUM_ATOMS + j)[:, None] * HIDDEN + columns[None, :]
            tl.store(out + place_out, d_v.to(out.dtype.element_ty), mask=is_edge[:, None])
        else:
            message = (v * gate * spread[:, None]).to(weight.dtype.element_ty)
            # The sum over senders as a product with ones and zeros: a reduction along rows would cost more.
            chosen = tl.where(tl.arange(0, GROUPS)[:, None] == group[None, :], 1.0, 0.0).to(weight.dtype.element_ty)
            mean = tl.dot(chosen, message, mean, input_precision=PRECISION)
    if IS_BACKWARD:
        tl.store(d_bias + tile * HIDDEN + columns, total)
    else:
        receivers = first + tl.arange(0, GROUPS)
        is_receiver = (tl.arange(0, GROUPS) < RECEIVERS) & (receivers < NUM_ATOMS)
        place_out = (crystal * NUM_ATOMS + receivers)[:, None] * HIDDEN + columns[None, :]
        tl.store(out + place_out, mean.to(out.dtype.element_ty), mask=is_receiver[:, None])


@triton.jit
def _first_layer_backward(
    receiver, sender, even, odd, alone, d_a, a, d_receiver, d_sender, d_even, d_odd, d_self,
    NUM_ATOMS: tl.constexpr, HIDDEN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """From dL/da of all edges: a = SiLU(u) of atom i's edges, the gradients of its projections and of its pairs j > i.

    A program looks at the edges to and from one atom, so that nothing is added up between programs.
    """
    atom = tl.program_id(0).to(tl.int64)
    crystal, i = atom // NUM_ATOMS, atom % NUM_ATOMS
    k = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    to_i = tl.zeros((COLUMNS,), tl.float32)
    from_i = tl.zeros((COLUMNS,), tl.float32)
    itself = tl.zeros((COLUMNS,), tl.float32)
    for start in range(0, NUM_ATOMS, ROWS):
        place = start + tl.arange(0, ROWS)
        is_atom = (place < NUM_ATOMS)[:, None]
        j = tl.minimum(place, NUM_ATOMS - 1)
        same = i + tl.zeros_like(j)
        u = _pre_activation(receiver, sender, even, odd, alone, crystal, same, j, k, NUM_ATOMS, HIDDEN)
        gate = _sigmoid(u)
        here = (atom * NUM_ATOMS + j)[:, None] * HIDDEN + k[None, :]  # receiver i, sender j
        tl.store(a + here, (u * gate).to(a.dtype.element_ty), mask=is_atom)
        incoming = tl.load(d_a + here, mask=is_atom, other=0.0).to(tl.float32) * gate * (1 + u * (1 - gate))
        u = _pre_activation(receiver, sender, even, odd, alone, crystal, j, same, k, NUM_ATOMS, HIDDEN)
        gate = _sigmoid(u)
        there = ((crystal * NUM_ATOMS + j) * NUM_ATOMS + i)[:, None] * HIDDEN + k[None, :]  # receiver j, sender i
        outgoing = tl.load(d_a + there, mask=is_atom, other=0.0).to(tl.float32) * gate * (1 + u * (1 - gate))
        incoming = tl.where(is_atom, incoming, 0.0)
        outgoing = tl.where(is_atom, outgoing, 0.0)
        to_i += tl.sum(incoming, 0)
        from_i += tl.sum(outgoing, 0)
        itself += tl.sum(tl.where((place == i)[:, None], incoming, 0.0), 0)
        pairs = crystal * (NUM_ATOMS * (NUM_ATOMS - 1) // 2) + _pair(same, j, NUM_ATOMS)
        of_pair = pairs[:, None] * HIDDEN + k[None, :]
        is_first = is_atom & (place > i)[:, None]
        tl.store(d_even + of_pair, (incoming + outgoing).to(d_even.dtype.element_ty), mask=is_first)
        tl.store(d_odd + of_pair, (incoming - outgoing).to(d_odd.dtype.element_ty), mask=is_first)
    here = atom * HIDDEN + k
    tl.store(d_receiver + here, to_i.to(d_receiver.dtype.element_ty))
    tl.store(d_sender + here, from_i.to(d_sender.dtype.element_ty))
    tl.store(d_self + here, itself)


def second_constants(num_atoms: int, hidden: int, tiles: Tiles, is_exact: bool) -> dict[str, Any]:
    """Constants and launch options of `_second_layer`."""
    # Receivers, or for large crystals the senders of one, spread evenly over as few tiles as hold them.
    receivers = triton.cdiv(num_atoms, triton.cdiv(num_atoms, max(1, tiles.rows // num_atoms)))
    senders = triton.cdiv(num_atoms, triton.cdiv(num_atoms, tiles.rows))
    return {
        "NUM_ATOMS": num_atoms,
        "HIDDEN": hidden,
        "RECEIVERS": receivers,
        "SENDERS": senders,
        "GROUPS": max(16, triton.next_power_of_2(receivers)),  # a matrix product has at least 16 rows
        "ROWS": tiles.rows,
        "COLUMNS": tiles.columns,
        "DEPTH": tiles.depth,
        "PRECISION": "ieee" if is_exact else "tf32",  # half precision has one way only
        "num_warps": tiles.warps,
        "num_stages": tiles.stages,
    }


def first_constants(num_atoms: int, hidden: int) -> dict[str, Any]:
    """Constants and launch options of `_first_layer_backward`."""
    rows, columns = min(32, triton.next_power_of_2(num_atoms)), min(64, hidden & -hidden)
    return {"NUM_ATOMS": num_atoms, "HIDDEN": hidden, "ROWS": rows, "COLUMNS": columns, "num_warps": 8}


def _start_second_layer(receiver: Tensor, *others: Tensor | None, out: Tensor, grad: Tensor | None = None) -> Any:
    """Fill `out` with means; with the gradient of the means, fill it with dL/dv. Returns dL/db, then, (hidden,)."""
    num, atoms, hidden = receiver.shape
    device = receiver.device
    is_exact = receiver.dtype == torch.float32 and not torch.backends.cuda.matmul.allow_tf32
    is_hopper = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)
    constants = second_constants(atoms, hidden, tiles_for(hidden, receiver.dtype, is_exact, is_hopper), is_exact)
    tiles = num * triton.cdiv(atoms, constants["RECEIVERS"])
    d_bias = None if grad is None else receiver.new_empty(tiles, hidden, dtype=torch.float32)
    with torch.cuda.device_of(receiver):  # Triton starts its programs on the current card
        _second_layer[(tiles * (hidden // constants["COLUMNS"]),)](
            receiver, *others, grad, out, d_bias, IS_RAGGED=others[-1] is not None, IS_BACKWARD=grad is not None,
            **constants,
        )  # fmt: skip
    return None if d_bias is None else d_bias.sum(0)


class EdgeKernel(torch.autograd.Function):
    """`miad.model.edges.EdgeMean` by the kernels of this module; the same function of the same arguments."""

    @staticmethod
    def forward(ctx, receiver, sender, even, odd, alone, weight, bias, share):
        """Tensors are contiguous; `weight` may be of higher precision than the others."""
        mean, low_weight = torch.empty_like(receiver), weight.to(receiver.dtype)
        _start_second_layer(receiver, sender, even, odd, alone, low_weight, bias, share, out=mean)
        ctx.save_for_backward(receiver, sender, even, odd, alone, weight, bias, share)
        return mean

    @staticmethod
    def backward(ctx, grad):
        """Gradients with respect to the projections and the second layer; those of the layer in float32."""
        receiver, sender, even, odd, alone, weight, bias, share = ctx.saved_tensors
        num, atoms, hidden = receiver.shape
        low_weight = weight.to(receiver.dtype)
        projections = (receiver, sender, even, odd, alone)
        d_v = receiver.new_empty(num * atoms * atoms, hidden)
        d_bias = _start_second_layer(*projections, low_weight, bias, share, out=d_v, grad=grad.contiguous())
        d_a = torch.mm(d_v, low_weight)  # (n_edges, hidden)
        a, d_receiver, d_sender = torch.empty_like(d_v), torch.empty_like(receiver), torch.empty_like(receiver)
        d_even, d_odd, d_self = torch.empty_like(even), torch.empty_like(even), torch.empty_like(receiver).float()
        constants = first_constants(atoms, hidden)
        with torch.cuda.device_of(receiver):
            _first_layer_backward[(num * atoms, hidden // constants["COLUMNS"])](
                *projections, d_a, a, d_receiver, d_sender, d_even, d_odd, d_self,
                **constants,
            )  # fmt: skip
        return d_receiver, d_sender, d_even, d_odd, d_self.sum((0, 1)), _transposed_product(d_v, a), d_bias, None


def _transposed_product(left: Tensor, right: Tensor) -> Tensor:
    """leftᵀ · right in float32: the sum over all edges is never kept in half precision."""
    if left.dtype == torch.float32 or left.device.type == "cpu":  # torch has the mixed product on GPUs only
        return torch.mm(left.t().float(), right.float())
    return torch.mm(left.t(), right, out_dtype=torch.float32)
