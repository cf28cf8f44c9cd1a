"""Worker processes that may die: a crystal that kills its worker costs itself and nothing else."""

import contextlib
import logging
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from miad.core.crystal import Crystal
from miad.core.errors import MiadError

log = logging.getLogger("miad")
READY = "ready"
LOOK_EVERY = 0.5  # seconds between looks at the memory of the workers
START_LIMIT = 600.0  # seconds for a worker to import and load its potential


@dataclass(frozen=True)
class Limits:
    """Limits of a worker, beyond which it is killed.

    Attributes:
        seconds: with the same crystal.
        memory: bytes.
    """

    seconds: float
    memory: float = float("inf")


def in_processes(
    crystals: list[Crystal],
    make: Callable[..., Callable[[Crystal], Crystal]],
    arguments: tuple[Any, ...],
    *,
    num_workers: int,
    limits: Limits,
    step: str,
) -> Iterator[Crystal]:
    """Treat crystals in worker processes, each taking the next crystal when it is free.

    Args:
        make: called as `make(*arguments)` once in each fresh process; returns the function for one crystal.
        limits: beyond which a worker is killed.
        step: for reasons of failure.

    Yields:
        Treated crystals in the order of completion; one whose worker died comes back failed.

    Raises:
        MiadError: a worker cannot even start, or that of `make`.
    """
    waiting, again = deque(crystals), set()
    workers = [_Worker(make, arguments) for _ in range(min(num_workers, len(crystals)))]
    remaining = len(crystals)
    try:
        while remaining:
            for worker in _ready_or_beyond(workers, limits):
                crystal, is_too_large = worker.in_hand, worker.memory > limits.memory
                treated = worker.receive(limits, step)
                if crystal and treated and treated.failure and is_too_large and crystal.crystal_id not in again:
                    # The memory may have been full of what earlier crystals left: once more, in a fresh process.
                    again.add(crystal.crystal_id)
                    waiting.appendleft(crystal)
                elif treated:
                    remaining -= 1
                    yield treated
                if worker.is_alive:
                    worker.hand(waiting.popleft() if waiting else None)
                    continue
                workers.remove(worker)
                if remaining > sum(other.in_hand is not None for other in workers):
                    workers.append(_Worker(make, arguments))
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process, and the crystal that it has in hand."""

    def __init__(self, make: Callable, arguments: tuple) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, make, arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.since = time.monotonic()
        self.in_hand: Crystal | None = None
        self.is_ready, self.is_alive = False, True

    @property
    def memory(self) -> float:
        """Bytes that it takes, 0 unless it is at work."""
        if self.in_hand is None or not self.process.is_alive():
            return 0.0
        import psutil

        try:
            return psutil.Process(self.process.pid).memory_info().rss
        except psutil.NoSuchProcess:  # it died just now; its pipe says so
            return 0.0

    def is_beyond(self, limits: Limits) -> bool:
        """Whether it takes more time or memory than it may."""
        seconds = limits.seconds if self.is_ready else START_LIMIT
        return time.monotonic() - self.since > seconds or self.memory > limits.memory

    def receive(self, limits: Limits, step: str) -> Crystal | None:
        """Take the treated crystal from it; one that has died or is beyond its limits is ended."""
        try:
            if self.pipe.poll():
                message = self.pipe.recv()
                if isinstance(message, MiadError):
                    self.end()
                    raise message
                self.is_ready, self.in_hand = True, None
                return message if isinstance(message, Crystal) else None
            if self.memory > limits.memory:
                reason = f"out of memory: its worker took more than {limits.memory / 1e9:.1f} GB"
            else:
                reason = f"time limit, stuck for {limits.seconds:.0f} s"
        except (EOFError, ConnectionResetError):
            self.process.join(5)
            reason = f"its worker died with exit code {self.process.exitcode} (-9 is often lack of memory)"
        self.end()
        if not self.is_ready:
            raise MiadError(f"{step}: a worker could not start ({reason}).")
        if self.in_hand is None:
            return None
        log.warning("%s: %s", self.in_hand.crystal_id, reason)
        return self.in_hand.failed(step, reason)

    def hand(self, crystal: Crystal | None) -> None:
        """Give it a crystal; None: it is not needed any more."""
        self.since = time.monotonic() if crystal is not None else float("inf")
        self.in_hand = crystal
        # One that died while idle is found out by the next look at its pipe, with the crystal still in hand.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(crystal)

    def end(self) -> None:
        """Kill it."""
        self.is_alive = False
        self.pipe.close()
        self.process.kill()
        self.process.join()


def _work(pipe: Connection, make: Callable, arguments: tuple) -> None:
    try:
        try:
            treat = make(*arguments)
        except MiadError as error:
            return pipe.send(error)
        pipe.send(READY)
        while (crystal := pipe.recv()) is not None:
            pipe.send(treat(crystal))
    except (EOFError, BrokenPipeError):  # the parent is gone
        return


def _ready_or_beyond(workers: list[_Worker], limits: Limits) -> list[_Worker]:
    wait([worker.pipe for worker in workers], timeout=LOOK_EVERY)
    return [worker for worker in workers if worker.pipe.poll() or worker.is_beyond(limits)]
