"""The table that people read: measured rows first, published ones marked as such."""

import json
from pathlib import Path

import pytest

from miad.config.sections import Report
from miad.core.errors import MiadError
from miad.core.tabular import read_csv
from miad.report.published import TABLES
from miad.report.sun_table import COLUMNS, HEADINGS, run
from miad.sun.judge import rates
from tests.builders.outcomes import HEADLINE, row_file


def table_of(tmp_path: Path, settings: Report, rows: list[Path]) -> tuple[list[dict], str]:
    run(settings, rows=rows, table=tmp_path / "t.csv", readable=tmp_path / "t.md")
    return read_csv(tmp_path / "t.csv"), (tmp_path / "t.md").read_text()


def test_measured_rows_come_first_and_published_ones_are_marked(tmp_path: Path) -> None:
    rows, text = table_of(
        tmp_path, Report("T", True, "headline", False, 100), [row_file(tmp_path), row_file(tmp_path, "small")]
    )
    assert [row["run"] for row in rows[:2]] == ["miad", "small"]
    assert [row["kind"] for row in rows] == ["measured"] * 2 + ["published"] * sum(
        len(paper.rows) for paper in TABLES[:2]
    )
    assert tuple(rows[0]) == COLUMNS
    assert float(rows[0]["sun_percent"]) == 5.0
    assert float(rows[0]["sun_percent_low"]) < 5.0 < float(rows[0]["sun_percent_high"])
    assert float(rows[0]["unique_novel_among_stable_percent"]) == 50.0
    assert all(row["hull"] for row in rows)
    assert "published, Table 1" in text and "5.0 [3.8, 6.5]" in text


def test_runs_that_share_a_row_file_keep_their_names(tmp_path: Path) -> None:
    """An entry of Tables 3 to 5 that is as the main run shares all steps with it; its row is its own all the same."""
    row, tables = row_file(tmp_path), {"table": tmp_path / "t.csv", "readable": tmp_path / "t.md"}
    run(Report("T", False, "headline", False, 100), rows=[row, row], names=["miad", "uniform_masked"], **tables)
    assert [line["run"] for line in read_csv(tables["table"])] == ["miad", "uniform_masked"]
    with pytest.raises(MiadError, match="--names and --rows"):
        run(Report("T", False, "headline", False, 100), rows=[row, row], names=["miad"], **tables)


def test_all_protocols_stand_side_by_side_the_headline_first(tmp_path: Path) -> None:
    rows, _ = table_of(tmp_path, Report("T", False, "all", False, 100), [row_file(tmp_path)])
    assert [(row["protocol"], row["sun"]) for row in rows] == [("strict", "50"), ("as_paper", "60")]


def test_every_rate_has_a_heading() -> None:
    assert set(HEADINGS) == set(rates(HEADLINE))


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text("{}")
    with pytest.raises(MiadError, match=r"odd\.json"):
        table_of(tmp_path, Report("T", False, "headline", False, 100), [tmp_path / "odd.json"])


def test_what_could_not_be_read_is_in_the_last_lines(tmp_path: Path) -> None:
    path, settings = row_file(tmp_path), Report("title", published=True, protocols="all", epochs=False, max_viewed=1)
    outputs = {"table": tmp_path / "t.csv", "readable": tmp_path / "t.md"}
    run(settings, rows=[path], **outputs)
    assert (tmp_path / "t.md").read_text().splitlines()[-1].startswith("|")
    record = json.loads(path.read_text()) | {"unreadable": ["miad: 3 of 9 crystals failed", "known: 1 of 9"]}
    path.write_text(json.dumps(record))
    run(settings, rows=[path, path], **outputs)
    text = (tmp_path / "t.md").read_text()
    assert text.endswith("|\n\nmiad: 3 of 9 crystals failed\n\nknown: 1 of 9\n")
