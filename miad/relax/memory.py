"""Number of crystals that are evaluated together: as many as fit into the memory, found out on the way."""

import contextlib
from collections.abc import Iterator, Sequence

import torch

SHARE = 0.8  # of the memory of a GPU that is free: its allocator loses some to gaps between blocks
# Bytes on a GPU beyond which more crystals at once bring nothing: counted, not yet measured (benchmarks/SCALING.md).
MOST = 20e9
GROWTH = 1.05  # by which what once overflowed is tried to be more again, per evaluation that fills it


class Budget:
    """Bytes that one evaluation may take, as the engine counts them; on a GPU the count is scaled to what is measured.

    Args:
        device: as torch names it.
        limit: bytes on a CPU, where nothing is measured; None on a GPU.
    """

    def __init__(self, device: str, limit: float | None = None) -> None:
        self.device, self.limit = device, limit
        self.scale = 1.0  # bytes that were really taken for one that the engine had counted
        self.learnt = float("inf")  # what did not overflow, as the engine counts

    @property
    def capacity(self) -> float:
        """Bytes as the engine counts them."""
        available = self.limit
        if available is None:
            free, _ = torch.cuda.mem_get_info(self.device)
            held = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
            available = min(SHARE * (free + held), MOST)
        return min(available / self.scale, self.learnt)

    def groups(self, loads: Sequence[float]) -> list[list[int]]:
        """Neighbouring crystals that are evaluated together; one that is too large goes alone."""
        capacity, filled = self.capacity, 0.0
        groups: list[list[int]] = []
        for index, load in enumerate(loads):
            if not groups or filled + load > capacity:
                groups.append([])
                filled = 0.0
            groups[-1].append(index)
            filled += load
        return groups

    @contextlib.contextmanager
    def measuring(self, load: float) -> Iterator[None]:
        """Measure one evaluation that ends well, and with it a byte of the engine's count."""
        on_gpu = self.device.startswith("cuda")
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
        yield
        if on_gpu:
            taken = (torch.cuda.max_memory_allocated(self.device) - before) / max(load, 1.0)
            # Rises at once and falls slowly: too few crystals cost some time, too many cost an evaluation.
            self.scale = max(taken, 0.9 * self.scale + 0.1 * taken)
        if load > self.learnt / 2:
            self.learnt *= GROWTH

    def overflowed(self, load: float) -> None:
        """An evaluation ran out of memory: half of it is tried from now on."""
        self.learnt = load / 2
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
