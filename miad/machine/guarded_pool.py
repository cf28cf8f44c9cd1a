"""Worker processes that may die: a crystal that kills its worker costs itself and nothing else."""

import logging
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from miad.core.crystal import Crystal
from miad.core.errors import MiadError

log = logging.getLogger("miad")
READY = "ready"
LOOK_EVERY = 0.5  # seconds between looks at the memory of the workers
START_LIMIT = 600.0  # seconds for a worker to import and load its potential


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    since: float = field(default_factory=time.monotonic)
    in_hand: Crystal | None = None
    is_ready: bool = False


def in_processes(
    crystals: list[Crystal],
    make: Callable[..., Callable[[Crystal], Crystal]],
    arguments: tuple[Any, ...],
    *,
    num_workers: int,
    limits: "Limits",
    step: str,
) -> Iterator[Crystal]:
    """Treat crystals in worker processes, each taking the next crystal when it is free.

    Args:
        crystals: what to treat.
        make: called as `make(*arguments)` once in each fresh process; returns the function for one crystal.
        arguments: for `make`; picklable.
        num_workers: processes.
        limits: beyond which a worker is killed.
        step: the name of the step, for reasons of failure.

    Yields:
        Treated crystals in the order of completion; one whose worker died comes back failed.

    Raises:
        MiadError: a worker cannot even start.
    """
    waiting, again = deque(crystals), set()
    workers = [_start(make, arguments) for _ in range(min(num_workers, len(crystals)))]
    remaining = len(crystals)
    try:
        while remaining:
            for worker in _ready_or_beyond(workers, limits):
                crystal, is_too_large = worker.in_hand, _is_too_large(worker, limits)
                treated = _receive(worker, limits, step)
                if treated is not None and treated.failure and is_too_large and crystal.crystal_id not in again:
                    # The memory may have been full of what earlier crystals left: once more, in a fresh process.
                    again.add(crystal.crystal_id)
                    waiting.appendleft(crystal)
                elif treated is not None:
                    remaining -= 1
                    yield treated
                if not worker.is_ready:
                    workers.remove(worker)
                    if remaining > sum(other.in_hand is not None for other in workers):
                        workers.append(_start(make, arguments))
                elif worker.in_hand is None:
                    _hand_out(worker, waiting.popleft() if waiting else None)
    finally:
        for worker in workers:
            worker.pipe.close()
            worker.process.kill()
            worker.process.join()


@dataclass(frozen=True)
class Limits:
    """Beyond which a worker is killed.

    Attributes:
        seconds: with the same crystal.
        memory: bytes; None: no limit.
    """

    seconds: float
    memory: float | None = None


def _start(make: Callable, arguments: tuple) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, make, arguments), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _work(pipe: Connection, make: Callable, arguments: tuple) -> None:
    treat = make(*arguments)
    try:
        pipe.send(READY)
        while (crystal := pipe.recv()) is not None:
            pipe.send(treat(crystal))
    except (EOFError, BrokenPipeError):  # the parent is gone
        return


def _ready_or_beyond(workers: list[_Worker], limits: Limits) -> list[_Worker]:
    wait([worker.pipe for worker in workers], timeout=LOOK_EVERY)
    now = time.monotonic()
    return [
        worker
        for worker in workers
        if worker.pipe.poll()
        or now - worker.since > (limits.seconds if worker.is_ready else START_LIMIT)
        or _is_too_large(worker, limits)
    ]


def _is_too_large(worker: _Worker, limits: Limits) -> bool:
    """Whether a worker that is at work takes more memory than allowed."""
    if limits.memory is None or worker.in_hand is None or not worker.process.is_alive():
        return False
    import psutil

    try:
        return psutil.Process(worker.process.pid).memory_info().rss > limits.memory
    except psutil.NoSuchProcess:  # it died just now; its pipe says so
        return False


def _receive(worker: _Worker, limits: Limits, step: str) -> Crystal | None:
    """What a worker has to tell; afterwards `is_ready` says whether it is still of use."""
    try:
        if worker.pipe.poll():
            message = worker.pipe.recv()
            worker.is_ready, worker.in_hand = True, None
            return message if isinstance(message, Crystal) else None
        if _is_too_large(worker, limits):
            reason = f"out of memory: its worker took more than {limits.memory / 1e9:.1f} GB"
        else:
            reason = f"time limit, stuck for {limits.seconds:.0f} s"
    except (EOFError, ConnectionResetError):
        worker.process.join(5)
        reason = f"its worker died with exit code {worker.process.exitcode} (-9 is often lack of memory)"
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()
    if not worker.is_ready:
        raise MiadError(f"{step}: a worker could not start ({reason}). The traceback above says why.")
    worker.is_ready = False
    if worker.in_hand is None:
        return None
    log.warning("%s: %s", worker.in_hand.crystal_id, reason)
    return worker.in_hand.failed(step, reason)


def _hand_out(worker: _Worker, crystal: Crystal | None) -> None:
    worker.since = time.monotonic() if crystal is not None else float("inf")
    try:
        worker.pipe.send(crystal)
        worker.in_hand = crystal
    except (BrokenPipeError, ConnectionResetError):
        # It died while idle; the next look at its pipe finds out, with the crystal still in hand.
        worker.in_hand = crystal
