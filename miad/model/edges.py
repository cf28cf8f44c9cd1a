"""The edge block of CSPNet, the part that costs: messages over all ordered pairs of atoms and their mean.

For each receiver i and sender j the message is SiLU(W₂ SiLU(u_ij) + b₂), where
u_ij = r_i + s_j + even_ij ± odd_ij comes apart because the first edge layer is linear in its parts: r and s are
projections per atom, and of the Fourier features of d = F_j − F_i the cosines are even and the sines odd in d, so that
each unordered pair is projected once. No edge list, no scatter: every crystal has the same number of atoms.

The backward pass is written out. It keeps two tensors per edge (u and v = W₂ SiLU(u)) where the plain formulation
keeps about nine, and it works in pieces that stay in a processor's cache. What lies between the matrix products is in
miad/model/kernels/edge_loops.py, compiled for a processor where that can be done.

On a GPU the kernels of miad/model/kernels/edge_kernel.py take its place.
"""

import functools
import importlib.util
import logging
import os
import shutil

import torch
from torch import Tensor

from miad.model.kernels.edge_loops import PairIndex, loops_for

log = logging.getLogger("miad")
# Numbers per piece on a CPU. Measured from 2^17 to 2^23: smaller pieces pay in calls (bf16 most of all, by a quarter),
# larger ones leave the cache.
PIECE = 1 << 19


class EdgeMean(torch.autograd.Function):
    """Mean over senders of SiLU(W₂ SiLU(u) + b₂), with a hand-written backward pass."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx, receiver, sender, even, odd, alone, weight, bias, share, pairs, has_backward
    ):
        """See `edge_mean`; tensors are contiguous and have the dtype of the computation, `weight` and `share` maybe a
        wider one."""
        num, atoms, hidden = receiver.shape
        low_weight = weight.to(receiver.dtype)
        loops = loops_for(receiver)
        step = max(1, PIECE // (atoms * atoms * hidden)) if receiver.device.type == "cpu" else max(1, num)
        first = receiver.new_empty(num if has_backward else min(num, step), atoms * atoms, hidden)
        second, mean = torch.empty_like(first), torch.empty_like(receiver)
        activation = torch.empty_like(first[:step])  # of one piece
        for start in range(0, num, step):
            part = slice(start, start + step)
            here = part if has_backward else slice(0, min(step, num - start))
            u, v = first[here], second[here]  # (step, n_atoms², hidden)
            a = activation[: len(u)]
            loops.first(u, a, receiver[part], sender[part], even[part], odd[part], alone, pairs)
            torch.mm(a.view(-1, hidden), low_weight.t(), out=v.view(-1, hidden))
            loops.second(mean[part], v, bias, share[part])
        ctx.save_for_backward(first, second, weight, bias, share)
        ctx.pairs, ctx.step, ctx.loops = pairs, step, loops
        return mean

    @staticmethod
    def backward(ctx, grad):  # type: ignore[override]
        """Gradients with respect to the projections and the second layer."""
        first, second, weight, bias, share = ctx.saved_tensors
        num, _, hidden = grad.shape
        grad, loops, low_weight = grad.contiguous(), ctx.loops, weight.to(grad.dtype)
        receiver, sender = torch.empty_like(grad), torch.empty_like(grad)
        even = grad.new_empty(num, len(ctx.pairs.first), hidden)
        odd = torch.empty_like(even)
        d_v, activation, d_a = (torch.empty_like(first[: ctx.step]) for _ in range(3))  # of one piece
        wide = share.dtype  # sums over many edges, never in half precision
        d_alone, d_bias = grad.new_zeros(2, hidden, dtype=wide)
        d_weight = torch.zeros_like(weight, dtype=wide)
        for start in range(0, num, ctx.step):
            part = slice(start, start + ctx.step)
            u, v = first[part], second[part]  # (step, n_atoms², hidden)
            d_second, a, d_first = d_v[: len(u)], activation[: len(u)], d_a[: len(u)]
            d_bias += loops.second_backward(d_second, a, grad[part], u, v, bias, share[part])
            d_second, a = d_second.view(-1, hidden), a.view(-1, hidden)  # (n_edges, hidden)
            d_weight += torch.mm(d_second.t(), a)
            torch.mm(d_second, low_weight, out=d_first.view(-1, hidden))
            d_alone += loops.first_backward(receiver[part], sender[part], even[part], odd[part], d_first, u, ctx.pairs)
        ends = d_alone.to(grad.dtype), d_weight.to(weight.dtype), d_bias.to(bias.dtype)
        return receiver, sender, even, odd, *ends, None, None, None


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
    """Whether the GPU kernels do this block: on a GPU with Triton, not in double precision."""
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
    tensors = [tensor.to(to).contiguous() for tensor in (receiver, sender, even, odd, alone)]
    tensors += [weight, bias.to(to)]
    if fits_kernel(receiver):
        from miad.model.kernels.edge_kernel import EdgeKernel

        return EdgeKernel.apply(*tensors, share)
    wide = torch.promote_types(to, torch.float32)
    if share is None:
        share = torch.full(receiver.shape[:2], 1 / max(1, receiver.shape[1]), dtype=wide, device=receiver.device)
    return EdgeMean.apply(*tensors, share.to(wide).contiguous(), pairs, torch.is_grad_enabled())
