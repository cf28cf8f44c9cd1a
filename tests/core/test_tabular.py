"""Tables: what is written is read back, and an interval has one form."""

import pytest

from miad.core.errors import MiadError
from miad.core.statistics import Rate, wilson
from miad.core.tabular import interval, markdown_table, rate_cells, rate_columns, rate_of, read_csv, write_csv

UNKNOWN = Rate(None, None, None)


def test_rows_are_read_back(tmp_path):
    rows = [
        {"name": 'Li2O, "lime"\nand | more', "height": 0.1 + 0.2, "count": 3, "is_new": True, "note": None},
        {"name": "x"},
    ]
    write_csv(tmp_path / "t.csv", ["name", "height", "count", "is_new", "note"], rows)
    first, second = read_csv(tmp_path / "t.csv")
    assert first["name"] == rows[0]["name"] and float(first["height"]) == 0.1 + 0.2
    assert (first["count"], first["is_new"], first["note"]) == ("3", "True", None)
    assert second == {"name": "x", "height": None, "count": None, "is_new": None, "note": None}


def test_digits_are_for_floats_only(tmp_path):
    write_csv(tmp_path / "t.csv", ("a", "b", "c"), [{"a": 1 / 3, "b": 12, "c": None}], digits=4)
    assert (tmp_path / "t.csv").read_text() == "a,b,c\n0.3333,12,\n"


def test_a_table_without_rows_has_its_header(tmp_path):
    write_csv(tmp_path / "t.csv", ("a", "b"), [])
    assert (tmp_path / "t.csv").read_text() == "a,b\n" and read_csv(tmp_path / "t.csv") == []


def test_a_column_that_is_needed_and_absent_is_named(tmp_path):
    write_csv(tmp_path / "t.csv", ("a", "b"), [])
    assert read_csv(tmp_path / "t.csv", ("b", "a")) == []
    with pytest.raises(MiadError, match=r"t\.csv has no column c\."):
        read_csv(tmp_path / "t.csv", ("a", "c"))


def test_a_value_without_a_column_is_refused(tmp_path):
    with pytest.raises(ValueError, match="heigth"):
        write_csv(tmp_path / "t.csv", ("height",), [{"heigth": 1.0}])
    assert not (tmp_path / "t.csv").exists()


def test_markdown_cells_stay_in_their_columns():
    assert markdown_table(["run", "a|b"], [["miad", None], [1, "x|y"]]).splitlines() == [
        "| run | a\\|b |",
        "| --- | --- |",
        "| miad |  |",
        "| 1 | x\\|y |",
    ]


@pytest.mark.parametrize(
    ("rate", "form", "text"),
    [
        (Rate(12.94, 11.16, 14.8), ".1f", "12.9 [11.2, 14.8]"),
        (Rate(5.0, -1.25, 11.0), "+.1f", "+5.0 [-1.2, +11.0]"),
        (Rate(99.7, None, None), ".2f", "99.70"),
        (UNKNOWN, ".1f", "–"),
    ],
)
def test_an_interval_has_one_form(rate, form, text):
    assert interval(rate, form) == text


def test_a_rate_is_found_again_in_its_columns(tmp_path):
    rate = wilson(129, 1000).percent()
    write_csv(tmp_path / "t.csv", rate_columns("sun"), [rate_cells("sun", rate), rate_cells("sun", UNKNOWN)])
    first, second = read_csv(tmp_path / "t.csv")
    assert rate_of(first, "sun") == rate and rate_of(second, "sun") == UNKNOWN == rate_of({}, "sun")
