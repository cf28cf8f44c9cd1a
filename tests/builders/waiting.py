"""Operations that would make the processor wait for a GPU, looked for on a CPU."""

import traceback

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# Their results, or the shapes of their results, must be known on the host before the program can go on.
WAITING = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten._unique2}
# Done on a CPU only: torch's one_hot looks for classes out of range there.
ON_CPU_ONLY = ('device.type == "cpu"', "one_hot(")


class Waiting(TorchDispatchMode):
    """Collects the lines of miad under it at which the host would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket in WAITING:
            frames = [frame for frame in traceback.extract_stack() if "/miad/" in frame.filename]
            line = f"{frames[-1].filename}:{frames[-1].lineno} {frames[-1].line}" if frames else str(function)
            if not any(known in line for known in ON_CPU_ONLY):
                self.lines.append(line)
        return function(*args, **(kwargs or {}))
