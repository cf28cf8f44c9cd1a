"""The line that moves: steps in words, and never mixed with what is printed."""

import dataclasses
import io
import logging

import pytest

from miad.machine import moving_line
from miad.machine.moving_line import CLEAR, Screen, draw, duration, in_one_line, in_words
from miad.machine.owners import Owner
from miad.machine.running import SILENT, Count, Running

NOW = 1.8e9
COUNT = Count("crystals relaxed", done=60, before=50, total=100, seconds=200.0, at=NOW)
RELAX = Running("relax", "miad/chgnet/0", Owner.this(), "", NOW, COUNT)
ON_A_NODE = dataclasses.replace(RELAX, part="miad/chgnet/1", owner=Owner("node7", "me", 5, 5, NOW - 9), job="42")


class Terminal(io.StringIO):
    def isatty(self):
        return True


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
    assert in_words(RELAX, NOW, bar=10) == (
        "relax miad/chgnet/0 [######----] 60 % (60 of 100 crystals relaxed, 13 min left)"
    )
    unknown = dataclasses.replace(RELAX, count=dataclasses.replace(COUNT, total=None))
    assert in_words(unknown, NOW) == "relax miad/chgnet/0: 60 crystals relaxed"
    assert in_words(dataclasses.replace(RELAX, count=None, part=""), NOW) == "relax: at work"


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


def test_only_a_terminal_gets_a_line(tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(moving_line.atexit, "register", lambda *_: None)
    monkeypatch.setattr(moving_line, "_keep_drawing", lambda screen, folder: begun.append(folder))
    to_file, to_terminal = logging.StreamHandler(io.StringIO()), logging.StreamHandler(Terminal())
    draw([logging.NullHandler(), to_file], tmp_path)
    assert begun == [] and isinstance(to_file.stream, io.StringIO)
    draw([to_file, to_terminal], tmp_path)
    assert isinstance(to_terminal.stream, Screen) and to_terminal.stream.isatty()


def test_a_terminal_that_was_closed_is_no_error():
    terminal = Terminal()
    screen = Screen(terminal)
    screen.show("relax 1 %")
    terminal.close()
    screen.end()
