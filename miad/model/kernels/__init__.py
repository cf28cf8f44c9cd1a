"""The edge block of CSPNet made fast, behind one door. `miad.model.edges` does the same without this folder."""

import functools
import importlib.util
import logging
import os
import shutil
from collections.abc import Callable

import torch
from torch import Tensor

from miad.model.kernels.edge_loops import MOST_ATOMS, CompiledLoops, compiled_loops

log = logging.getLogger("miad")


def fast_edges(receiver: Tensor) -> Callable[..., Tensor] | CompiledLoops | None:
    """The fastest there is for a tensor's device, precision and number of atoms; MIAD_EDGES=plain forbids all.

    On a GPU the whole block, a function of what `miad.model.edges.edge_mean` takes but the pairs; on a processor its
    elementwise parts; None where those of torch are to be used.
    """
    if os.environ.get("MIAD_EDGES") == "plain":
        return None
    if fits_triton(receiver):
        from miad.model.kernels.edge_kernel import EdgeKernel

        return EdgeKernel.apply
    is_known = receiver.dtype in (torch.float32, torch.bfloat16)
    if receiver.device.type != "cpu" or not is_known or receiver.shape[1] > MOST_ATOMS:
        return None
    return compiled_loops(receiver.dtype == torch.bfloat16)


def fits_triton(receiver: Tensor) -> bool:
    """Whether the Triton kernels do this block: on a GPU, not in double precision."""
    is_fit = receiver.device.type == "cuda" and receiver.dtype != torch.float64 and receiver.shape[-1] % 16 == 0
    return is_fit and receiver.numel() > 0 and has_triton()


@functools.cache
def has_triton() -> bool:
    """Whether Triton is installed and finds the C compiler that it needs."""
    if importlib.util.find_spec("triton") is None:
        return False
    has_compiler = any((os.environ.get("CC"), shutil.which("gcc"), shutil.which("clang")))
    if not has_compiler:
        log.warning(
            "no C compiler, with which Triton builds its kernels on first use: the network runs without them, slower."
            " Install gcc, or set CC."
        )
    return has_compiler
