"""The edge block of CSPNet made fast, behind one door. `miad.model.edges` does the same without this folder."""

import functools
import importlib.util
import logging
import os
import shutil
from typing import TYPE_CHECKING

import torch
from torch import Tensor

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
