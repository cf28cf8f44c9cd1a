"""The same work on many batches: in one process, or on all cores that this one may use."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from miad.machine.cores import num_cores
from miad.machine.progress import track


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
                # spawn: a fork of a process whose libraries run threads may hang
                self._pool = ProcessPoolExecutor(self.number, multiprocessing.get_context("spawn"))
            results = self._pool.map(work, batches, *([argument] * len(batches) for argument in arguments))
        yield from track(results, what=what, total=len(batches))
