"""Tables 1 to 5 in the layout of the paper: which runs stand in which, beside which published figures."""

import json

from miad.core.tabular import read_csv
from miad.report import compare, published
from miad.report.tables import flat
from tests.builders.outcomes import judged, settings

BEST = {"CHGNet": 12.9, "eqV2": 5.5}


def test_a_table_holds_the_runs_that_vary_what_it_varies_and_nothing_else(tables):
    assert [line["model"] for line in read_csv(tables / "table_3.csv") if line["kind"] == "measured"] == ["miad", "big"]
    assert [line["model"] for line in read_csv(tables / "table_4.csv") if line["kind"] == "measured"] == ["miad"]
    three = read_csv(tables / "table_3.csv")
    assert [line["mirage.num_atoms"] for line in three] == ["9", "20", "20", "25", "30", "35"]
    assert float(three[1]["CHGNet: sun"]) == 15.0 and three[1]["eqV2: sun"] is None
    assert [line["model"] for line in read_csv(tables / "table_2.csv")][:4] == ["miad", "big", "quick", "both"]
    assert {line["kind"] for line in read_csv(tables / "table_1.csv")} == {"published"}  # nothing by DFT yet


def test_published_rows_are_those_of_the_paper(tables):
    rows = {line["model"]: line for line in read_csv(tables / "table_5.csv") if line["kind"] == "published"}
    assert float(rows["MiAD (center, masked)"]["eqV2: sun"]) == 0.4
    assert float(rows["MiAD (uniform, unmasked)"]["CHGNet: stable"]) == 16.6
    assert {line["hull"] for line in rows.values()} == {published.HULL}
    # The best variant of each of Tables 3 to 5 is the final model.
    for paper in published.TABLES[2:]:
        found = {kind: {row.model: row.rates["sun"] for row in paper.rows if row.calculator == kind} for kind in BEST}
        best = max(found["CHGNet"], key=found["CHGNet"].get)
        assert {kind: found[kind][best] for kind in BEST} == {kind: max(found[kind].values()) for kind in BEST} == BEST


def test_markdown_names_the_hull(tables):
    text = (tables / "table_3.md").read_text(encoding="utf-8")
    assert "| MiAD (20) (published) | 8.7 | 92.0 |" in text and "Materials Project 2023-02-07" in text


def test_published_rows_can_be_left_out(tmp_path):
    judged(tmp_path, "miad", range(200), range(100))
    config = json.loads(settings())
    config["report"]["published"] = False
    compare.run(results=tmp_path, out=tmp_path, runs=json.dumps(config))
    assert all(len(read_csv(tmp_path / f"table_{number}.csv")) == (number > 1) for number in range(1, 6))


def test_nested_settings_are_named_by_their_path():
    assert flat({"train": {"loss_weights": {"species": 2.0}, "seed": 1}, "seed": 0}) == {
        "train.loss_weights.species": 2.0,
        "train.seed": 1,
        "seed": 0,
    }
