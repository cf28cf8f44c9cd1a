"""Progress: items pass unchanged; a person sees a bar, the log gets one line a minute."""

import io
import logging
import os
import pty
import subprocess
import sys

import pytest

from miad.machine import progress
from miad.machine.progress import is_in_foreground, track


@pytest.fixture(autouse=True)
def nobody_watches(monkeypatch):
    """Tests are run by people too; only one of them is to see a bar."""
    monkeypatch.setattr(progress, "_terminal", lambda: None)


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves by 25 s at every look."""
    times = iter(range(0, 100_000, 25))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(times)))


def test_items_pass_in_order_and_lazily():
    taken = []
    tracked = track((taken.append(item) or item for item in range(5)), what="items")
    assert next(tracked) == 0
    assert taken == [0]
    assert list(tracked) == [1, 2, 3, 4]
    assert list(track([], what="items")) == []


def test_the_log_gets_about_one_line_a_minute_and_a_last_one(caplog, clock):
    caplog.set_level(logging.INFO, logger="miad")
    list(track(range(9), what="crystals relaxed"))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "crystals relaxed: 3 of 9 after 75 s"
    assert len(lines) == 4  # at 75, 150 and 225 s, then the sum
    assert lines[-1].startswith("crystals relaxed: 9 in ")


def test_the_total_of_a_generator_can_be_told_or_stay_unknown(caplog, clock):
    caplog.set_level(logging.INFO, logger="miad")
    list(track(iter(range(4)), what="told", total=4))
    list(track(iter(range(4)), what="unknown"))
    assert "told: 3 of 4 after" in caplog.text
    assert "unknown: 3 of ? after" in caplog.text


class Terminal(io.StringIO):
    """Keeps what was drawn on it."""

    drawn = ""

    def close(self):
        Terminal.drawn = self.getvalue()
        super().close()


def test_a_person_sees_a_bar_and_the_log_its_line(monkeypatch, caplog):
    monkeypatch.setattr(progress, "_terminal", Terminal)
    caplog.set_level(logging.INFO, logger="miad")
    assert list(track(range(3), what="crystals relaxed")) == [0, 1, 2]
    assert "crystals relaxed" in Terminal.drawn and "0/3" in Terminal.drawn
    assert "crystals relaxed: 3 in" in caplog.text


def test_no_bar_is_drawn_without_a_terminal():
    """In a session of its own a process has no terminal, as under a scheduler."""
    program = "import sys; from miad.machine.progress import _terminal; sys.exit(_terminal() is not None)"
    assert subprocess.run([sys.executable, "-c", program], start_new_session=True).returncode == 0


@pytest.mark.parametrize(("group", "is_front"), [(None, True), (0, False)])
def test_the_foreground_of_a_terminal_is_told_from_the_background(group, is_front):
    """Of a process with a terminal of its own, and of a child in a process group of its own, as of `snakemake &`."""
    asked = (
        "import sys; from miad.machine.progress import _terminal, is_in_foreground;"
        f"sys.exit(not (is_in_foreground(sys.stderr) == (_terminal() is not None) == {is_front}))"
    )
    program = (
        "import fcntl, subprocess, sys, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0);"
        f"sys.exit(subprocess.run([sys.executable, '-c', {asked!r}], process_group={group}).returncode)"
    )
    inside, outside = pty.openpty()
    with open(inside, "rb", buffering=0), open(outside, "wb", buffering=0) as terminal:
        environ = {name: value for name, value in os.environ.items() if name not in (progress.RUN, "RANK")}
        ended = subprocess.run([sys.executable, "-c", program], start_new_session=True, stderr=terminal, env=environ)
    assert ended.returncode == 0


def test_a_file_is_no_foreground(tmp_path):
    with open(tmp_path / "log", "w") as file:
        assert not is_in_foreground(file)


def test_an_error_in_the_loop_is_not_hidden():
    def torn():
        yield 1
        raise ValueError("torn")

    with pytest.raises(ValueError, match="torn"):
        list(track(torn(), what="items"))


def test_a_loop_counts_what_earlier_sessions_have_done(monkeypatch):
    counts = []
    monkeypatch.setattr(progress, "report", counts.append)
    assert list(track(range(2), what="epochs trained", before=40)) == [0, 1]
    assert [(one.done, one.before, one.total) for one in counts] == [(40, 40, 42), (41, 40, 42), (42, 40, 42)]


def test_the_log_counts_what_earlier_sessions_have_done(caplog, clock):
    caplog.set_level(logging.INFO, logger="miad")
    list(track(range(3), what="crystals relaxed", before=50))
    assert [record.getMessage() for record in caplog.records] == [
        "crystals relaxed: 53 of 53 after 75 s, 50 of them in earlier sessions",
        "crystals relaxed: 3 in 100.0 s, after 50 in earlier sessions",
    ]


def test_steps_of_snakemake_leave_the_terminal_to_it(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("the terminal was opened"))
    monkeypatch.setenv(progress.RUN, "/somewhere")
    assert progress._terminal() is None
    monkeypatch.delenv(progress.RUN)
    monkeypatch.setenv("RANK", "1")
    assert progress._terminal() is None
