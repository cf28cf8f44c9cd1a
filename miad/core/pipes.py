"""The end of a command whose reader is gone, as in `miad models | head -n 1`."""

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def ends_quietly() -> Iterator[None]:
    """Exit quietly, with the code of a tool that SIGPIPE has ended, if nobody reads the standard output any more.

    A pipe that broke elsewhere, as to a process of ours, stays an error.

    Raises:
        SystemExit: 141, if nobody reads.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, since an error at the very end of Python cannot be caught
    except BrokenPipeError:
        if not _is_cut_off():
            raise
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())  # where Python writes what is left
        raise SystemExit(128 + signal.SIGPIPE) from None


def _is_cut_off() -> bool:
    """Whether the standard output is a pipe, or a socket, that nobody reads."""
    try:
        watched = select.poll()
        watched.register(sys.stdout.fileno(), 0)  # errors are told unasked
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in watched.poll(0))
    except (AttributeError, OSError):  # no file: text is kept in memory, or goes nowhere
        return False
