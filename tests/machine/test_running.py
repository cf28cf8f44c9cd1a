"""Records of steps at work: whole or not there, of living processes only, and never a reason to fail."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time

import pytest

from miad import watch
from miad.machine import running
from miad.machine.os_processes import RUN
from miad.machine.owners import Owner
from miad.machine.running import PLACE, SILENT, Count, Reporter, Running, forget, report, reported, steps_in

NOW = 1.8e9
COUNT = Count("crystals relaxed", done=60, before=50, total=100, seconds=20.0, at=NOW)
ELSEWHERE = Owner("a-node-far-away", "someone", 7, 7, NOW - 1000)


def record(**changes) -> Running:
    known = Running("relax", "miad/chgnet/0", Owner.this(), "", NOW, COUNT)
    return dataclasses.replace(known, **changes)


@pytest.fixture
def ended() -> Owner:
    """The record of a process of this machine that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return dataclasses.replace(Owner.this(), pid=process.pid)


def test_the_time_left_follows_from_this_session_alone():
    assert COUNT.left(NOW) == 80.0  # 10 in 20 s, 40 more; not 60 in 20 s
    assert COUNT.left(NOW + 1) == 79.0  # the item in hand is half done
    assert COUNT.left(NOW + 30) == 78.0  # it takes longer than the others; the 39 after it may not
    assert COUNT.left(NOW + 3600) is None  # it is stuck
    assert dataclasses.replace(COUNT, done=50).left(NOW) is None
    assert dataclasses.replace(COUNT, total=None).left(NOW) is None
    assert dataclasses.replace(COUNT, done=100).left(NOW + 3600) == 0.0


def test_a_record_comes_back_as_it_was_written(tmp_path):
    ones = [record(), record(step="train", part="miad", count=None, job="123")]
    for one in ones:
        one.write(tmp_path / PLACE)
    assert steps_in(tmp_path) == ones
    assert len(list((tmp_path / PLACE).iterdir())) == 2  # nothing temporary stays


def test_a_step_that_is_done_again_takes_the_place_of_the_killed_one(tmp_path):
    record(owner=ELSEWHERE).write(tmp_path / PLACE)
    record().write(tmp_path / PLACE)
    record(part="miad/chgnet/1").write(tmp_path / PLACE)
    assert [one.owner for one in steps_in(tmp_path)] == [Owner.this(), Owner.this()]


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda text: text[:-9],
        lambda text: "[]",
        lambda text: text.replace('"relax"', "3"),
        lambda text: text.replace('"relax"', '"\\u001b[2J"'),  # a command to the terminal of whoever looks
        lambda text: text.replace("20.0", "1e999"),
        lambda text: text.replace('"done": 60', '"done": "60"'),
        lambda text: text.replace('"done": 60', '"done": 1e-320'),
        lambda text: text.replace('"done": 60', '"done": 60' + 400 * "0"),
        lambda text: text.replace('"total": 100', '"total": true'),
        lambda text: text.replace('"total": 100', '"total": -1'),
        lambda text: re.sub('"pid": [0-9]+', f'"pid": {2**31}', text),
        lambda text: re.sub('"pid": [0-9]+', '"pid": 3.5', text),
        lambda text: text.replace('"job": ""', '"job": "", "more": 1'),
    ],
)
def test_torn_and_hostile_records_are_left_out(tmp_path, capsys, spoilt):
    record().write(tmp_path / PLACE)
    [path] = (tmp_path / PLACE).iterdir()
    assert spoilt(path.read_text()) != path.read_text()
    path.write_text(spoilt(path.read_text()))
    assert steps_in(tmp_path) == []
    forget(tmp_path)
    watch.run(tmp_path, once=True)
    assert capsys.readouterr().out == "nothing is running\n"


def test_only_what_lives_and_tells_so_is_at_work(ended):
    assert record().is_at_work(NOW + 1)
    assert not record().is_at_work(NOW + SILENT)  # suspended, or its disk hangs
    assert not record(owner=ended).is_at_work(NOW + 1)
    assert record(owner=ELSEWHERE).is_at_work(NOW + 1)  # a node of a cluster cannot be asked
    assert not record(owner=ELSEWHERE).is_at_work(NOW + SILENT)


def test_what_was_killed_is_forgotten_and_nothing_else(tmp_path, ended):
    alive = record(step="train", updated=time.time())
    for one in (alive, record(owner=ended, updated=time.time()), record(step="sample", owner=ELSEWHERE, updated=1.0)):
        one.write(tmp_path / PLACE)
    forget(tmp_path)
    assert steps_in(tmp_path) == [alive]
    forget(tmp_path, is_idle=True)
    assert steps_in(tmp_path) == []


def test_a_record_is_forgotten_whatever_its_name_is(tmp_path, ended):
    record(owner=ended).write(tmp_path / PLACE)
    (tmp_path / PLACE / record().name).rename(tmp_path / PLACE / "other.json")
    forget(tmp_path)
    assert list((tmp_path / PLACE).iterdir()) == []


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder in which snakemake works; this process is one of its steps."""
    monkeypatch.setenv(RUN, str(tmp_path))
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return tmp_path


def test_a_step_is_reported_while_it_runs_with_its_count(folder, monkeypatch):
    monkeypatch.setattr(running, "LOOK_EVERY", 0.01)
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    with reported("relax", "miad/chgnet/0"):
        report(COUNT)
        running._reporter.tell()
        [one] = steps_in(folder)
        assert (one.step, one.part, one.owner, one.job, one.count) == (
            "relax",
            "miad/chgnet/0",
            Owner.this(),
            "42",
            COUNT,
        )
    assert steps_in(folder) == []


def test_an_error_of_the_step_passes_and_its_record_goes(folder):
    with pytest.raises(SystemExit), reported("train", "miad"):
        raise SystemExit(75)
    assert steps_in(folder) == []


def test_who_was_started_by_hand_and_further_processes_of_torchrun_report_nothing(folder, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with reported("train", "miad"):
        assert running._reporter is None
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv(RUN)
    with reported("train", "miad"):
        assert running._reporter is None
    report(COUNT)


def test_a_folder_that_cannot_be_written_to_is_no_error(folder):
    (folder / PLACE.parent).write_text("a file in the place of the folder")  # holds for root too
    with reported("train", "miad"):
        report(COUNT)
        running._reporter.tell()
    assert steps_in(folder) == []


def test_a_full_disk_leaves_the_old_record_and_no_rest(folder, monkeypatch):
    record().write(folder / PLACE)

    def full(*_, **__):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(running.Path, "write_text", full)
    Reporter(record(job="2"), folder / PLACE).tell()
    assert steps_in(folder) == [record()]
    assert len(list((folder / PLACE).iterdir())) == 1


def test_at_its_end_a_step_removes_its_own_record_only(folder):
    theirs = record(owner=ELSEWHERE)
    for owner, left in ((Owner.this(), []), (ELSEWHERE, [theirs])):
        reporter = Reporter(record(), folder / PLACE)
        reporter._ended.set()
        if owner == ELSEWHERE:  # another process has done the step again meanwhile
            reporter.tell = lambda: theirs.write(folder / PLACE)
        reporter.work()
        assert steps_in(folder) == left


def test_records_are_plain_json(tmp_path):
    record().write(tmp_path / PLACE)
    [path] = (tmp_path / PLACE).iterdir()
    assert path.name == "relax-miad-chgnet-0.json"
    assert json.loads(path.read_text())["count"]["total"] == 100
