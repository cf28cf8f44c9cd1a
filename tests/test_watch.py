"""The watch command: running steps, killed ones apart, and an end when nothing runs."""

import dataclasses
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
    assert watch.told([], NOW, is_between=True) == ["snakemake is at work, between two steps"]


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
