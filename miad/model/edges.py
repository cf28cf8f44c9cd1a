"""The edge block of CSPNet, the part that costs: messages over all ordered pairs of atoms and their mean.

For each receiver i and sender j the message is SiLU(W₂ SiLU(u_ij) + b₂), where
u_ij = r_i + s_j + even_ij ± odd_ij comes apart because the first edge layer is linear in its parts: r and s are
projections per atom, and of the Fourier features of d = F_j − F_i the cosines are even and the sines odd in d, so that
each unordered pair is projected once. No edge list, no scatter: every crystal has the same number of atoms.

The backward pass is written out. It keeps two tensors per edge (u and v = W₂ SiLU(u)) where the plain formulation
keeps about nine, and it works in pieces that stay in a processor's cache.

This module is complete. Where there is something faster for a device, `miad.model.kernels` gives it; that folder may be
left out.
"""

import torch
from torch import Tensor
from torch.nn.functional import silu

try:
    from miad.model.kernels import fast_loops, gpu_loops
except ImportError:

    def gpu_loops(like: Tensor) -> None:  # type: ignore[misc]  # narrower than the one it stands in for
        """Nothing is faster without the folder."""

    fast_loops = gpu_loops


# Numbers per piece on a CPU. Measured from 2^17 to 2^23: smaller pieces pay in calls (bf16 most of all, by a quarter),
# larger ones leave the cache.
PIECE = 1 << 19


class PairIndex:
    """Places of the unordered pairs i < j of n atoms among the n² ordered ones (row-major).

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


class Loops:
    """The elementwise parts of the edge block, between its matrix products; in torch, on any device.

    Outputs come first and are filled; sums over all edges are returned in float32 or wider. All tensors are contiguous:
    receiver, sender, mean, grad (n_crystals, n_atoms, hidden); even, odd (n_crystals, n_pairs, hidden); u, a, v and
    their gradients d_… (n_crystals, n_atoms², hidden), receivers before senders; share (n_crystals, n_atoms), float32
    or wider; alone, bias (hidden,).
    """

    def first(self, u, a, receiver, sender, even, odd, alone, pairs) -> None:
        """u_ij = receiver_i + sender_j + even_ij ± odd_ij, and a = SiLU(u); `u` is None where nobody asks for it."""
        num, atoms, hidden = receiver.shape
        u = a if u is None else u
        u.index_copy_(1, pairs.forward, even + odd)
        u.index_copy_(1, pairs.backward, even - odd)
        u.index_copy_(1, pairs.diagonal, alone.expand(num, atoms, hidden))
        grid = u.view(num, atoms, atoms, hidden)
        grid += receiver[:, :, None]
        grid += sender[:, None]
        torch.ops.aten.silu.out(u, out=a)

    def second(self, mean, v, bias, share) -> None:
        """Mean over senders of SiLU(v + bias), weighted by `share`."""
        atoms = mean.shape[1]
        message = silu(v + bias).view(-1, atoms, atoms, len(bias))
        torch.sum(message * share[:, None, :, None].to(message.dtype), 2, out=mean)

    def second_backward(self, d_v, a, grad, u, v, bias, share) -> Tensor:
        """Gradient with respect to v from that of the mean, and a = SiLU(u) once more; returns that of the bias."""
        d_message = grad[:, :, None] * share[:, None, :, None].to(grad.dtype)  # (n_crystals, n_atoms, n_atoms, hidden)
        torch.ops.aten.silu_backward.grad_input(d_message.view(v.shape), v + bias, grad_input=d_v)
        torch.ops.aten.silu.out(u, out=a)
        return d_v.sum((0, 1), dtype=share.dtype)

    def first_backward(self, receiver, sender, even, odd, d_a, u, pairs) -> Tensor:
        """Gradients of what u consists of from that of a; returns that of `alone`."""
        atoms = receiver.shape[1]
        d_u = torch.ops.aten.silu_backward(d_a, u)
        grid = d_u.view(-1, atoms, atoms, d_u.shape[-1])
        torch.sum(grid, 2, out=receiver)
        torch.sum(grid, 1, out=sender)
        forward, backward = d_u.index_select(1, pairs.forward), d_u.index_select(1, pairs.backward)
        torch.add(forward, backward, out=even)
        torch.sub(forward, backward, out=odd)
        wide = torch.promote_types(d_u.dtype, torch.float32)
        return d_u.index_select(1, pairs.diagonal).sum((0, 1), dtype=wide)


class EdgeMean(torch.autograd.Function):
    """Mean over senders of SiLU(W₂ SiLU(u) + b₂), with a hand-written backward pass."""

    @staticmethod
    def forward(ctx, receiver, sender, even, odd, alone, weight, bias, share, pairs, loops, has_backward):
        """See `edge_mean`; tensors are contiguous and have the dtype of the computation, `weight` and `share` maybe a
        wider one."""
        num, atoms, hidden = receiver.shape
        low_weight = weight.to(receiver.dtype)
        step = max(1, PIECE // (atoms * atoms * hidden)) if receiver.device.type == "cpu" else max(1, num)
        kept = num if has_backward else min(num, step)
        second, mean = receiver.new_empty(kept, atoms * atoms, hidden), torch.empty_like(receiver)
        first = torch.empty_like(second) if has_backward else None
        activation = torch.empty_like(second[:step])  # of one piece
        for start in range(0, num, step):
            part = slice(start, start + step)
            v = second[part if has_backward else slice(0, min(step, num - start))]  # (step, n_atoms², hidden)
            u, a = None if first is None else first[part], activation[: len(v)]
            loops.first(u, a, receiver[part], sender[part], even[part], odd[part], alone, pairs)
            torch.mm(a.view(-1, hidden), low_weight.t(), out=v.view(-1, hidden))
            loops.second(mean[part], v, bias, share[part])
        ctx.save_for_backward(first, second, low_weight, bias, share)
        ctx.pairs, ctx.step, ctx.loops, ctx.dtype = pairs, step, loops, weight.dtype
        return mean

    @staticmethod
    def backward(ctx, grad):
        """Gradients with respect to the projections and the second layer."""
        first, second, weight, bias, share = ctx.saved_tensors
        num, _, hidden = grad.shape
        grad, loops = grad.contiguous(), ctx.loops
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
            d_weight += _product(d_second.t(), a)
            torch.mm(d_second, weight, out=d_first.view(-1, hidden))
            d_alone += loops.first_backward(receiver[part], sender[part], even[part], odd[part], d_first, u, ctx.pairs)
        ends = d_alone.to(grad.dtype), d_weight.to(ctx.dtype), d_bias.to(bias.dtype)
        return receiver, sender, even, odd, *ends, None, None, None, None


def _product(left: Tensor, right: Tensor) -> Tensor:
    """left · right; on a GPU the sums stay in float32, which torch has there only."""
    if left.device.type == "cuda" and left.dtype == torch.bfloat16:
        return torch.mm(left, right, out_dtype=torch.float32)
    return torch.mm(left, right)


def edge_mean(
    receiver: Tensor,
    sender: Tensor,
    even: Tensor,
    odd: Tensor,
    alone: Tensor,
    weight: Tensor,
    bias: Tensor,
    share: Tensor,
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
        share: weight of each sender in the mean, (n_crystals, n_atoms), summing to 1.
        pairs: the index of pairs of n_atoms.

    Returns:
        (n_crystals, n_atoms, hidden), in the dtype of `receiver`.
    """
    to = receiver.dtype
    tensors = [tensor.to(to).contiguous() for tensor in (receiver, sender, even, odd, alone)]
    share = share.to(torch.promote_types(to, torch.float32)).contiguous()
    loops = fast_loops(receiver) or Loops()
    return EdgeMean.apply(*tensors, weight, bias.to(to).contiguous(), share, pairs, loops, torch.is_grad_enabled())


def pair_waves(sine: Tensor, cosine: Tensor, pairs: PairIndex, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Sines and cosines of the differences a_j − a_i of angles of every unordered pair i < j, by the addition theorems.

    Args:
        sine, cosine: of the angles of each atom, (n_crystals, n_atoms, n_angles).
        pairs: the index of pairs of n_atoms.
        dtype: of the results, each (n_crystals, n_pairs, n_angles).
    """
    loops = None if sine.requires_grad else gpu_loops(sine)  # they have no gradient
    if loops is not None:
        odd = sine.new_empty(len(sine), len(pairs.first), sine.shape[2], dtype=dtype)
        even = torch.empty_like(odd)
        loops.waves(odd, even, sine.contiguous(), cosine.contiguous())
        return odd, even
    sine_i, cosine_i = sine[:, pairs.first], cosine[:, pairs.first]  # (n_crystals, n_pairs, n_angles)
    sine_j, cosine_j = sine[:, pairs.second], cosine[:, pairs.second]
    odd, even = sine_j * cosine_i - cosine_j * sine_i, cosine_j * cosine_i + sine_j * sine_i
    return odd.to(dtype), even.to(dtype)


def arithmetic(device: torch.device | str, precision: str) -> str:
    """What computes the edge block there, and what decides its round-off, for log and records."""
    like = torch.zeros(1, 1, 1, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    name = type(fast_loops(like) or Loops()).__name__
    if like.device.type == "cuda":
        return f"{name} in {precision} on {torch.cuda.get_device_name(like.device)}"
    return f"{name} in {precision}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
