"""Torch files of other programs, read without running any code that they name.

torch.load(weights_only=True) is safe but refuses a file that mentions any class it does not know, such as the
ConfigDict of the authors' weights. Here tensors are rebuilt from the raw storages of the archive, and every other
class becomes a plain record of its state.
"""

import collections
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from miad.core.errors import MiadError
from miad.io.unpickle import Record

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
}


def _rebuild_tensor(storage: torch.Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> torch.Tensor:
    """A tensor of a storage; torch itself checks that it stays within."""
    return torch.as_strided(storage, size, stride, offset).clone()


# What stands for names of the file; records stand for all others.
KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("builtins", "set"): set,
    ("builtins", "dict"): dict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    **{("torch", name): dtype for name, dtype in STORAGES.items()},
}


class _Unpickler(pickle.Unpickler):
    """Rebuilds tensors; records everything else."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(archive.open(f"{root}/data.pkl"))
        self.archive, self.root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        """A function of this module in place of torch's constructors, a record in place of any other class."""
        return KNOWN.get((module, name)) or type(name, (Record,), {"__module__": module})

    def persistent_load(self, identity: Any) -> torch.Tensor:
        """A storage of the archive: ("storage", type, key, device, number of elements)."""
        kind, dtype, key, _, count = identity
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not str(key).isalnum():
            raise pickle.UnpicklingError(f"unknown kind of data {identity!r}")
        raw = np.frombuffer(bytearray(self.archive.read(f"{self.root}/data/{key}")), dtype=np.uint8)
        storage = torch.from_numpy(raw).view(dtype)
        if len(storage) != count:
            raise pickle.UnpicklingError(f"storage {key} has {len(storage)} numbers, expected {count}")
        return storage


def read_torch_file(path: Path) -> Any:
    """The content of a file written by torch.save, tensors on the CPU.

    Raises:
        MiadError: it is not a torch file in the archive format (torch 1.6 and later), or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("/data.pkl")
            order = f"{root}/byteorder"
            if order in archive.namelist() and archive.read(order) != b"little":
                raise MiadError(f"{path} was written on a big-endian machine, which miad does not read.")
            return _Unpickler(archive, root).load()
    except FileNotFoundError as error:
        raise MiadError(f"{path} does not exist. Check the path.") from error
    except (zipfile.BadZipFile, StopIteration, pickle.UnpicklingError, KeyError, ValueError, RuntimeError) as error:
        raise MiadError(f"{path} is not a torch file that miad can read ({error}). Download it again.") from error
    except (EOFError, AttributeError, TypeError, IndexError) as error:
        raise MiadError(f"{path} is a damaged torch file ({error!r}). Download it again.") from error
