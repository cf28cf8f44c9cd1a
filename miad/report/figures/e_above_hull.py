"""Figure: energy above the hull."""

from matplotlib.figure import Figure

from miad.core.tabular import Rows
from miad.report.figures.base import Plot, by_calculator
from miad.report.figures.style import INK, legend, outlines, series


def heights(ledger: Rows) -> Rows:
    """Energy above the hull of every sample of a ledger that has one, eV/atom."""
    names = ("crystal_id", "reason", "e_above_hull")
    return [{name: row[name] for name in names} for row in ledger if row["e_above_hull"] is not None]


def draw(figure: Figure, rows: Rows) -> None:
    """Histogram from -0.5 to 1 eV/atom, with the hull."""
    axes = figure.subplots()
    groups = series(rows)
    outlines(axes, groups, "e_above_hull", (-0.5, 1.0, 60))
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel("energy above hull (eV/atom); the outermost bins hold what lies beyond")
    legend(axes, len(groups))


PLOT = Plot(
    place=60,
    title="Energy above the hull",
    caption="All relaxed samples whose elements the hull knows; below zero they are stable.",
    columns=("run", "calculator", "crystal_id", "reason", "e_above_hull"),
    gather=lambda results: by_calculator(results.ledgers, heights),
    draw=draw,
)
