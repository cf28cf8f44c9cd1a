"""Progress of a loop: for `miad watch`, as a bar on the terminal of a person who watches, and in the log every minute.

Under snakemake, which starts several steps at once, the steps draw nothing: snakemake has one line for all of them, see
`miad.machine.moving_line`. A step that a person starts draws its bar, on the terminal itself and only while the program
is in its foreground: not in the background, not on a cluster, not in CI.
"""

import logging
import os
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from miad.machine.os_processes import RUN
from miad.machine.running import Count, report

Item = TypeVar("Item")
LOG_EVERY = 60.0  # seconds between log lines

log = logging.getLogger("miad")


def _terminal() -> TextIO | None:
    """The terminal, if a person started this process and it is in the foreground; of torchrun's the first has it."""
    if RUN in os.environ or os.environ.get("RANK", "0") != "0":
        return None
    try:
        terminal = open("/dev/tty", "w")  # noqa: SIM115 (the caller closes it)
    except OSError:
        return None
    if is_in_foreground(terminal):
        return terminal
    terminal.close()
    return None


def is_in_foreground(terminal: TextIO) -> bool:
    """Whether this process is in the foreground of a terminal, and not behind a prompt at which a person types."""
    try:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:  # no terminal, not that of this session, or one that has hung up
        return False


def track(items: Iterable[Item], *, what: str, total: int | None = None, before: int = 0) -> Iterator[Item]:
    """Yield `items`, telling how far along the loop is.

    Args:
        what: the unit, plural, e.g. `crystals relaxed`.
        total: number of items, if `items` has no length.
        before: number of items done in earlier sessions, which are not among `items`; they count as done, and not for
            the time that is left.
    """
    total = len(items) if total is None and hasattr(items, "__len__") else total  # type: ignore[arg-type]  # has __len__
    everything = None if total is None else before + total
    start = last = time.monotonic()
    report(Count(what, before, before, everything, 0.0, time.time()))
    done = 0
    for done, item in enumerate(_with_bar(items, what, everything, before), 1):
        yield item
        now = time.monotonic()
        report(Count(what, before + done, before, everything, now - start, time.time()))
        if now - last > LOG_EVERY:
            last = now
            earlier = f", {before} of them in earlier sessions" if before else ""
            of = "?" if everything is None else everything
            log.info("%s: %d of %s after %.0f s%s", what, before + done, of, now - start, earlier)
    earlier = f", after {before} in earlier sessions" if before else ""
    log.info("%s: %d in %.1f s%s", what, done, time.monotonic() - start, earlier)


def _with_bar(items: Iterable[Item], what: str, total: int | None, before: int) -> Iterator[Item]:
    terminal = _terminal()
    if terminal is None:
        yield from items
        return
    from tqdm import tqdm

    with terminal:
        yield from tqdm(items, desc=what, total=total, initial=before, file=terminal, leave=False, dynamic_ncols=True)
