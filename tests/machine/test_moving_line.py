"""The line that moves: steps in words, and never mixed with what is printed."""

import dataclasses
import io
import logging
import threading
import time

import pytest

from miad.machine import moving_line
from miad.machine.moving_line import CLEAR, Screen, begin, draw, duration, in_one_line, in_words, showable
from miad.machine.owners import Owner
from miad.machine.running import PLACE, SILENT, Count, Running

NOW = 1.8e9
COUNT = Count("crystals relaxed", done=60, before=50, total=100, seconds=200.0, at=NOW)
RELAX = Running("relax", "miad/chgnet/0", Owner.this(), "", NOW, COUNT)
ON_A_NODE = dataclasses.replace(RELAX, part="miad/chgnet/1", owner=Owner("node7", "me", 5, 5, NOW - 9), job="42")


@pytest.fixture(autouse=True)
def foreground(monkeypatch):
    """Where this process is: in the foreground, until a test puts it into the background."""
    where = [True]
    monkeypatch.setattr(moving_line, "is_in_foreground", lambda _: where[0])
    return where


class Terminal(io.StringIO):
    """Keeps what was drawn on it, and tells of it."""

    def __init__(self):
        super().__init__()
        self.drawn = threading.Event()

    def isatty(self):
        return True

    def flush(self):
        self.drawn.set()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "1 h 00 min"),
        (3 * 3600 + 300, "3 h 05 min"),
        (187200, "2 d 04 h"),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_a_step_has_its_share_and_the_time_left():
    assert in_words(RELAX, NOW) == (
        "relax miad/chgnet/0 [############--------] 60 % (60 of 100 crystals relaxed, 13 min left)"
    )
    unknown = dataclasses.replace(RELAX, count=dataclasses.replace(COUNT, total=None))
    assert in_words(unknown, NOW) == "relax miad/chgnet/0: 60 crystals relaxed"
    assert in_words(dataclasses.replace(RELAX, count=None, part=""), NOW) == "relax: at work"


def test_the_share_is_the_same_in_both_forms_and_never_more_than_all():
    other = dataclasses.replace(RELAX, part="other", count=None)
    for done, total, percent in [(29, 100, 29), (199, 200, 99), (2, 2, 100), (3, 2, 100)]:
        one = dataclasses.replace(RELAX, count=Count("items", done, 0, total, 1.0, NOW))
        assert f" {percent} % ({done} of {total} items, " in in_words(one, NOW)
        assert in_one_line([one, other], NOW, 200).startswith(f"relax miad/chgnet/0 {percent} %, ")


def test_what_does_not_run_has_its_last_sign_and_no_share():
    silent = in_words(ON_A_NODE, NOW + SILENT)
    assert silent.startswith("relax miad/chgnet/1: gives no sign of life (Slurm job 42); last sign 20")
    assert "%" not in silent
    gone = dataclasses.replace(RELAX, owner=dataclasses.replace(Owner.this(), since=1.0))  # its id was used again
    assert "was killed (process" in in_words(gone, NOW)


def test_one_line_holds_all_steps_of_this_machine_and_fits():
    other = dataclasses.replace(RELAX, part="miad/chgnet/2", count=None)
    assert in_one_line([RELAX, ON_A_NODE], NOW, 200) == in_words(RELAX, NOW)
    both = in_one_line([RELAX, other, ON_A_NODE], NOW, 200)
    assert both == "relax miad/chgnet/0 60 %, 13 min left | relax miad/chgnet/2"
    assert in_one_line([RELAX, other], NOW, 12) == both[:11] + "…"
    assert in_one_line([ON_A_NODE], NOW, 200) == in_one_line([], NOW, 200) == ""
    assert in_one_line([RELAX], NOW + SILENT, 200) == ""


def test_what_is_printed_takes_the_line_away_first():
    terminal = Terminal()
    screen = Screen(terminal)
    screen.write("before\n")
    screen.show("relax 1 %")
    screen.show("relax 1 %")  # nothing new, nothing drawn
    screen.write("Finished jobid: 3\n")
    screen.write("done\n")
    screen.show("relax 2 %")
    screen.end()
    assert terminal.getvalue() == (f"before\n{CLEAR}relax 1 %{CLEAR}Finished jobid: 3\ndone\n{CLEAR}relax 2 %{CLEAR}")


def test_a_terminal_gets_no_character_that_it_does_not_have():
    terminal = io.TextIOWrapper(written := io.BytesIO(), encoding="latin-1")
    Screen(terminal).show("relax é 1 …")
    assert written.getvalue().decode("latin-1") == f"{CLEAR}relax é 1 ?"
    assert showable("relax é …\udce9", io.StringIO()) == "relax é …?"  # a file name that is no text


def test_whatever_is_wrong_with_the_records_snakemake_runs(tmp_path, monkeypatch, caplog):
    def fails(_):
        raise OverflowError("signed integer is greater than maximum")

    monkeypatch.setattr(moving_line, "forget", fails)
    begin([], tmp_path)
    assert "OverflowError" in caplog.text and str(PLACE) in caplog.text


def test_what_was_killed_is_forgotten_at_the_beginning(tmp_path):
    dataclasses.replace(ON_A_NODE, updated=1.0).write(tmp_path / PLACE)
    begin([], tmp_path)
    assert list((tmp_path / PLACE).iterdir()) == []


def test_a_prompt_is_not_written_over(foreground):
    terminal = Terminal()
    screen = Screen(terminal)
    screen.show("relax 1 %")
    foreground[0] = False  # stopped, and put into the background: its line is above the prompt now
    screen.write("Finished jobid: 3\n")
    screen.show("relax 2 %")
    screen.show("")
    foreground[0] = True
    screen.write("Finished jobid: 4\n")
    screen.show("relax 3 %")
    foreground[0] = False
    screen.end()
    assert terminal.getvalue() == f"{CLEAR}relax 1 %Finished jobid: 3\nFinished jobid: 4\n{CLEAR}relax 3 %"


def test_only_a_terminal_gets_a_line_and_keeps_it_until_the_end(tmp_path, monkeypatch):
    at_exit = []
    monkeypatch.setattr(moving_line.atexit, "register", at_exit.append)
    before = threading.enumerate()
    terminal = Terminal()
    to_file, to_terminal = logging.StreamHandler(io.StringIO()), logging.StreamHandler(terminal)
    draw([logging.NullHandler(), to_file], tmp_path)
    assert threading.enumerate() == before and isinstance(to_file.stream, io.StringIO)
    dataclasses.replace(RELAX, updated=time.time(), count=None).write(tmp_path / PLACE)
    draw([to_file, to_terminal], tmp_path)
    screen = to_terminal.stream
    assert isinstance(screen, Screen) and screen.isatty() and at_exit == [screen.end]
    (thread,) = set(threading.enumerate()) - set(before)
    assert terminal.drawn.wait(60)
    screen.end()
    thread.join(60)
    screen.show("relax 2 %")
    assert not thread.is_alive()
    assert terminal.getvalue() == f"{CLEAR}relax miad/chgnet/0: at work{CLEAR}"


def test_a_terminal_that_was_closed_is_no_error():
    terminal = Terminal()
    screen = Screen(terminal)
    screen.show("relax 1 %")
    terminal.close()
    screen.end()
