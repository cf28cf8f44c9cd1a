"""Records: read without waiting and without trust, whatever lies in the place of one."""

import dataclasses
import json
import os

import pytest

from miad.machine.records import LATEST, MOST, MOST_BYTES, are_times, are_whole, are_words, made, read_record


@dataclasses.dataclass(frozen=True)
class Pair:
    one: int
    other: int


def test_a_record_is_what_its_file_holds(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"name": "é", "size": 3}))
    assert read_record(path) == {"name": "é", "size": 3}
    path.write_text(json.dumps("x" * (MOST_BYTES - 2)))
    assert read_record(path) == "x" * (MOST_BYTES - 2)


@pytest.mark.parametrize(
    "content",
    ["", "{", "\udce9", '"' + "x" * (MOST_BYTES - 1) + '"', "[" * MOST_BYTES, "1" * 5000],
    ids=["empty", "torn", "no text", "too large", "too deep", "too long a number"],
)
def test_what_is_no_record_of_json_is_none(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content.encode(errors="surrogateescape"))
    assert read_record(tmp_path / "a.json") is None


def test_what_is_no_regular_file_is_none_at_once(tmp_path):
    """A reader of a pipe without writer waits for ever, and one of a link to a device fills the memory."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "sound").write_text("{}")
    (tmp_path / "link").symlink_to("sound")
    (tmp_path / "folder").mkdir()
    names = ["pipe", "zero", "link", "folder", "absent"]
    assert [read_record(tmp_path / name) for name in names] == [None] * 5


def test_a_dataclass_is_made_of_exactly_its_fields():
    assert made(Pair, {"one": 1, "other": 2}) == Pair(1, 2)
    for known in ({"one": 1}, {"one": 1, "other": 2, "third": 3}, [1, 2], None, "one"):
        assert made(Pair, known) is None


def test_values_are_of_their_kind_and_within_bounds():
    assert are_words() and are_words("", "é 3") and not are_words("a", 3)
    assert not any(map(are_words, ["\x1b[2J", "a\nb", "\udce9", None]))
    assert are_whole(0, 7, MOST - 1) and are_whole(4, below=5)
    assert not any(map(are_whole, [-1, MOST, 10**400, 3.0, 1e-320, True, "3", None]))
    assert not are_whole(5, below=5)
    assert are_times(0, 0.5, LATEST - 1)
    assert not any(map(are_times, [-0.1, LATEST, 10**400, float("inf"), float("nan"), True, "3", None]))
