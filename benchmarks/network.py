"""CSPNet: the plain formulation edge by edge against ours, in one run. Prints ratios, times and peak memory.

    python benchmarks/network.py [--device cpu|cuda] [--repeats 5]
    python benchmarks/network.py --count     operations and casts of a forward and backward pass

The plain formulation is the one of tests/builders/reference.py, which the tests compare with ours to 1e-10.
"""

import argparse
import functools
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from miad.config.sections import Network  # noqa: E402
from miad.model.network import CSPNet  # noqa: E402
from tests.builders.reference import reference_forward  # noqa: E402

SIZES = {
    "paper": (Network(512, 6, 128, 256, 1.0), 8, 25),
    "laptop": (Network(128, 3, 16, 64, 0.033), 128, 9),
    "batch256": (Network(512, 6, 128, 256, 1.0), 256, 25),  # the paper's training batch: on a GPU only
}


def inputs(num_crystals: int, num_atoms: int, device: str) -> dict[str, torch.Tensor]:
    """A batch of random noisy crystals."""
    g = torch.Generator().manual_seed(0)
    data = {
        "lattice": 5 * torch.randn(num_crystals, 3, 3, generator=g),
        "frac_coords": torch.rand(num_crystals, num_atoms, 3, generator=g),
        "species": torch.randint(0, 100, (num_crystals, num_atoms), generator=g),
        "times": torch.randint(1, 1001, (num_crystals,), generator=g),
    }
    return {name: tensor.to(device) for name, tensor in data.items()}


Forward = Callable[[], tuple[torch.Tensor, ...]]


def make_network(size: str, device: str) -> CSPNet:
    """The same weights in every process."""
    torch.manual_seed(0)
    return CSPNet(SIZES[size][0]).to(device)


def formulations(network: CSPNet, device: str, num_crystals: int, num_atoms: int) -> dict[str, Forward]:
    """The forward pass in each formulation, with the same weights and inputs."""
    data = inputs(num_crystals, num_atoms, device)
    flat = {**data, "frac_coords": data["frac_coords"].flatten(0, 1), "species": data["species"].flatten()}

    def half() -> tuple[torch.Tensor, ...]:
        with torch.autocast(device, dtype=torch.bfloat16):
            return network(**data)

    def plain() -> tuple[torch.Tensor, ...]:
        with torch.device(device):  # where its edge list is made
            return reference_forward(network, num_atoms=[num_atoms] * num_crystals, **flat)

    return {
        "plain": plain,
        "ours": lambda: network(**data),
        "ours bf16": half,
    }


def seconds(action: Callable[[], object], device: str) -> float:
    """Wall time of one call."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    action()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def train_step(network: CSPNet, forward: Forward) -> None:
    """Forward and backward; gradients of the step before are dropped, as in every training."""
    network.zero_grad(set_to_none=True)
    sum(part.square().mean() for part in forward()).backward()


def infer(network: CSPNet, forward: Forward) -> None:
    """Forward alone."""
    with torch.no_grad():
        forward()


def peak_memory(size: str, name: str, device: str) -> float:
    """Peak memory of one forward and backward above that of the program at rest, MiB, in a process of its own.

    At rest means after the same with a single crystal: weights, their gradients and the library's code are loaded.
    """
    command = [sys.executable, __file__, "--device", device, "--memory-of", size, name]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure_memory(size: str, name: str, device: str) -> None:
    """The process that `peak_memory` starts."""
    network = make_network(size, device)
    _, num_crystals, num_atoms = SIZES[size]
    train_step(network, formulations(network, device, 1, num_atoms)[name])
    forward = formulations(network, device, num_crystals, num_atoms)[name]
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        train_step(network, forward)
        print((torch.cuda.max_memory_allocated() - before) / 2**20)
        return
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark; getrusage's is that of the parent
    before = resident("VmRSS")
    train_step(network, forward)
    print((resident("VmHWM") - before) / 2**10)


def resident(field: str) -> int:
    """A line of /proc/self/status, KiB."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith(field)).split()[1])


def compare(size: str, device: str, repeats: int) -> None:
    """Print one line per task and formulation."""
    network = make_network(size, device)
    ways = formulations(network, device, *SIZES[size][1:])
    for task, work in (("forward", infer), ("forward+backward", train_step)):
        times: dict[str, list[float]] = {name: [] for name in ways}
        for repeat in range(repeats + 1):
            for name, forward in ways.items():  # in turn, so that a slow moment of the machine hits all of them
                spent = seconds(functools.partial(work, network, forward), device)
                if repeat:
                    times[name].append(spent)
        for name, spent in times.items():
            ratio = statistics.median(a / b for a, b in zip(times["plain"], spent, strict=True))
            print(f"{size:8} {task:17} {name:10} {1e3 * statistics.median(spent):9.1f} ms  {ratio:5.2f} times as fast")


def compare_memory(size: str, device: str) -> None:
    """Print one line per formulation."""
    memory = {name: peak_memory(size, name, device) for name in ("plain", "ours", "ours bf16")}
    for name, peak in memory.items():
        ratio = memory["plain"] / max(peak, 1)
        print(f"{size:8} peak memory       {name:10} {peak:9.0f} MiB {ratio:5.2f} times less", flush=True)


class Counter(TorchDispatchMode):
    """Counts the operations that a GPU would have to start: all but views and empty tensors."""

    FREE = re.compile(r"aten\.(\w*view|\w*empty\w*|split\w*|alias|detach|expand|permute|select|slice|t|transpose)\b")

    def __init__(self) -> None:
        super().__init__()
        self.all, self.casts = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Count and call."""
        self.all += not self.FREE.match(str(function))
        self.casts += str(function) == "aten._to_copy.default"
        return function(*args, **(kwargs or {}))


def count() -> None:
    """Print one line per precision; the numbers depend on the layers, not on their width."""
    network = CSPNet(Network(16, 6, 4, 16, 1.0))
    ways = formulations(network, "cpu", 2, 4)
    for name in ("ours", "ours bf16"):
        train_step(network, ways[name])
        with Counter() as seen:
            train_step(network, ways[name])
        print(f"{name:10} {seen.all} operations, {seen.casts} of them casts")


def main() -> None:
    """Ratios for every size, on a GPU in float32 and in tf32; absolute figures of a GPU: benchmarks/gpu.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        measure_memory(*options.memory_of, options.device)
        return
    if options.count:
        count()
        return
    is_gpu = options.device == "cuda"
    print(f"{options.device}, {torch.get_num_threads()} threads, torch {torch.__version__}", flush=True)
    sizes = list(SIZES) if is_gpu else ["paper", "laptop"]
    for is_tf32 in (False, True) if is_gpu else (False,):
        torch.backends.cuda.matmul.allow_tf32 = is_tf32
        if is_gpu:
            print("\nin tf32" if is_tf32 else "\nin float32")
        for size in sizes:
            compare(size, options.device, options.repeats)
    for size in sizes:
        compare_memory(size, options.device)


if __name__ == "__main__":
    main()
