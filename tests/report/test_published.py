"""The published figures, as printed."""

import pytest

from miad.report.published import TABLES


def test_published_figures_are_those_of_the_paper() -> None:
    figures = {(paper.number, row.model, row.calculator): row.rates for paper in TABLES for row in paper.rows}
    assert len(figures) == sum(len(paper.rows) for paper in TABLES) == 8 + 6 + 8 + 2 * (4 + 3 + 4)
    assert figures[1, "MiAD", "DFT"]["sun"] == 8.2
    assert figures[2, "MiAD", "CHGNet"]["sun"] == 12.9
    assert figures[2, "DiffCSP", "CHGNet"]["stable"] == 11.3
    # In each row S.U.N. is the product of stable and unique & novel among stable, as printed (one digit).
    for paper in TABLES[:2]:
        for rates in (row.rates for row in paper.rows):
            assert rates["stable"] * rates["unique_novel_among_stable"] / 100 == pytest.approx(rates["sun"], abs=0.1)
