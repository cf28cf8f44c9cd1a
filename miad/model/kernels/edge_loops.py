"""The elementwise parts of the edge block, compiled for a processor from edge_loops.c.

One pass over memory where those of `miad.model.edges.Loops` make about six. They are built on first use with the C
compiler that is there and kept in the cache folder. Figures: benchmarks/RESULTS.md.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import stat
import subprocess
from pathlib import Path

import torch
from torch import Tensor

from miad.core.errors import MiadError
from miad.core.files import atomic_path, cache_folder

log = logging.getLogger("miad")
SOURCE = Path(__file__).with_suffix(".c")
# Vector code needs comparisons without exceptions for NaN; a NaN still comes out as NaN, and nothing is reordered.
OPTIONS = ["-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-ffinite-math-only"]
OPTIONS += ["-fno-signed-zeros", "-fPIC", "-shared"]
MOST_ATOMS = 256  # whose sums fit a thread's stack
# Tensors that each function takes; three sizes follow: crystals, atoms, channels.
FUNCTIONS = {"first": 7, "second": 4, "second_backward": 8, "first_backward": 7}


class CompiledLoops:
    """The methods of `miad.model.edges.Loops` by edge_loops.c, for float32 or bfloat16 on a processor."""

    def __init__(self, library: Path) -> None:
        self.library = ctypes.CDLL(str(library))
        for name, num_tensors in FUNCTIONS.items():
            function = getattr(self.library, name)
            function.argtypes = [ctypes.c_void_p] * num_tensors + [ctypes.c_ssize_t] * 3
            function.restype = None

    def _call(self, name: str, *tensors: Tensor | None, like: Tensor) -> None:
        """Call a function of the library; `like` has the number of crystals, of atoms and of channels."""
        getattr(self.library, name)(*(None if one is None else one.data_ptr() for one in tensors), *like.shape)

    def first(self, u, a, receiver, sender, even, odd, alone, pairs) -> None:
        """See `Loops`."""
        self._call("first", u, a, receiver, sender, even, odd, alone, like=receiver)

    def second(self, mean, v, bias, share) -> None:
        """See `Loops`."""
        self._call("second", mean, v, bias, share, like=mean)

    def second_backward(self, d_v, a, grad, u, v, bias, share) -> Tensor:
        """See `Loops`."""
        d_bias = torch.empty(grad.shape, dtype=torch.float32)  # one per receiver
        self._call("second_backward", d_v, a, d_bias, grad, u, v, bias, share, like=grad)
        return d_bias.sum((0, 1))

    def first_backward(self, receiver, sender, even, odd, d_a, u, pairs) -> Tensor:
        """See `Loops`."""
        alone = torch.empty(len(u), u.shape[-1], dtype=torch.float32)  # one per crystal
        self._call("first_backward", receiver, sender, even, odd, alone, d_a, u, like=receiver)
        return alone.sum(0)


@functools.cache
def compiled_loops(is_half: bool) -> CompiledLoops | None:
    """Build the library, or take it from the cache folder; None, with the reason in the log, if that cannot be done."""
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", ""), "cc", "gcc", "clang"))), None)
    if compiler is None:
        log.info("no C compiler: the network's edge block runs without compiled loops.")
        return None
    command = [compiler, *OPTIONS, *(["-DHALF"] if is_half else [])]
    # Machine code for this very processor: a home folder may be shared with others.
    key = hashlib.sha256("\0".join([*command, SOURCE.read_text(encoding="utf-8"), _processor()]).encode()).hexdigest()
    try:
        path = cache_folder() / f"compiled-{os.getuid()}" / f"edge_loops-{key[:16]}.so"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_own(path.parent)
        if not path.is_file():
            with atomic_path(path) as temporary:
                subprocess.run([*command, SOURCE, "-o", temporary], check=True, capture_output=True, text=True)
            path.chmod(0o700)
        _check_own(path)
        return CompiledLoops(path)
    except (OSError, MiadError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        log.info("the edge block runs without compiled loops: %s", str(reason).strip())
        return None


def _check_own(path: Path) -> None:
    """Refuse code that another user could have put there: an OSError unless `path` is ours alone to write, and no link.

    The folder is checked before the file, so that nobody can exchange the file afterwards.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(
            f"{path} is a link, another user's, or others may write to it. Remove it, or set MIAD_CACHE to a folder of"
            " yours."
        )


def _processor() -> str:
    """Features of the processor; those that differ in them cannot run each other's code."""
    text = platform.machine() + platform.processor()
    path = Path("/proc/cpuinfo")
    if path.is_file():
        first = path.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        text += "".join(line for line in first if line.startswith(("model name", "flags", "Features", "CPU part")))
    return text
