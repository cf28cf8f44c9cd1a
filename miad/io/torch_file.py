"""Torch files of other programs, read without running any code that they name.

torch.load(weights_only=True) is safe but refuses a file that mentions any class it does not know, such as the
ConfigDict of the authors' weights. Here tensors are rebuilt from the raw storages of the archive, and every other
class becomes a plain record of its state. Tensors take no more memory than a few times the size of the file; the pickle
beside them is not bounded: it may copy one set or dict of its own again and again.
"""

import collections
import math
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


SHARED = 4  # bytes of all tensors over those of the file; several tensors may be views of one storage
MAX_ITEMS = 1_000_000  # of the dicts and lists of a file, each as often as it stands there; weights have thousands


# What stands for names of the file; records stand for all others.
KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("builtins", "set"): set,
    ("builtins", "dict"): dict,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    **{("torch", name): dtype for name, dtype in STORAGES.items()},
}


class _Unpickler(pickle.Unpickler):
    """Rebuilds tensors; records everything else."""

    def __init__(self, archive: zipfile.ZipFile, root: str, num_bytes: int) -> None:
        super().__init__(archive.open(f"{root}/data.pkl"))
        self.archive, self.root = archive, root
        self.bytes_left = SHARED * num_bytes
        self.storages: dict[str, torch.Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Functions of ours in place of torch's constructors, a record in place of any other class."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *arguments: self.tensor(*arguments)  # a new one each time: the file may set attributes of it
        return KNOWN.get((module, name)) or type(name, (Record,), {"__module__": module})

    def tensor(self, storage: torch.Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> torch.Tensor:
        """A tensor of a storage; torch itself checks that it stays within, but not how often it repeats it."""
        self.bytes_left -= math.prod(size) * storage.element_size()
        if self.bytes_left < 0:
            raise pickle.UnpicklingError(f"its tensors have more than {SHARED} times the size of the file")
        return torch.as_strided(storage, size, stride, offset).clone()

    def persistent_load(self, identity: Any) -> torch.Tensor:
        """A storage of the archive: ("storage", type, key, device, number of elements)."""
        kind, dtype, key, _, count = identity
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not str(key).isalnum():
            raise pickle.UnpicklingError(f"unknown kind of data {str(identity)[:80]}")
        if key not in self.storages:
            self.storages[key] = self._storage(str(key), dtype, count)
        return self.storages[key]

    def _storage(self, key: str, dtype: torch.dtype, count: int) -> torch.Tensor:
        raw = np.frombuffer(bytearray(self.archive.read(f"{self.root}/data/{key}")), dtype=np.uint8)
        storage = torch.from_numpy(raw).view(dtype)
        if len(storage) != count:
            raise pickle.UnpicklingError(f"storage {key} has {len(storage)} numbers, expected {count}")
        return storage


def _check_extent(content: Any, num_bytes: int) -> None:
    """Refuse dicts and lists that hold each other over and over, and tensors that the file has given another shape."""
    waiting, bytes_left = [content], SHARED * num_bytes
    for _ in range(MAX_ITEMS):
        if not waiting:
            return
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
        elif isinstance(item, torch.Tensor):
            bytes_left -= item.numel() * item.element_size()
            if bytes_left < 0:
                raise pickle.UnpicklingError(f"its tensors have more than {SHARED} times the size of the file")
    raise pickle.UnpicklingError(f"its dicts and lists hold more than {MAX_ITEMS:,} things, or each other")


def read_torch_file(path: Path) -> Any:
    """The content of a file written by torch.save, tensors on the CPU.

    Raises:
        MiadError: it is not a torch file in the archive format (torch 1.6 and later), damaged, or a zip bomb.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = Path(path).stat().st_size
            if sum(info.file_size for info in archive.infolist()) > size:  # torch.save packs without compressing
                raise MiadError(f"{path} unpacks to more than its size, which no torch file does. Download it again.")
            root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("/data.pkl")
            order = f"{root}/byteorder"
            if order in archive.namelist() and archive.read(order) != b"little":
                raise MiadError(f"{path} was written on a big-endian machine, which miad does not read.")
            content = _Unpickler(archive, root, size).load()
            _check_extent(content, size)
            return content
    except FileNotFoundError as error:
        raise MiadError(f"{path} does not exist. Check the path.") from error
    except (zipfile.BadZipFile, StopIteration, pickle.UnpicklingError, KeyError, ValueError, RuntimeError) as error:
        raise MiadError(
            f"{path} is not a torch file that miad can read ({str(error)[:150]}). Download it again."
        ) from error
    except (EOFError, AttributeError, TypeError, IndexError, OverflowError, MemoryError) as error:
        raise MiadError(f"{path} is a damaged torch file ({str(error)[:150]!r}). Download it again.") from error
