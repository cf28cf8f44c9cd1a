"""Progress: a bar when a person watches, one log line a minute otherwise."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
LOG_EVERY = 60.0  # seconds between log lines when nobody watches

log = logging.getLogger("miad")


def track(items: Iterable[Item], *, what: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items`, telling how far along the loop is.

    Args:
        items: anything iterable.
        what: the unit, plural, e.g. `crystals relaxed`.
        total: number of items, if `items` has no length.
    """
    total = len(items) if total is None and hasattr(items, "__len__") else total  # type: ignore[arg-type]
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=what, total=total)
        return
    start = last = time.monotonic()
    done = 0
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last > LOG_EVERY:
            last = now
            log.info("%s: %d of %s after %.0f s", what, done, total if total is not None else "?", now - start)
    log.info("%s: %d in %.1f s", what, done, time.monotonic() - start)
