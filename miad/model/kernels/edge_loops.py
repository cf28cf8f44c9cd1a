"""The elementwise parts of the edge block, between its matrix products: in torch, and compiled for a processor.

The compiled ones (edge_loops.c) make one pass over memory where torch makes about six. They are built on first use with
the C compiler that is there and kept in the cache folder; without a compiler the torch ones do the same, slower.

Shapes: receiver, sender, mean, grad (n_crystals, n_atoms, hidden); even, odd (n_crystals, n_pairs, hidden); u, a, v and
d_… of them (n_crystals, n_atoms², hidden), receivers before senders; share (n_crystals, n_atoms), float32 or wider;
alone, bias (hidden,). All contiguous.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import silu

from miad.core.files import atomic_path, cache_folder

log = logging.getLogger("miad")
SOURCE = Path(__file__).with_suffix(".c")
# Vector code needs comparisons without exceptions for NaN; a NaN still comes out as NaN, and nothing is reordered.
OPTIONS = ["-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-ffinite-math-only"]
OPTIONS += ["-fno-signed-zeros", "-fPIC", "-shared"]
MOST_ATOMS = 256  # whose sums fit a thread's stack


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


class Loops(Protocol):
    """The four parts. Outputs come first and are filled; sums over all edges are returned in `share`'s dtype."""

    def first(
        self, u: Tensor, a: Tensor, receiver: Tensor, sender: Tensor, even: Tensor, odd: Tensor, alone: Tensor,
        pairs: PairIndex,
    ) -> None:  # fmt: skip
        """u_ij = receiver_i + sender_j + even_ij ± odd_ij, and a = SiLU(u)."""

    def second(self, mean: Tensor, v: Tensor, bias: Tensor, share: Tensor) -> None:
        """Mean over senders of SiLU(v + bias), weighted by `share`."""

    def second_backward(
        self, d_v: Tensor, a: Tensor, grad: Tensor, u: Tensor, v: Tensor, bias: Tensor, share: Tensor
    ) -> Tensor:
        """Gradient with respect to v from that of the mean, and a = SiLU(u) once more; returns that of the bias."""

    def first_backward(
        self, receiver: Tensor, sender: Tensor, even: Tensor, odd: Tensor, d_a: Tensor, u: Tensor, pairs: PairIndex
    ) -> Tensor:
        """Gradients of what u consists of from that of a; returns that of `alone`."""


class PlainLoops:
    """In torch, on any device and in any precision."""

    def first(self, u, a, receiver, sender, even, odd, alone, pairs) -> None:  # type: ignore[no-untyped-def]
        """See `Loops`."""
        num, atoms, hidden = receiver.shape
        u.index_copy_(1, pairs.forward, even + odd)
        u.index_copy_(1, pairs.backward, even - odd)
        u.index_copy_(1, pairs.diagonal, alone.expand(num, atoms, hidden))
        grid = u.view(num, atoms, atoms, hidden)
        grid += receiver[:, :, None]
        grid += sender[:, None]
        torch.ops.aten.silu.out(u, out=a)

    def second(self, mean, v, bias, share) -> None:  # type: ignore[no-untyped-def]
        """See `Loops`."""
        atoms = mean.shape[1]
        message = silu(v + bias).view(-1, atoms, atoms, len(bias))
        torch.sum(message * share[:, None, :, None].to(message.dtype), 2, out=mean)

    def second_backward(self, d_v, a, grad, u, v, bias, share) -> Tensor:  # type: ignore[no-untyped-def]
        """See `Loops`."""
        d_message = grad[:, :, None] * share[:, None, :, None].to(grad.dtype)  # (n_crystals, n_atoms, n_atoms, hidden)
        torch.ops.aten.silu_backward.grad_input(d_message.view(v.shape), v + bias, grad_input=d_v)
        torch.ops.aten.silu.out(u, out=a)
        return d_v.sum((0, 1), dtype=share.dtype)

    def first_backward(self, receiver, sender, even, odd, d_a, u, pairs) -> Tensor:  # type: ignore[no-untyped-def]
        """See `Loops`."""
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


class CompiledLoops:
    """The same by edge_loops.c, for float32 or bfloat16 on a processor."""

    def __init__(self, library: Path) -> None:
        self.library = ctypes.CDLL(str(library))

    def _call(self, name: str, *tensors: Tensor, like: Tensor) -> None:
        """Call a function of the library; `like` has the number of crystals, of atoms and of channels."""
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
        self.library[name](*pointers, *map(ctypes.c_ssize_t, like.shape))

    def first(self, u, a, receiver, sender, even, odd, alone, pairs) -> None:  # type: ignore[no-untyped-def]
        """See `Loops`."""
        self._call("first", u, a, receiver, sender, even, odd, alone, like=receiver)

    def second(self, mean, v, bias, share) -> None:  # type: ignore[no-untyped-def]
        """See `Loops`."""
        self._call("second", mean, v, bias, share, like=mean)

    def second_backward(self, d_v, a, grad, u, v, bias, share) -> Tensor:  # type: ignore[no-untyped-def]
        """See `Loops`."""
        d_bias = torch.empty(grad.shape, dtype=torch.float32)  # one per receiver
        self._call("second_backward", d_v, a, d_bias, grad, u, v, bias, share, like=grad)
        return d_bias.sum((0, 1))

    def first_backward(self, receiver, sender, even, odd, d_a, u, pairs) -> Tensor:  # type: ignore[no-untyped-def]
        """See `Loops`."""
        alone = torch.empty(len(u), u.shape[-1], dtype=torch.float32)  # one per crystal
        self._call("first_backward", receiver, sender, even, odd, alone, d_a, u, like=receiver)
        return alone.sum(0)


def loops_for(receiver: Tensor) -> Loops:
    """The fastest there are for a tensor's device, precision and number of atoms."""
    is_known = receiver.dtype in (torch.float32, torch.bfloat16)
    if receiver.device.type != "cpu" or not is_known or receiver.shape[1] > MOST_ATOMS:
        return PlainLoops()
    if os.environ.get("MIAD_EDGES") == "plain":
        return PlainLoops()
    return compiled_loops(receiver.dtype == torch.bfloat16) or PlainLoops()


@functools.cache
def compiled_loops(is_half: bool) -> CompiledLoops | None:
    """Build the library, or take it from the cache folder; None, and a word in the log, where that cannot be done."""
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", ""), "cc", "gcc", "clang"))), None)
    if compiler is None:
        log.info("no C compiler: the network's edge block runs without compiled loops.")
        return None
    command = [compiler, *OPTIONS, *(["-DHALF"] if is_half else [])]
    # Machine code for this very processor: a home folder may be shared with others.
    key = hashlib.sha256("\0".join([*command, SOURCE.read_text(encoding="utf-8"), _processor()]).encode()).hexdigest()
    path = cache_folder() / f"edge_loops-{key[:16]}.so"
    try:
        if not path.is_file():
            with atomic_path(path) as temporary:
                subprocess.run([*command, SOURCE, "-o", temporary], check=True, capture_output=True, text=True)
        return CompiledLoops(path)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        log.info("the edge block runs without compiled loops: %s", str(reason).strip())
        return None


def _processor() -> str:
    """What tells processors apart that cannot run each other's code."""
    text = platform.machine() + platform.processor()
    path = Path("/proc/cpuinfo")
    if path.is_file():
        first = path.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        text += "".join(line for line in first if line.startswith(("model name", "flags", "Features", "CPU part")))
    return text
