"""Progress: a bar on the terminal of a person who watches, and a line in the log every minute.

Under snakemake the output of a step goes to its log, so the bar is drawn on the terminal itself, and only while the
program is in its foreground: not in the background, not on a cluster, not in CI.
"""

import logging
import os
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

Item = TypeVar("Item")
LOG_EVERY = 60.0  # seconds between log lines

log = logging.getLogger("miad")


def _terminal() -> TextIO | None:
    """The terminal, if this process is in its foreground."""
    try:
        terminal = open("/dev/tty", "w")  # noqa: SIM115 (the caller closes it)
    except OSError:
        return None
    if os.tcgetpgrp(terminal.fileno()) == os.getpgrp():
        return terminal
    terminal.close()
    return None


def track(items: Iterable[Item], *, what: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items`, telling how far along the loop is.

    Args:
        what: the unit, plural, e.g. `crystals relaxed`.
        total: number of items, if `items` has no length.
    """
    total = len(items) if total is None and hasattr(items, "__len__") else total  # type: ignore[arg-type]  # has __len__
    start = last = time.monotonic()
    done = 0
    for done, item in enumerate(_with_bar(items, what, total), 1):
        yield item
        now = time.monotonic()
        if now - last > LOG_EVERY:
            last = now
            log.info("%s: %d of %s after %.0f s", what, done, total if total is not None else "?", now - start)
    log.info("%s: %d in %.1f s", what, done, time.monotonic() - start)


def _with_bar(items: Iterable[Item], what: str, total: int | None) -> Iterator[Item]:
    terminal = _terminal()
    if terminal is None:
        yield from items
        return
    from tqdm import tqdm

    with terminal:
        yield from tqdm(items, desc=what, total=total, file=terminal, leave=False, dynamic_ncols=True)
