"""Tables 1 to 5 in the layout of the paper: which runs stand in which, beside which published figures."""

import json

from miad.dft.calculation import NO_ENERGY
from miad.report import compare, published
from miad.report import tables as paper_tables
from miad.report.tables import flat, kind_of
from tests.report.test_compare import judged, read, settings, tables  # noqa: F401  the fixture of four runs


def test_a_table_holds_the_runs_that_vary_what_it_varies_and_nothing_else(tables):  # noqa: F811
    assert [line["model"] for line in read(tables / "table_3.csv") if line["kind"] == "measured"] == ["miad", "big"]
    assert [line["model"] for line in read(tables / "table_4.csv") if line["kind"] == "measured"] == ["miad"]
    three = read(tables / "table_3.csv")
    assert [line["mirage.num_atoms"] for line in three] == ["9", "20", "20", "25", "30", "35"]
    assert float(three[1]["CHGNet: sun"]) == 15.0 and three[1]["eqV2: sun"] == ""
    assert [line["model"] for line in read(tables / "table_2.csv")][:4] == ["miad", "big", "quick", "both"]
    assert {line["kind"] for line in read(tables / "table_1.csv")} == {"published"}  # nothing by DFT yet


def test_published_rows_are_those_of_the_paper(tables):  # noqa: F811
    rows = {line["model"]: line for line in read(tables / "table_5.csv") if line["kind"] == "published"}
    assert float(rows["MiAD (center, masked)"]["eqV2: sun"]) == 0.4
    assert float(rows["MiAD (uniform, unmasked)"]["CHGNet: stable"]) == 16.6
    assert {line["hull"] for line in rows.values()} == {published.HULL}
    # The best variant of each of Tables 3 to 5 is the final model.
    for rows in published.ABLATIONS.values():
        best = max(rows, key=lambda row: row.chgnet[-1])
        assert best.chgnet[-1] == 12.9 and best.eqv2[-1] == max(row.eqv2[-1] for row in rows) == 5.5


def test_markdown_names_the_hull(tables):  # noqa: F811
    text = (tables / "table_3.md").read_text(encoding="utf-8")
    assert "| MiAD (20) (published) | 8.7 | 92.0 |" in text and "Materials Project 2023-02-07" in text


def test_published_rows_can_be_left_out(tmp_path):
    judged(tmp_path, "miad", range(200), range(100))
    config = json.loads(settings())
    config["report"]["published"] = False
    compare.run(results=tmp_path, out=tmp_path, runs=json.dumps(config))
    assert all(len(read(tmp_path / f"table_{number}.csv")) == (number > 1) for number in paper_tables.LAYOUTS)


def test_calculators_belong_to_the_columns_of_the_paper():
    assert [kind_of(name) for name in ("chgnet", "eqv2", "DFT")] == ["CHGNet", "eqV2", "DFT"]
    assert kind_of("CHGNet 0.3.0 (chgnet 0.4.2, sha256:d14ab7c0)") == "CHGNet"
    assert kind_of("eqV2_153M_omat_mp_salex") == kind_of("eq-V2") == "eqV2"
    assert kind_of("stand-in for VASP, not DFT") != "DFT"
    assert kind_of(NO_ENERGY) == "DFT"  # a row of Table 1, not of the potentials


def test_nested_settings_are_named_by_their_path():
    assert flat({"train": {"loss_weights": {"species": 2.0}, "seed": 1}, "seed": 0}) == {
        "train.loss_weights.species": 2.0,
        "train.seed": 1,
        "seed": 0,
    }
