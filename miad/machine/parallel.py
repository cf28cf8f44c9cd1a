"""The same work on many batches: in one process, or on all cores that this one may use."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from miad.machine.cores import num_cores
from miad.machine.progress import track


class Processes:
    """Processes that are started when first needed, which takes seconds, and end with the `with` block."""

    def __init__(self, workers: int | None) -> None:
        """Nothing is started yet.

        Args:
            workers: processes; None for all cores that this process may use.
        """
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
        """`work(batch, *arguments)` of each batch, in their order.

        Args:
            work: a function of a module.
            batches: picklable.
            arguments: the same for all batches.
            what: of the progress that is shown.
            is_short: whether it is done sooner than processes have started; those that have are used all the same.
        """
        is_alone = min(self.number, len(batches)) <= 1 or (is_short and self._pool is None)
        if not is_alone and self._pool is None:
            # spawn: a fork of a process whose libraries run threads may hang
            self._pool = ProcessPoolExecutor(self.number, multiprocessing.get_context("spawn"))
        results: Iterable = (work(batch, *arguments) for batch in batches)
        if not is_alone:
            results = self._pool.map(work, batches, *([argument] * len(batches) for argument in arguments))
        yield from track(results, what=what, total=len(batches))
