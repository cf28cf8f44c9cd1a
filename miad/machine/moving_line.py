"""Running steps in words, and the line of them that moves below what snakemake prints on a terminal.

The steps write to their logs. Snakemake itself, which outlives them, draws one line for all that run on this machine.
What it prints goes through the same lock, and takes the line away first: the two never mix. In the background, where a
person types below, no line is drawn.
"""

import atexit
import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from miad.machine.progress import is_in_foreground
from miad.machine.running import PLACE, Count, Running, forget, steps_in

REDRAW_EVERY = 1.0  # seconds
CLEAR = "\r\x1b[K"  # to the beginning of the line, and empty it
BAR = 20  # characters

log = logging.getLogger("miad")


def duration(seconds: float) -> str:
    """A time in words: `45 s`, `12 min`, `3 h 05 min`, `2 d 04 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02} min" if hours < 48 else f"{hours // 24} d {hours % 24:02} h"


def in_words(one: Running, now: float) -> str:
    """A step in one line: name, bar, share done and time left; or when it was heard of last, if it does not run."""
    name = _name(one)
    if not one.is_at_work(now):
        where = f"Slurm job {one.job}" if one.job else f"process {one.owner.pid} on {one.owner.host}"
        fate = "was killed" if one.owner.is_here and not one.owner.is_alive else "gives no sign of life"
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.updated))
        return f"{name}: {fate} ({where}); last sign {stamp}"
    if one.count is None:
        return f"{name}: at work"
    count = one.count
    if not count.total:
        return f"{name}: {count.done} {count.what}"
    percent = _percent(count.done, count.total)
    bar = "#" * (BAR * percent // 100)
    return f"{name} [{bar:-<{BAR}}] {percent} % ({count.done} of {count.total} {count.what}{_rest(count, now)})"


def in_one_line(steps: Iterable[Running], now: float, width: int) -> str:
    """The steps that run on this machine in a line of at most `width` characters; nothing if none does."""
    here = [one for one in steps if one.owner.is_here and one.is_at_work(now)]
    if len(here) == 1:
        text = in_words(here[0], now)
    else:
        text = " | ".join(map(_in_short, here, [now] * len(here)))
    return cut(text, width)


def cut(text: str, width: int) -> str:
    """The text, cut to a number of characters with … at its end."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def showable(text: str, stream: TextIO) -> str:
    """The text with ? for what the encoding of a terminal or file does not have; as long as before."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def _in_short(one: Running, now: float) -> str:
    count = one.count
    if count is None or not count.total:
        return _name(one)
    return f"{_name(one)} {_percent(count.done, count.total)} %{_rest(count, now)}"


def _name(one: Running) -> str:
    return " ".join(filter(None, (one.step, one.part)))


def _percent(done: int, total: int) -> int:
    """Share that is done, of 100; a total that was only estimated may be exceeded."""
    return int(min(100 * done / total, 100))


def _rest(count: Count, now: float) -> str:
    left = count.left(now)
    return "" if left is None else f", {duration(left)} left"


class Screen:
    """A terminal with a line that moves; stands in the place of the stream that others print to."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock, self._line = stream, threading.RLock(), ""
        self.ended = threading.Event()

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's: whether it is a terminal, which decides on colours, and how it is flushed."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Print, in the place of the line; it is drawn again when it is due."""
        with self._lock:
            self._clear()
            return self._stream.write(text)

    def show(self, line: str) -> None:
        """Draw another line; an empty one leaves nothing. Not in the background, and not after the end."""
        with self._lock:
            if not is_in_foreground(self._stream):
                self._line = ""  # what was drawn is above the prompt by now
            elif line != self._line and not self.ended.is_set():
                self._stream.write(CLEAR + showable(line, self._stream))
                self._line = line
                self._stream.flush()

    def end(self) -> None:
        """Take the line away for good; a terminal that was closed meanwhile has none."""
        with self._lock:
            with contextlib.suppress(OSError, ValueError):
                self.show("")
            self.ended.set()

    def _clear(self) -> None:
        if self._line and is_in_foreground(self._stream):
            self._stream.write(CLEAR)
        self._line = ""


def begin(handlers: Iterable[logging.Handler], folder: Path) -> None:
    """Forget the steps of a folder that were killed, and draw the line of those to come.

    Both are for people who watch: whatever goes wrong with them is told, and is no reason for snakemake not to run.
    """
    try:
        forget(folder)
        draw(handlers, folder)
    except Exception as error:
        log.warning("no line shows how far the steps are: %r. Delete %s, if it stays so.", error, folder / PLACE)


def draw(handlers: Iterable[logging.Handler], folder: Path) -> None:
    """Draw the line of a folder's steps until this process ends, if its messages go to a terminal."""
    for handler in handlers:
        stream = getattr(handler, "stream", None)
        if isinstance(handler, logging.StreamHandler) and stream is not None and stream.isatty():
            screen = Screen(stream)
            handler.stream = screen
            atexit.register(screen.end)
            threading.Thread(target=_keep_drawing, args=(screen, folder), name="moving line", daemon=True).start()
            return


def _keep_drawing(screen: Screen, folder: Path) -> None:
    try:
        is_over = False
        while not is_over:
            columns = shutil.get_terminal_size().columns - 1
            screen.show(in_one_line(steps_in(folder), time.time(), columns))
            is_over = screen.ended.wait(REDRAW_EVERY)
    except (OSError, ValueError):  # the terminal was closed
        return
