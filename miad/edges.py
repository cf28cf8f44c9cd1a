"""The edge block of CSPNet, the part that costs: messages over all ordered pairs of atoms and their mean.

For each receiver i and sender j the message is SiLU(W₂ SiLU(u_ij) + b₂), where
u_ij = r_i + s_j + even_ij ± odd_ij comes apart because the first edge layer is linear in its parts: r and s are
projections per atom, and of the Fourier features of d = F_j − F_i the cosines are even and the sines odd in d, so that
each unordered pair is projected once. No edge list, no scatter: every crystal has the same number of atoms.

The backward pass is written out. It keeps two tensors per edge (u and the second pre-activation) where the plain
formulation keeps about nine, and it works in pieces that stay in a processor's cache.

On a GPU the kernels of miad/edge_kernel.py take its place.
"""

import functools
import importlib.util
import logging
import os
import shutil

import torch
from torch import Tensor
from torch.nn.functional import silu

log = logging.getLogger("miad")
# Numbers per piece on a CPU. Measured from 2^17 to 2^23: smaller pieces pay in calls (bf16 most of all, by a quarter),
# larger ones leave the cache.
PIECE = 1 << 20


class PairIndex:
    """Where the unordered pairs i < j of n atoms stand among the n² ordered ones (row-major).

    Attributes:
        first, second: i and j of each pair, (n_pairs,).
        forward: index of (receiver i, sender j), (n_pairs,).
        backward: index of (receiver j, sender i), (n_pairs,).
        diagonal: index of (i, i), (n_atoms,).
    """

    def __init__(self, num_atoms: int, device: torch.device | str = "cpu") -> None:
        self.num_atoms = num_atoms
        self.first, self.second = torch.triu_indices(num_atoms, num_atoms, 1, device=device)
        self.forward = self.first * num_atoms + self.second
        self.backward = self.second * num_atoms + self.first
        self.diagonal = torch.arange(num_atoms, device=device) * (num_atoms + 1)


def _pre_activation(
    u: Tensor, receiver: Tensor, sender: Tensor, even: Tensor, odd: Tensor, alone: Tensor, pairs: PairIndex
) -> None:
    """Fill u_ij of a few crystals, (n_crystals, n_atoms², hidden)."""
    num, atoms, hidden = receiver.shape
    u.index_copy_(1, pairs.forward, even + odd)
    u.index_copy_(1, pairs.backward, even - odd)
    u.index_copy_(1, pairs.diagonal, alone.expand(num, atoms, hidden))
    grid = u.view(num, atoms, atoms, hidden)
    grid += receiver[:, :, None]
    grid += sender[:, None]


class EdgeMean(torch.autograd.Function):
    """Mean over senders of SiLU(W₂ SiLU(u) + b₂), with a hand-written backward pass."""

    @staticmethod
    def forward(ctx, receiver, sender, even, odd, alone, weight, bias, share, pairs):  # type: ignore[override]
        """See `edge_mean`; tensors already have the dtype of the computation."""
        num, atoms, hidden = receiver.shape
        step = max(1, PIECE // (atoms * atoms * hidden)) if receiver.device.type == "cpu" else num
        first = receiver.new_empty(num, atoms * atoms, hidden)
        second = torch.empty_like(first)
        mean = receiver.new_empty(num, atoms, hidden)
        for start in range(0, num, step):
            part = slice(start, start + step)
            u, v = first[part], second[part]  # (step, n_atoms², hidden)
            _pre_activation(u, receiver[part], sender[part], even[part], odd[part], alone, pairs)
            torch.addmm(bias, silu(u).view(-1, hidden), weight.t(), out=v.view(-1, hidden))
            message = silu(v).view(-1, atoms, atoms, hidden)
            if share is None:
                torch.mean(message, 2, out=mean[part])
            else:
                torch.sum(message * share[part, None, :, None], 2, out=mean[part])
        ctx.save_for_backward(first, second, weight, share)
        ctx.pairs, ctx.step = pairs, step
        return mean

    @staticmethod
    def backward(ctx, grad):  # type: ignore[override]
        """Gradients with respect to the projections and the second layer."""
        first, second, weight, share = ctx.saved_tensors
        num, atoms, hidden = grad.shape
        pairs, silu_backward = ctx.pairs, torch.ops.aten.silu_backward
        receiver, sender = torch.empty_like(grad), torch.empty_like(grad)
        even = grad.new_empty(num, len(pairs.first), hidden)
        odd = torch.empty_like(even)
        wide = torch.promote_types(grad.dtype, torch.float32)  # sums over many edges, never in half precision
        alone, d_bias = grad.new_zeros(2, hidden, dtype=wide)
        d_weight = torch.zeros_like(weight, dtype=wide)
        for start in range(0, num, ctx.step):
            part = slice(start, start + ctx.step)
            spread = share[part, None, :, None] if share is not None else 1.0 / atoms
            d_message = (grad[part, :, None] * spread).expand(-1, -1, atoms, -1)  # (step, n_atoms, n_atoms, hidden)
            d_v = silu_backward(d_message, second[part].view(d_message.shape)).reshape(-1, hidden)  # (n_edges, hidden)
            u = first[part]
            d_weight += torch.mm(d_v.t(), silu(u).view(-1, hidden))
            d_bias += d_v.sum(0)
            d_u = silu_backward(torch.mm(d_v, weight).view(u.shape), u)  # (step, n_atoms², hidden)
            grid = d_u.view(-1, atoms, atoms, hidden)
            torch.sum(grid, 2, out=receiver[part])
            torch.sum(grid, 1, out=sender[part])
            forward, backward = d_u.index_select(1, pairs.forward), d_u.index_select(1, pairs.backward)
            torch.add(forward, backward, out=even[part])
            torch.sub(forward, backward, out=odd[part])
            alone += d_u.index_select(1, pairs.diagonal).sum((0, 1))
        to = grad.dtype
        return receiver, sender, even, odd, alone.to(to), d_weight.to(to), d_bias.to(to), None, None


@functools.cache
def has_kernel() -> bool:
    """Whether the kernels can be had, and MIAD_EDGES=plain does not forbid them."""
    if os.environ.get("MIAD_EDGES") == "plain" or importlib.util.find_spec("triton") is None:
        return False
    has_compiler = any((os.environ.get("CC"), shutil.which("gcc"), shutil.which("clang")))
    if not has_compiler:
        log.warning(
            "no C compiler, with which Triton builds its kernels on first use: the network runs without them, slower."
            " Install gcc, or set CC."
        )
    return has_compiler


def fits_kernel(receiver: Tensor) -> bool:
    """Whether the kernels of miad/edge_kernel.py do this block: on a GPU with Triton, not in double precision."""
    is_fit = receiver.device.type == "cuda" and receiver.dtype != torch.float64 and receiver.shape[-1] % 16 == 0
    return is_fit and receiver.numel() > 0 and has_kernel()


def edge_mean(
    receiver: Tensor,
    sender: Tensor,
    even: Tensor,
    odd: Tensor,
    alone: Tensor,
    weight: Tensor,
    bias: Tensor,
    share: Tensor | None,
    pairs: PairIndex,
) -> Tensor:
    """Mean message to every atom.

    Args:
        receiver: projection of the receiving atom with everything that is the same for all pairs of the crystal,
            (n_crystals, n_atoms, hidden).
        sender: projection of the sending atom, (n_crystals, n_atoms, hidden).
        even: projection of the cosines of each unordered pair, (n_crystals, n_pairs, hidden).
        odd: projection of the sines of d = F_j − F_i, i < j, (n_crystals, n_pairs, hidden).
        alone: what `even` is for a pair of an atom with itself (all cosines 1), (hidden,).
        weight, bias: second layer, (hidden, hidden) and (hidden,).
        share: weight of each sender in the mean, (n_crystals, n_atoms), summing to 1; None: all the same.
        pairs: the index of pairs of n_atoms.

    Returns:
        (n_crystals, n_atoms, hidden), in the dtype of `receiver`.
    """
    to = receiver.dtype
    if fits_kernel(receiver):
        from miad.edge_kernel import edge_mean as fused

        return fused(receiver, sender, even, odd, alone, weight, bias, share)
    return EdgeMean.apply(
        receiver,
        sender.to(to),
        even.to(to),
        odd.to(to),
        alone.to(to),
        weight.to(to),
        bias.to(to),
        None if share is None else share.to(to),
        pairs,
    )
