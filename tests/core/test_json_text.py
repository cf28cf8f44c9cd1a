"""JSON in files: one place writes it, without NaN, and one reads it, with the reason and the remedy."""

import ast
import errno
import gzip

import pytest

from miad.core import json_text
from miad.core.errors import MiadError
from miad.core.json_text import as_json, read_json, read_lines, write_cache, write_json
from tests.builders import ROOT

# Settings in validation may hold NaN, which is refused there by name; structures in calculation are checked later.
OTHERS = {"miad/core/json_text.py", "miad/config/validation.py", "miad/dft/calculation.py"}


def test_json_is_written_in_one_place():
    writers = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "miad").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("dump", "dumps")
        and isinstance(node.value, ast.Name)
        and node.value.id == "json"
    }
    assert writers == OTHERS


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_no_nan_is_written(tmp_path, number):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"energy": [number]})
    assert not (tmp_path / "a.json").exists()


def test_what_is_written_is_read(tmp_path):
    for name in ("a.json", "a.json.gz"):
        write_json(tmp_path / name, {"a": [1, 2.5, None]})
        assert read_json(tmp_path / name, "") == {"a": [1, 2.5, None]}


def test_a_torn_file_is_named_with_the_remedy(tmp_path):
    path = tmp_path / "torn.json.gz"
    path.write_bytes(gzip.compress(as_json({"a": list(range(1000))}).encode())[:-500])
    with pytest.raises(MiadError, match=r"torn\.json\.gz is damaged, or not JSON .*\. Get it again\."):
        read_json(path, "Get it again.")


def test_the_line_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "numbers"
    path.write_text("1\n2\nx\n")
    lines = read_lines(path, int, "is no number", "Correct it.")
    assert [next(lines), next(lines)] == [(1, 1), (2, 2)]
    with pytest.raises(MiadError, match=r"numbers, line 3 is no number \(invalid literal.*\)\. Correct it\."):
        next(lines)


def test_a_cache_in_a_folder_that_cannot_be_written_to_costs_nothing_but_time(tmp_path, monkeypatch, caplog):
    def refuse(number):
        def write(path, text):
            raise OSError(number, "no")

        return write

    for number in (errno.EACCES, errno.EROFS):
        monkeypatch.setattr(json_text, "write_text", refuse(number))
        write_cache(tmp_path / "cells.jsonl.gz", {})
        assert "cells.jsonl.gz cannot be written" in caplog.text
    monkeypatch.setattr(json_text, "write_text", refuse(errno.ENOSPC))
    with pytest.raises(OSError, match="no"):
        write_cache(tmp_path / "cells.jsonl.gz", {})
