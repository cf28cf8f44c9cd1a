"""The edge block of CSPNet made fast, behind one door. `miad.model.edges` does the same without this folder."""

import functools
import importlib.util
import logging
import os
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from miad.core.crystal import shortened
from miad.model.kernels.edge_loops import MOST_ATOMS, CompiledLoops, compiled_loops

if TYPE_CHECKING:
    from miad.model.kernels.triton_loops import TritonLoops

log = logging.getLogger("miad")


def fast_loops(like: Tensor) -> "TritonLoops | CompiledLoops | None":
    """The fastest loops for the device, precision and number of atoms of a tensor (n_crystals, n_atoms, channels).

    None where those of torch are to be used; MIAD_EDGES=plain forbids all others.
    """
    is_compiled = like.device.type == "cpu" and is_fit(like) and like.shape[1] <= MOST_ATOMS
    return compiled_loops(like.dtype == torch.bfloat16) if is_compiled else gpu_loops(like)


def gpu_loops(like: Tensor) -> "TritonLoops | None":
    """The same on a GPU; None elsewhere."""
    if like.device.type != "cuda" or not is_fit(like) or not has_triton():
        return None
    from miad.model.kernels.triton_loops import TritonLoops

    return TritonLoops()


def is_fit(like: Tensor) -> bool:
    """Whether there is something for anything but torch to do."""
    is_plain = os.environ.get("MIAD_EDGES") == "plain"
    return not is_plain and like.dtype in (torch.float32, torch.bfloat16) and like.numel() > 0


@functools.cache
def has_triton() -> bool:
    """Whether Triton is installed and can build and run a kernel here.

    On first use it needs a C compiler, Python's headers, the library of the driver and a folder to write to.
    """
    if importlib.util.find_spec("triton") is None:
        return False
    from miad.model.kernels import triton_loops

    try:
        triton_loops.trial()
    except Exception as error:  # whatever of these is not there
        log.warning(
            "Triton builds no kernels here (%s): the network runs without them, slower. It needs a C compiler (gcc, or"
            " what CC names), Python's headers and a folder to write to (TRITON_CACHE_DIR).",
            shortened(f"{type(error).__name__}: {error}"),
        )
        return False
    return True
