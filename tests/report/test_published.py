"""The published figures, as printed."""

import pytest

from miad.report.published import ROWS


def test_published_figures_are_those_of_the_paper() -> None:
    figures = {(row.source, row.model, row.calculator): row for row in ROWS}
    assert len(figures) == len(ROWS) == 8 + 6 + 8
    assert figures["Table 1", "MiAD", "DFT"].sun == 8.2
    assert figures["Table 2", "MiAD", "CHGNet"].sun == 12.9
    assert figures["Table 2", "DiffCSP", "CHGNet"].stable == 11.3
    # In each row S.U.N. is the product of stable and unique & novel among stable, as printed (one digit).
    for row in ROWS:
        assert row.stable * row.unique_novel_among_stable / 100 == pytest.approx(row.sun, abs=0.1)
