"""The same work on many batches: in one process, or on all cores that this one may use."""

import itertools
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from miad.machine.cores import num_cores
from miad.machine.progress import track

CHUNK = 64  # items that go to a process at once


def in_order(work: Callable[[Any], Any], items: Iterable, *, few: int) -> Iterator[Any]:
    """`work(item)` of each item of a stream, in its order; never more of the stream in memory than is being worked on.

    Args:
        work: can be pickled, as can the items.
        few: items that are worked on in this process before others are started, which takes seconds.
    """
    stream = iter(items)
    yield from map(work, itertools.islice(stream, few))
    number = num_cores()
    head = list(itertools.islice(stream, CHUNK))
    if number == 1 or len(head) < CHUNK:
        yield from map(work, itertools.chain(head, stream))
        return
    pool = _spawned(number)
    waiting: deque[Future] = deque()
    try:
        while head:
            waiting.append(pool.submit(_each, work, head))
            head = list(itertools.islice(stream, CHUNK))
            if len(waiting) > 2 * number:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _each(work: Callable[[Any], Any], items: list) -> list:
    return [work(item) for item in items]


def _spawned(number: int) -> ProcessPoolExecutor:
    # spawn: a fork of a process whose libraries run threads may hang
    return ProcessPoolExecutor(number, multiprocessing.get_context("spawn"))


class Processes:
    """Processes that are started when first needed, which takes seconds, and end with the `with` block.

    Args:
        workers: processes; None for all cores that this process may use.
    """

    def __init__(self, workers: int | None) -> None:
        self.number = workers or num_cores()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(
        self, work: Callable, batches: list, arguments: tuple, what: str, *, is_short: bool = False
    ) -> Iterator[Any]:
        """`work(batch, *arguments)` of each batch, in their order; all of them can be pickled.

        Args:
            what: of the progress that is shown.
            is_short: True if it takes less time than to start processes; those that have been started are used.
        """
        results: Iterable = (work(batch, *arguments) for batch in batches)
        if min(self.number, len(batches)) > 1 and not (is_short and self._pool is None):
            if self._pool is None:
                self._pool = _spawned(self.number)
            results = self._pool.map(work, batches, *([argument] * len(batches) for argument in arguments))
        yield from track(results, what=what, total=len(batches))
