"""Worker processes that may die: a crystal that kills its worker costs itself and nothing else."""

import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from miad.crystal import Crystal
from miad.errors import MiadError

log = logging.getLogger("miad")
READY = "ready"
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
    hard_limit: float,
    step: str,
) -> Iterator[Crystal]:
    """Treat crystals in worker processes, each taking the next crystal when it is free.

    Args:
        crystals: what to treat.
        make: called as `make(*arguments)` once in each fresh process; returns the function for one crystal.
        arguments: for `make`; picklable.
        num_workers: processes.
        hard_limit: seconds after which a worker that still holds the same crystal is killed.
        step: the name of the step, for reasons of failure.

    Yields:
        Treated crystals in the order of completion; one whose worker died comes back failed.

    Raises:
        MiadError: a worker cannot even start.
    """
    waiting = iter(crystals)
    workers = [_start(make, arguments) for _ in range(min(num_workers, len(crystals)))]
    remaining = len(crystals)
    try:
        while remaining:
            for worker in _ready_or_overdue(workers, hard_limit):
                treated = _receive(worker, hard_limit, step)
                if treated is not None:
                    remaining -= 1
                    yield treated
                if not worker.is_ready:
                    workers.remove(worker)
                    if remaining > sum(other.in_hand is not None for other in workers):
                        workers.append(_start(make, arguments))
                elif worker.in_hand is None:
                    _hand_out(worker, next(waiting, None))
    finally:
        for worker in workers:
            worker.pipe.close()
            worker.process.kill()
            worker.process.join()


def _start(make: Callable, arguments: tuple) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, make, arguments), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _work(pipe: Connection, make: Callable, arguments: tuple) -> None:
    treat = make(*arguments)
    pipe.send(READY)
    while True:
        try:
            crystal = pipe.recv()
            if crystal is None:
                return
            pipe.send(treat(crystal))
        except (EOFError, BrokenPipeError):  # the parent is gone
            return


def _ready_or_overdue(workers: list[_Worker], hard_limit: float) -> list[_Worker]:
    wait([worker.pipe for worker in workers], timeout=1.0)
    now = time.monotonic()
    return [w for w in workers if w.pipe.poll() or now - w.since > (hard_limit if w.is_ready else START_LIMIT)]


def _receive(worker: _Worker, hard_limit: float, step: str) -> Crystal | None:
    """What a worker has to tell; afterwards `is_ready` says whether it is still of use."""
    try:
        if worker.pipe.poll():
            message = worker.pipe.recv()
            worker.is_ready, worker.in_hand = True, None
            return message if isinstance(message, Crystal) else None
        reason = f"time limit, stuck for {hard_limit:.0f} s"
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
