"""Records of processes at work in a folder, and locks that say who holds them."""

import dataclasses
import fcntl
import json
import os
import subprocess
import sys
import time

import pytest

from miad.core.errors import MiadError
from miad.machine.owners import Owner, at_work, locked
from tests.builders import ROOT

HOLD = """import sys, pathlib
from miad.machine.owners import locked
with locked(pathlib.Path(sys.argv[1]), what="--out x", remedy="Wait."):
    print("held", flush=True)
    input()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock `lock`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def of(process: subprocess.Popen, **changes) -> Owner:
    """A record of a process."""
    import psutil

    known = dataclasses.replace(Owner.this(), pid=process.pid, since=psutil.Process(process.pid).create_time())
    return dataclasses.replace(known, **changes)


def test_an_owner_is_alive_until_it_ends_and_no_later_process_is_taken_for_it(holder):
    owner = of(holder)
    assert Owner.this().is_alive and owner.is_alive
    assert not dataclasses.replace(owner, since=owner.since - 3600).is_alive  # the id of one that ended long ago
    holder.kill()
    holder.wait()
    assert not owner.is_alive


def test_a_process_that_was_killed_and_not_yet_waited_for_does_not_run(holder):
    import psutil

    owner = of(holder)
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and keeps its id
    assert psutil.pid_exists(holder.pid) and not owner.is_alive


def test_a_process_that_the_system_hides_counts_as_alive(holder, monkeypatch):
    import psutil

    owner = of(holder)

    def hidden(pid):
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(psutil, "Process", hidden)  # as with hidepid, of the processes of others
    assert owner.is_alive


def test_records_of_ended_processes_go_and_those_of_other_machines_stay(holder, tmp_path):
    folder = tmp_path / "owners"
    live, ended, far = of(holder), of(holder, since=1.0), of(holder, host="login2")
    for name, owner in {"live": live, "ended": ended, "far": far, "own": Owner.this()}.items():
        owner.write(folder / f"{name}.json")
    for name, text in {"torn": "{", "odd": json.dumps({**dataclasses.asdict(live), "pid": "7"})}.items():
        (folder / f"{name}.json").write_text(text)
    assert sorted(at_work(folder), key=str) == sorted([live, far], key=str)
    assert not (folder / "ended.json").exists()


def test_a_second_process_is_told_who_holds_a_lock_and_a_killed_one_holds_none(holder, tmp_path):
    path = tmp_path / "lock"
    with (
        pytest.raises(MiadError, match=rf"--out x is in use by process {holder.pid} of \S+ on \S+, started .*Wait"),
        locked(path, what="--out x", remedy="Wait."),
    ):
        pass
    holder.kill()
    holder.wait()
    with locked(path, what="--out x", remedy="Wait."):
        assert Owner.read(path) == Owner.this()
    assert path.read_text() == ""  # results are handed on, names of users are not


def test_without_locks_of_the_file_system_the_record_decides(holder, tmp_path, monkeypatch, caplog):
    def without(*_):
        raise OSError("No locks available")

    monkeypatch.setattr(fcntl, "flock", without)
    with (
        pytest.raises(MiadError, match=rf"in use by process {holder.pid}"),
        locked(tmp_path / "lock", what="--out x", remedy="Wait."),
    ):
        pass
    holder.kill()
    holder.wait()
    with locked(tmp_path / "lock", what="--out x", remedy="Wait."):
        assert "no locks on this file system" in caplog.text
    assert time.time() > Owner.this().since


@pytest.mark.parametrize("since", ["1e300", "NaN", "-Infinity", "[" * 100_000])
def test_a_record_with_a_time_that_is_none_is_no_owner(tmp_path, since):
    (tmp_path / "a.json").write_text(f'{{"host": "a", "user": "b", "pid": 5, "group": 5, "since": {since}}}')
    assert at_work(tmp_path) == []


@pytest.mark.parametrize(
    "changes",
    [{"user": "me\x1b[2J"}, {"host": "a\nb"}, {"pid": 0}, {"pid": 2**31}, {"pid": 3.5}, {"pid": True}, {"group": -1}],
)
def test_a_record_of_what_there_cannot_be_is_no_owner(tmp_path, changes):
    """Nor is one whose names would give commands to the terminal of whoever is told of it."""
    far = Owner("login2", "me", 5, 5, 1.8e9)
    far.write(tmp_path / "sound.json")
    dataclasses.replace(far, **changes).write(tmp_path / "odd.json")
    assert at_work(tmp_path) == [far]


def test_a_user_of_an_unprintable_name_has_a_record_that_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("LOGNAME", "me\x1b[2J")
    Owner.this().write(tmp_path / "a.json")
    assert Owner.read(tmp_path / "a.json") == Owner.this()


def test_a_lock_that_another_user_has_left_is_taken(holder, tmp_path, monkeypatch):
    opened = os.open

    def denied(path, flags, *mode):
        if flags & os.O_RDWR and str(path).startswith(str(tmp_path)):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", denied)
    (tmp_path / "theirs").write_text("")
    with locked(tmp_path / "theirs", what="--out x", remedy="Wait."):
        pass
    with pytest.raises(MiadError, match="in use by process"), locked(tmp_path / "lock", what="--out x", remedy="Wait."):
        pass


def test_what_a_link_in_the_place_of_a_lock_leads_to_stays(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="lock"), locked(tmp_path / "lock", what="--out x", remedy="Wait."):
        pass
    assert (tmp_path / "precious").read_text() == "precious"
