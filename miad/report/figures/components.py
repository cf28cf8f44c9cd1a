"""Figure: the parts that S.U.N. is made of."""

from typing import Any

from matplotlib.figure import Figure

from miad.core.tabular import Rows
from miad.report.figures.base import COMPONENTS, RATE_COLUMNS, Plot, components
from miad.report.figures.style import INK, fill, legend, margins, numbers, series
from miad.report.outcomes import NAMES


def draw(figure: Figure, rows: Rows) -> None:
    """Groups of bars with their intervals."""
    axes = figure.subplots()
    groups = series(rows)
    width = 0.8 / len(groups)
    for index, (label, part) in enumerate(groups.items()):
        places = [COMPONENTS.index(row["component"]) - 0.4 + width * (index + 0.5) for row in part]
        bars: dict[str, Any] = {"label": label, "yerr": margins(part), "ecolor": INK, **fill(index)}
        axes.bar(places, numbers(part, "percent"), width * 0.9, **bars)
    axes.set_xticks(range(len(COMPONENTS)), [NAMES[name] for name in COMPONENTS])
    axes.set_ylabel("% of attempted samples")
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0)
    legend(axes, len(groups))


PLOT = Plot(
    place=10,
    title="What S.U.N. is made of",
    caption="Stable, unique, novel and all three at once (S.U.N.), and the same for metastable crystals, as shares of"
    " all attempted samples with 95 % Wilson intervals (Figure 2 of the paper).",
    columns=("run", "calculator", "component", *RATE_COLUMNS),
    gather=lambda results: [row for one in results.outcomes for row in components(one)],
    draw=draw,
)
