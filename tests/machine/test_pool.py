"""Workers may die; the items that killed them are the only ones lost, and a step never waits for ever."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from miad.core.errors import MiadError
from miad.machine import pool
from miad.machine.pool import Lost, as_completed, doing, in_order
from tests.builders import ROOT


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "num_cores", lambda: 2)


def identified(number: int) -> tuple[int, int]:
    return number, os.getpid()


def act(item: str, limit: float = 60.0) -> str:
    """Do what an item says."""
    verb, _, rest = item.partition(" ")
    if verb == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if verb == "hang":
        time.sleep(limit)
    if verb == "raise":
        raise EOFError("as a torn archive does")
    if verb == "wrong":
        raise MiadError("the settings are wrong")
    if verb == "once" and not Path(rest).exists():
        Path(rest).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if verb == "pairs":  # a long item of short parts, of which one may hang
        for number in range(4):
            doing(f"a and {number}")
            time.sleep(60 if str(number) == rest else 0.6)
    return item


def make_actor(limit: float = 60.0):
    """What a worker does, with a memory of what it has seen."""
    hoard: list[bytearray] = []

    def treat(item: str) -> str:
        if item.startswith("hoard"):
            hoard.append(bytearray(int(float(item.split("-")[1]) * 1e8)))
            time.sleep(3)  # the pool looks every half second
        return act(item, limit)

    return treat


def make_nothing():
    """Nothing can be made."""
    raise ImportError("no such potential")


def make_killed():
    """No worker lives long enough to start."""
    os.kill(os.getpid(), signal.SIGKILL)


def make_once_killed(path: str):
    """The first worker dies as it starts."""
    act(f"once {path}")
    return act


def completed(given: list[str], make=make_actor, workers: int = 2, seconds: float = 60.0, **limits) -> dict:
    """Results of all items by item."""
    results = list(as_completed(make, given, workers=workers, seconds=seconds, **limits))
    by_item = {result.item if isinstance(result, Lost) else result: result for result in results}
    assert len(results) == len(given) and by_item.keys() == set(given)
    return by_item


@pytest.mark.parametrize(("few", "is_elsewhere"), [(0, True), (100, True), (1_000, False)])
def test_a_long_stream_is_worked_on_in_its_order_and_in_processes_after_the_first(few: int, is_elsewhere: bool) -> None:
    found = list(in_order(identified, iter(range(1_000)), few=few))
    assert [number for number, _ in found] == list(range(1_000))
    assert [process == os.getpid() for _, process in found].count(True) == (few if is_elsewhere else 1_000)
    assert len({process for _, process in found}) == (few > 0) + 2 * is_elsewhere


@pytest.mark.parametrize(("workers", "number"), [(1, 1_000), (2, pool.CHUNK), (None, 0)])
def test_no_process_is_started_where_it_does_not_pay(workers: int | None, number: int) -> None:
    assert list(in_order(identified, range(number), workers=workers)) == [(n, os.getpid()) for n in range(number)]


def test_a_stream_is_not_taken_into_memory() -> None:
    taken = itertools.count()
    results = in_order(identified, (next(taken) for _ in range(100_000)))
    assert next(results)[0] == 0
    results.close()
    assert next(taken) < 100_000 / 10
    assert not multiprocessing.active_children()


def test_a_stream_longer_than_what_is_taken_ahead_comes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "AHEAD", 3)
    assert [number for number, _ in in_order(identified, iter(range(200)), chunk=5)] == list(range(200))


@pytest.mark.parametrize("chunk", [1, 7])
def test_what_kills_its_worker_is_lost_in_its_place_and_nothing_else(chunk: int, tmp_path: Path) -> None:
    given = [f"item {n}" for n in range(40)]
    given[3], given[17], given[18], given[39] = "kill 1", "raise 2", f"once {tmp_path / 'a'}", "kill 3"
    found = list(in_order(act, given, chunk=chunk))
    lost = {number: result for number, result in enumerate(found) if isinstance(result, Lost)}
    assert [given[n] if n in lost else result for n, result in enumerate(found)] == given
    assert lost.keys() == {3, 17, 39} and all(result.item == given[n] for n, result in lost.items())
    assert "exit code -9" in lost[3].reason and "exit code -9" in lost[39].reason
    assert lost[17].reason.startswith("EOFError: as a torn archive does (test_pool.py, line ")


def test_a_worker_that_others_kill_costs_nothing() -> None:
    """As the system does when its memory is full."""

    def kill_one() -> None:
        while not (children := [one for one in psutil.Process().children() if "spawn_main" in str(one.cmdline())]):
            time.sleep(0.1)
        time.sleep(2.0)
        children[0].kill()

    thread = threading.Thread(target=kill_one)
    thread.start()
    given = [f"pairs {n}" for n in range(10, 16)]
    assert list(in_order(act, given, chunk=1)) == given
    thread.join()


def test_a_stuck_item_of_a_chunk_is_lost_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "TIME_LIMIT", 1.0)
    given = ["a", "hang", *"bcdefg"]
    found = list(in_order(act, given, chunk=4))
    assert found[1].item == "hang" and found[1].reason == "time limit, stuck for 1 s"
    assert [found[0], *found[2:]] == ["a", *"bcdefg"]


def test_the_time_limit_is_of_a_part_where_parts_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "TIME_LIMIT", 1.5)
    whole, stuck = in_order(act, ["pairs 9", "pairs 2"], chunk=1)
    assert whole == "pairs 9"  # 2.4 s
    assert stuck.part == "a and 2" and "time limit" in stuck.reason


def test_in_this_process_too_an_error_costs_its_item_alone() -> None:
    first, lost, last = in_order(act, ["a", "raise", "b"])
    assert (first, last) == ("a", "b") and lost.item == "raise" and "EOFError" in lost.reason


@pytest.mark.parametrize("chunk", [1, 9])
def test_an_error_of_the_user_ends_the_step(chunk: int) -> None:
    with pytest.raises(MiadError, match=r"^the settings are wrong$"):
        list(in_order(act, ["a", "wrong", "b"], chunk=chunk))


@pytest.mark.parametrize(("chunk", "verb"), [(1, "kill"), (99, "raise")])
def test_work_that_fails_on_everything_ends_the_step(chunk: int, verb: str) -> None:
    with pytest.raises(MiadError, match=r"all of the first 10 are lost, the last one because: (EOF|its worker died)"):
        list(in_order(act, [f"{verb} {n}" for n in range(50)], chunk=chunk))


def test_the_first_ones_may_all_be_lost_where_there_were_results_before() -> None:
    given = [*(f"kill {n}" for n in range(pool.HOPELESS)), "a"]
    assert completed(given, is_proven=True)["a"] == "a"
    with pytest.raises(MiadError, match="all of the first 10 are lost"):  # "a" could come back before the tenth is lost
        completed([f"kill {n}" for n in range(pool.HOPELESS + 2)])


def test_all_come_back_though_some_kill_their_worker() -> None:
    found = completed(["a", "kill 1", "b", "kill 2", "kill 3", "c"])
    assert {item for item, result in found.items() if isinstance(result, Lost)} == {"kill 1", "kill 2", "kill 3"}


def test_the_last_one_may_kill_too() -> None:
    assert "died" in completed(["kill"])["kill"].reason


def test_a_stuck_worker_is_replaced() -> None:
    found = completed(["hang", "a", "b"], seconds=1.0)
    assert "time limit" in found["hang"].reason
    assert found["a"] == "a" and found["b"] == "b"


def test_memory_is_limited_and_what_others_left_is_not_blamed_on_an_item() -> None:
    given = ["hoard-3-left", "hoard-3-innocent", "hoard-9-guilty", "after"]
    found = completed(given, workers=1, memory=6e8)
    assert [item for item, result in found.items() if isinstance(result, Lost)] == ["hoard-9-guilty"]
    assert found["hoard-9-guilty"].reason == "out of memory: its worker took more than 0.6 GB"


def test_nothing_to_do() -> None:
    assert completed([]) == {}


@pytest.mark.parametrize(("make", "said"), [(make_nothing, "ImportError: no such potential"), (make_killed, "code -9")])
def test_workers_that_cannot_start_are_an_error(make, said: str) -> None:
    with pytest.raises(MiadError, match=f"could not start .*{said}"):
        completed(["a"], make)


def test_a_worker_that_is_killed_as_it_starts_costs_nothing(tmp_path: Path) -> None:
    found = completed(["a", "b"], partial(make_once_killed, str(tmp_path / "seen")))
    assert found == {"a": "a", "b": "b"} and (tmp_path / "seen").exists()


def test_a_worker_whose_pool_died_meanwhile_ends_without_a_word(capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(pool._Note, "shared", pool._Note.shared)
    ours, theirs = multiprocessing.Pipe()
    ours.close()
    pool._serve(theirs, pool._Note.shared, make_actor)  # else BrokenPipeError, on everybody's terminal
    assert capfd.readouterr() == ("", "")


def test_a_script_needs_no_guard_around_what_starts_processes(tmp_path: Path) -> None:
    """Python's own pools run the script again in every process, and stop at the place where it starts them."""
    script = tmp_path / "script.py"
    script.write_text(
        "print('once')\nfrom operator import neg\nfrom miad.machine.pool import in_order\n"
        "print(list(in_order(neg, [1, 2], chunk=1, few=0, workers=2)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, timeout=300)
    assert done.stdout == "once\n[-1, -2]\n", done.stderr
