"""Figure: number of atoms in the cells of S.U.N. crystals."""

from collections import Counter

from matplotlib.figure import Figure

from miad.core.tabular import Rows
from miad.report.figures.base import Plot, sun_counts
from miad.report.figures.style import grouped_bars


def counts_of(candidates: Rows) -> Rows:
    """S.U.N. crystals by number of atoms in the cell."""
    counts = Counter(int(row["num_atoms"]) for row in candidates)
    return [{"num_atoms": number, "sun": counts[number]} for number in sorted(counts)]


def draw(figure: Figure, rows: Rows) -> None:
    """Bars per number of atoms, runs side by side."""
    found = [int(row["num_atoms"]) for row in rows]
    # Every number in between has its place: an axis that leaves one out would close a gap in the distribution.
    grouped_bars(figure, rows, "num_atoms", list(range(min(found), max(found) + 1)), "atoms in the cell")


PLOT = Plot(
    place=40,
    title="Atoms in S.U.N. crystals",
    caption="Number of atoms in the cells of the S.U.N. crystals (Figure 4 of the paper). Counts: the legend says of"
    " how many attempted samples.",
    columns=("run", "calculator", "attempted", "num_atoms", "sun"),
    gather=lambda results: sun_counts(results, counts_of),
    draw=draw,
)
