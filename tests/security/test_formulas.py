"""Promise 4: a table that miad writes holds no formula that a spreadsheet runs, and is read back as it was."""

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miad.core.tabular import read_csv, write_csv
from miad.hull.convex import Entry, HullTable, read_table, write_table
from miad.report import candidates

FORMULAS = ("=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1+1", "\r=1+1", "\n=1+1", "\uff1d1+1", "'=1+1", "-Na", "- 1", "=")
STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def cells(path) -> list[dict[str, str]]:
    """The cells as a spreadsheet finds them."""
    with path.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_looks_like_a_formula_is_text(tmp_path, text):
    write_csv(tmp_path / "t.csv", ["id"], [{"id": text}])
    assert cells(tmp_path / "t.csv") == [{"id": "'" + text}]
    assert read_csv(tmp_path / "t.csv") == [{"id": text}]


def test_numbers_keep_their_sign_and_other_text_is_left_alone(tmp_path):
    row = {"a": -1.5, "b": -3, "c": "-1.5e-3", "d": "+4", "e": "NaCl", "f": "'quoted'", "g": "mp-1", "h": "-inf"}
    write_csv(tmp_path / "t.csv", row, [row])
    assert cells(tmp_path / "t.csv") == [{name: str(value) for name, value in row.items()}]
    assert read_csv(tmp_path / "t.csv") == cells(tmp_path / "t.csv")


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(text=st.text(st.characters(codec="utf-8") | st.sampled_from("'=+-@\t\r\n 1"), min_size=1))
def test_any_text_is_read_back_and_none_is_a_formula(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    write_csv(path, ["id"], [{"id": text}])
    [found] = cells(path)
    if found["id"].startswith(STARTS):
        float(found["id"])
    assert read_csv(path) == [{"id": text}]


def test_ids_of_strangers_in_the_table_of_a_hull(tmp_path):
    entries = [Entry("NaCl", -3.0, "=HYPERLINK(1)"), Entry("Na", -1.0, None), Entry("Cl", -2.0, "-2")]
    write_table(tmp_path / "hull.csv", HullTable("@name", "mp2020", "+source", entries))
    found = cells(tmp_path / "hull.csv")
    assert [one["entry_id"] for one in found] == ["'=HYPERLINK(1)", "", "-2"]
    again = read_table(tmp_path / "hull.csv")
    assert again.entries == entries and (again.name, again.source) == ("@name", "+source")


def test_every_table_is_written_by_the_writer_that_escapes():
    from tests.builders import ROOT

    own = {
        path
        for path in (ROOT / "miad").rglob("*.py")
        if "csv.writer" in path.read_text() or "DictWriter" in path.read_text()
    }
    assert {path.name for path in own} == {"tabular.py"}
    assert candidates.write_csv is write_csv
