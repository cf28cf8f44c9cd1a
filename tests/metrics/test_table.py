"""The measured row has its intervals, the published ones stand below, and only those of the same data."""

import csv
import json
from importlib.metadata import version
from pathlib import Path

import pytest

from miad.core.crystal import write_crystals
from miad.core.errors import MiadError
from miad.metrics import step as metrics
from miad.metrics.table import COLUMNS, published_rows, run
from tests.builders.crystals import caesium_chloride, rock_salt
from tests.builders.settings import metrics_settings


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    write_crystals(tmp_path / "test.jsonl", [rock_salt("t0"), caesium_chloride("t1")])
    write_crystals(tmp_path / "mine.jsonl", [rock_salt("s0"), rock_salt("s1").failed("sample", "nothing")])
    out = tmp_path / "metrics.json"
    metrics.run(
        metrics_settings("perov_5"), samples=[tmp_path / "mine.jsonl"], test=tmp_path / "test.jsonl", metrics=out
    )
    return out


def test_a_row_of_ours_beside_the_published_ones(measured: Path, tmp_path: Path) -> None:
    run(metrics=[measured], table=tmp_path / "metrics.csv", readable=tmp_path / "metrics.md")
    with (tmp_path / "metrics.csv").open() as text:
        first, *others = csv.DictReader(text)
    assert tuple(first) == COLUMNS
    assert (first["run"], first["kind"], first["samples"]) == ("mine", "measured", "2")
    assert float(first["validity_percent"]) == 50.0
    assert float(first["validity_percent_low"]) < 50 < float(first["validity_percent_high"])
    assert float(first["d_elem_cdvae"]) == 0.0
    assert (first["self_images"], first["scaler"], first["smact"]) == ("False", "cdvae", "2.2.1 (its tables)")
    assert first["matminer"] == version("matminer") and first["pymatgen-core"] == version("pymatgen-core")
    assert [row["run"] for row in others] == ["DiffCSP", "CrysBFN", "TGDMat", "MiAD"]
    assert (others[-1]["structural_validity_percent"], others[-1]["d_elem_as_paper"]) == ("94.82", "0.075")
    readable = (tmp_path / "metrics.md").read_text()
    assert (
        "| MiAD (published, Table 6) | perov_5 |  | 94.82 | – | 97.91 | – | 98.07 | 92.82 | 0.089 | 0.075 |" in readable
    )


def test_the_published_figures_are_those_of_the_paper() -> None:
    published = [tuple(row.values()) for row in published_rows()]
    assert len(published) == 4 + 5 + 12
    known = ("MP-20 Train", "published", "mp_20", "mp_20", "Table 6")
    assert (*known, 100.00, 90.65, 99.81, 99.79, 0.133, 0.025) in published
    for *_, a, b, c, d, d_rho, d_elem in published:
        shares = (a, b, c, d)
        assert all(share is None or 80 < share <= 100 for share in shares)
        assert d_rho < 1 and (d_elem is None or d_elem < 1)


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text(json.dumps({"run": "x"}))
    with pytest.raises(MiadError, match=r"odd\.json is no result of `miad metrics`"):
        run(metrics=[tmp_path / "odd.json"], table=tmp_path / "t.csv", readable=tmp_path / "t.md")
