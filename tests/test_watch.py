"""The watch command: running steps, killed ones apart, and an end when nothing runs."""

import dataclasses
import io
import os
import subprocess
import sys
import time

import pytest

from miad import watch
from miad.cancel import SIGNED
from miad.core.errors import MiadError
from miad.machine.owners import Owner
from miad.machine.running import PLACE, SILENT, Count, Running

NOW = 1.8e9
TRAIN = Running("train", "miad", Owner.this(), "", NOW, Count("epochs trained", 30, 20, 40, 50.0, NOW))
GONE = dataclasses.replace(TRAIN, step="relax", owner=Owner("node7", "me", 5, 5, NOW - 9), updated=NOW - SILENT)


class Terminal:
    """Standard output that is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


def test_killed_steps_come_first_and_do_not_count_as_running():
    lines = watch.told([GONE, TRAIN], NOW)
    assert lines[0].startswith("relax miad: gives no sign of life")
    assert lines[1].startswith("train miad [") and "75 %" in lines[1] and "50 s left" in lines[1]
    assert watch.told([GONE], NOW)[1:] == watch.told([], NOW) == ["nothing is running"]
    assert watch.told([GONE], NOW, "snakemake waits")[1:] == ["snakemake waits"]


def test_a_script_gets_one_answer(tmp_path, capsys):
    dataclasses.replace(TRAIN, updated=time.time()).write(tmp_path / PLACE)
    watch.run(tmp_path)
    watch.run(tmp_path, once=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.startswith("train miad [") for line in lines)
    assert "\x1b" not in "".join(lines)


def test_a_person_sees_the_lines_move_until_nothing_runs(tmp_path, monkeypatch):
    def ends(_):
        (tmp_path / PLACE / TRAIN.name).unlink()

    monkeypatch.setattr(watch.time, "sleep", ends)
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    dataclasses.replace(TRAIN, updated=time.time()).write(tmp_path / PLACE)
    watch.run(tmp_path)
    first, then = terminal.text.split("\x1b[1A\x1b[J")
    assert first.startswith("train miad [") and then == "nothing is running\n"


def test_more_lines_than_rows_leave_out_the_first_and_say_so():
    lines = [f"line {number}" for number in range(9)]
    assert watch.fitted(lines, 80, 10) == lines
    assert watch.fitted(lines, 80, 9) == ["… 2 more lines; all: miad watch --once", *lines[2:]]
    assert watch.fitted(lines, 80, 1) == ["… 8 more lines; all: miad watch --once", "line 8"]
    assert watch.fitted(["x" * 30], 25, 9) == ["x" * 23 + "…"]


def test_no_more_is_drawn_than_can_be_drawn_over(tmp_path, monkeypatch):
    """The cursor goes up by no more than the rows above it; what remains at the end may scroll."""

    def ends(_):
        for part in parts:
            (tmp_path / PLACE / dataclasses.replace(TRAIN, part=part).name).unlink()

    parts = [f"run{number}" for number in range(8)]
    for part in parts:
        dataclasses.replace(TRAIN, part=part, updated=time.time()).write(tmp_path / PLACE)
    for number in range(6):
        dataclasses.replace(GONE, part=f"run{number}", updated=time.time() - SILENT).write(tmp_path / PLACE)
    monkeypatch.setattr(watch.shutil, "get_terminal_size", lambda: os.terminal_size((200, 10)))
    monkeypatch.setattr(watch.time, "sleep", ends)
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    watch.run(tmp_path)
    first, then = terminal.text.split("\x1b[9A\x1b[J")
    assert first.splitlines()[0] == "… 6 more lines; all: miad watch --once"
    assert [line.split()[1] for line in first.splitlines()[1:]] == parts
    assert len(then.splitlines()) == 7 and then.endswith("nothing is running\n")


def test_a_snakemake_of_another_machine_is_not_taken_for_nothing(tmp_path, monkeypatch, capsys):
    """All its jobs may wait in the queue; someone who watches goes on watching, until it resigns."""
    Owner("login1", "me", 5, 5, NOW).write(tmp_path / SIGNED / "login1-5.json")
    watch.run(tmp_path)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("snakemake has signed this folder (process 5 of me on login1, started 20")
    assert line.endswith("), and no step tells of itself: its jobs wait, or it was killed")
    monkeypatch.setattr(watch.time, "sleep", lambda _: (tmp_path / SIGNED / "login1-5.json").unlink())
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    watch.run(tmp_path)
    assert terminal.text.splitlines()[1:] == ["\x1b[1A\x1b[Jnothing is running"]


def test_what_the_terminal_does_not_have_is_replaced(tmp_path, monkeypatch):
    """On one of latin-1, which has no character of three dots."""
    for number in range(9):
        path = tmp_path / PLACE
        dataclasses.replace(GONE, part=f"é{number}", updated=time.time() - SILENT).write(path)
    Owner.this().write(tmp_path / SIGNED / "1.json")
    monkeypatch.setattr(watch.shutil, "get_terminal_size", lambda: os.terminal_size((30, 5)))
    monkeypatch.setattr(watch.time, "sleep", lambda _: (tmp_path / SIGNED / "1.json").unlink())
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", terminal := io.TextIOWrapper(written, encoding="latin-1"))
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    watch.run(tmp_path)
    lines = written.getvalue().decode("latin-1").splitlines()
    assert lines[0] == "? 7 more lines; all: miad wa?"
    assert lines[1].startswith("relax é7: ") and lines[1].endswith("?") and len(lines[1]) == 29


def test_it_waits_for_the_next_step_while_snakemake_is_at_work(tmp_path, monkeypatch, capsys):
    Owner.this().write(tmp_path / SIGNED / "1.json")
    watch.run(tmp_path)
    assert capsys.readouterr().out == "snakemake is at work, between two steps\n"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    dataclasses.replace(Owner.this(), pid=dead.pid).write(tmp_path / SIGNED / "1.json")
    watch.run(tmp_path)
    assert capsys.readouterr().out == "nothing is running\n"


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(MiadError, match="is no folder"):
        watch.run(tmp_path / "typo")
