"""Worker processes that may die: an item that kills its worker costs itself and nothing else.

An item is a crystal, or a group of crystals to compare. One whose worker dies is done once more, first thing in a fresh
process, since the death may not have been its fault; if that one dies too, the item comes back as `Lost`.
"""

import contextlib
import itertools
import math
import multiprocessing
import os
import signal
import sys
import time
import traceback
import types
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from types import SimpleNamespace
from typing import Any

from miad.core.errors import MiadError
from miad.machine.cores import num_cores

CHUNK = 64  # items that go to a process at once
AHEAD = 4096  # items of a stream that are taken from it before the next one that is wanted is there
TIME_LIMIT = 300.0  # seconds; thousands of times what a crystal or a pair of them takes
LOOK_EVERY = 0.5  # seconds between looks at the time and memory that the workers take
START_LIMIT = 600.0  # seconds for a worker to import and load what it needs
STARTS = 3  # workers that die one after the other before they are ready: none can start
HOPELESS = 10  # items that are lost before there is any result: all would be
OUT_OF_MEMORY = "out of memory"  # reasons that begin with this are the fault of an item that is too large
NOTE = 2000  # bytes for what a worker says that it is doing


@dataclass(frozen=True)
class Lost:
    """An item without a result, the reason, and the part of it that was being done, if its worker told."""

    item: Any
    reason: str
    part: str = ""


class _Note:
    """The number of the item in hand within its task, and what is done with it; a worker shares this with its pool."""

    number = 0
    shared: Any = SimpleNamespace(value=b"0 ")


def doing(part: str) -> None:
    """Name a part of a long item, e.g. a pair of crystals, as it begins; in a worker, its time limit begins anew."""
    _Note.shared.value = f"{_Note.number} {part}".encode()[: NOTE - 1]


def _noted(shared: Any) -> tuple[int, str]:
    number, _, part = shared.value.decode(errors="replace").partition(" ")
    return int(number), part


def in_order(
    work: Callable[[Any], Any], items: Iterable, *, few: int = 0, chunk: int = CHUNK, workers: int | None = None
) -> Iterator[Any]:
    """`work(item)` of each item of a stream, in their order, or `Lost`.

    Args:
        work: can be pickled, as can the items; any error of it but a MiadError costs the item alone.
        few: items that are worked on in this process before others are started, which takes seconds.
        chunk: items that go to a process at once; no more than these are all worked on in this process.
        workers: processes; None for all cores that this process may use.
    """
    yield from _hopeful(_in_order(work, enumerate(items), few, chunk, workers or num_cores()))


def _in_order(work: Callable, stream: Iterator, few: int, chunk: int, number: int) -> Iterator[Any]:
    yield from (_tried(work, item) for _, item in itertools.islice(stream, few))
    head = list(itertools.islice(stream, chunk + 1))
    stream = itertools.chain(head, stream)
    if number == 1 or len(head) <= chunk:
        yield from (_tried(work, item) for _, item in stream)
        return
    pool = _Pool(partial(partial, work), _tasks(stream, chunk), number, TIME_LIMIT)
    pool.next_place = head[0][0]
    held: dict[int, Any] = {}
    with contextlib.closing(pool.results()) as results:
        for place, result in results:
            held[place] = result
            while pool.next_place in held:
                yield held.pop(pool.next_place)
                pool.next_place += 1


def as_completed(
    make: Callable[[], Callable], items: Iterable, *, is_proven: bool = False, workers: int, **limits: float
) -> Iterator[Any]:
    """Results of items in the order of completion, or `Lost`; each worker takes the next item when it is free.

    Args:
        make: called once in each fresh process; returns the function for one item.
        is_proven: whether there were results before, so that the first items may all be lost.
        limits: `seconds` with the same item, and bytes of `memory`, beyond which a worker is killed.
    """
    pool = _Pool(make, _tasks(enumerate(items), 1), workers, **limits)
    with contextlib.closing(pool.results()) as results:
        found = (result for _, result in results)
        yield from found if is_proven else _hopeful(found)


def _hopeful(results: Iterable) -> Iterator[Any]:
    """The results; a MiadError if the first ones are all lost, though none of them is too large."""
    num_lost: float = 0
    for result in results:
        is_lost = isinstance(result, Lost) and not result.reason.startswith(OUT_OF_MEMORY)
        num_lost = num_lost + 1 if is_lost else -math.inf
        if num_lost >= HOPELESS:
            raise MiadError(f"all of the first {HOPELESS} are lost, the last one because: {result.reason}.")
        yield result


@dataclass
class _Task:
    """Items for one worker, with their places in the stream; or the last try of one item."""

    items: list[tuple[int, Any]]
    is_last_try: bool = False


def _tasks(stream: Iterator, chunk: int) -> Iterator[_Task]:
    while items := list(itertools.islice(stream, chunk)):
        yield _Task(items)


def _tried(work: Callable[[Any], Any], item: Any) -> Any:
    doing("")
    try:
        return work(item)
    except MiadError:
        raise
    except Exception as error:
        return Lost(item, _said(error), _noted(_Note.shared)[1])


def _said(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({os.path.basename(place.filename)}, line {place.lineno})"


class _Pool:
    """Workers and their tasks."""

    def __init__(
        self, make: Callable, tasks: Iterator[_Task], number: int, seconds: float, memory: float = math.inf
    ) -> None:
        self.make, self.tasks, self.number, self.seconds, self.memory = make, tasks, number, seconds, memory
        self.workers: list[_Worker] = []
        self.again: deque[_Task] = deque()
        self.next_place = 2**63  # of the stream that is wanted next, if any
        self.last_place = 0  # that was taken
        self.num_stillborn = 0

    def results(self) -> Generator[tuple[int, Any]]:
        """(place, result or Lost) of every item; a MiadError that of the work, or because no worker can start."""
        try:
            while self._hand_out():
                wait([worker.pipe for worker in self.workers], timeout=LOOK_EVERY)
                found = [pair for worker in list(self.workers) for pair in self._look(worker)]
                self._hand_out()  # before anything else, so that no worker waits for whoever takes the results
                yield from found
        finally:
            for worker in self.workers:
                worker.end()

    def _hand_out(self) -> bool:
        """Give tasks to those without; whether any worker has one."""
        while self.again and len(self.workers) < self.number:  # first of all to a process that holds nothing of others
            self.workers.append(_Worker(self.make, self.again.popleft()))
        for worker in self.workers:
            if worker.task is None and (task := self._next()):
                worker.hand(task)
        while len(self.workers) < self.number and (task := self._next()):
            self.workers.append(_Worker(self.make, task))
        return any(worker.task for worker in self.workers)

    def _next(self) -> _Task | None:
        if self.again:
            return self.again.popleft()
        task = next(self.tasks, None) if self.last_place - self.next_place < AHEAD else None
        self.last_place = task.items[-1][0] if task else self.last_place
        return task

    def _look(self, worker: "_Worker") -> list[tuple[int, Any]]:
        """What a worker has done, if it is; one that has died or is beyond its limits is ended."""
        message, task = worker.message(self.seconds, self.memory), worker.task
        if isinstance(message, MiadError):
            raise message
        if isinstance(message, str):
            worker.end()
            self.workers.remove(worker)
            return self._lost(task, worker, message) if task else []
        if message is None or task is None:
            return []
        if not message:  # it has become ready
            self.num_stillborn = 0
            worker.hand(task)
            return []
        worker.task = None
        return [(place, result) for (place, _), result in zip(task.items, message, strict=True)]

    def _lost(self, task: _Task, worker: "_Worker", reason: str) -> list[tuple[int, Any]]:
        """Put back what a worker had that is no more: the item in hand for its last try, unless that was it."""
        if not worker.is_ready:
            self.num_stillborn += 1
            if self.num_stillborn >= STARTS or worker.is_late:
                raise MiadError(f"a worker process could not start ({reason}).")
            self.again.appendleft(task)
            return []
        number, part = _noted(worker.shared)
        place, item = task.items.pop(number)
        if task.items:
            self.again.append(_Task(task.items))
        if not task.is_last_try and not worker.is_late:
            self.again.appendleft(_Task([(place, item)], is_last_try=True))
            return []
        return [(place, Lost(item, reason, part))]


@contextlib.contextmanager
def _without_script() -> Iterator[None]:
    """Hide the script that runs from a process that starts: it would run the script again, up to this very place.

    A script of the user's without `if __name__ == "__main__"` works so, and no process loads what it does not need.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


class _Worker:
    """A process, and the task that it has, or will have when it is ready."""

    def __init__(self, make: Callable, task: _Task) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process whose libraries run threads may hang
        self.pipe, theirs = context.Pipe()
        self.shared: Any = context.RawArray("c", NOTE)
        self.process = context.Process(target=_serve, args=(theirs, self.shared, make), daemon=True)
        with _without_script():
            self.process.start()
        theirs.close()
        self.task: _Task | None = task
        self.is_ready = self.is_late = False
        self.seen, self.since = b"", time.monotonic()

    def memory(self) -> float:
        """Bytes that it takes."""
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):  # it died just now; its pipe says so
            return psutil.Process(self.process.pid).memory_info().rss
        return 0.0

    def message(self, seconds: float, memory: float) -> list | MiadError | str | None:
        """Results, [] when it has become ready, an error that ends the step, the reason of its end, or nothing."""
        try:
            if self.pipe.poll():
                received = self.pipe.recv()
                self.is_ready |= isinstance(received, list)
                return received
        except (EOFError, OSError):
            self.process.join(5)
            return f"its worker died with exit code {self.process.exitcode} (-9 is often lack of memory)"
        if self.task is None:
            return None
        if self.seen != self.shared.value:
            self.seen, self.since = self.shared.value, time.monotonic()
        if self.is_ready and memory < math.inf and self.memory() > memory:
            return f"{OUT_OF_MEMORY}: its worker took more than {memory / 1e9:.1f} GB"
        seconds = seconds if self.is_ready else START_LIMIT
        self.is_late = time.monotonic() - self.since > seconds
        return f"time limit, stuck for {seconds:.0f} s" if self.is_late else None

    def hand(self, task: _Task) -> None:
        """Give it a task."""
        self.task, self.since, self.shared.value = task, time.monotonic(), b"0 "
        with contextlib.suppress(OSError):  # it has died, which the next look at its pipe finds out
            self.pipe.send([item for _, item in task.items])

    def end(self) -> None:
        """Kill it."""
        self.pipe.close()
        self.process.kill()
        self.process.join()


def _serve(pipe: Connection, shared: Any, make: Callable) -> None:
    """The life of a worker: lists of items come, lists of results go, a first empty one when it is ready."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the pool too, which ends its workers
    _Note.shared = shared
    try:
        work = make()
        results: list = []
        while True:
            pipe.send(results)
            items, results = pipe.recv(), []
            for _Note.number, item in enumerate(items):
                doing("")
                results.append(work(item))
    except Exception as error:
        with contextlib.suppress(OSError):  # the pool is no more
            pipe.send(error if isinstance(error, MiadError) else _said(error))
