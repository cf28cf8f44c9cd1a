"""Look of the figures: colours, labels, legends, and the kinds of drawing that several of them share."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from miad.core.tabular import Rows, rate_columns
from miad.report.outcomes import short

WIDTH = 7.2  # inches
INK = "#1b2026"  # of lines and letters; the report makes it the colour of its text
# Told apart with every kind of colour vision. Source: Okabe and Ito, Color Universal Design, 2008.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
STYLES = ("-", "--", ":", "-.")
HATCHES = ("", "//", "..", "xx")
STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.alpha": 0.2,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "none",  # letters stay letters: small files, and a reader of the screen can read them
    **{f"{name}.color": INK for name in ("text", "xtick", "ytick", "grid")},
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor"), INK),
}


def label_of(row: dict[str, Any], rows: Rows) -> str:
    """The run of a row, and the calculator where the table has several."""
    name = str(row["run"])
    several = len({other.get("calculator") for other in rows}) > 1
    return f"{name}, {short(row['calculator'])}" if several and row.get("calculator") else name


def series(rows: Rows) -> dict[str, Rows]:
    """The rows of each run (and calculator), in the order of the table."""
    found: dict[str, Rows] = {}
    for row in rows:
        found.setdefault(label_of(row, rows), []).append(row)
    return found


def look(index: int) -> dict[str, Any]:
    """Colour and line style of the n-th run."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": STYLES[index // len(COLOURS) % len(STYLES)]}


def fill(index: int) -> dict[str, Any]:
    """Colour and hatch of the bars of the n-th run."""
    return {"color": look(index)["color"], "hatch": HATCHES[index // len(COLOURS) % len(HATCHES)]}


def numbers(rows: Rows, name: str, scale: float = 1.0) -> list[float]:
    """A column as numbers; NaN where a cell is empty."""
    return [float("nan") if row[name] is None else scale * float(row[name]) for row in rows]


def known(rows: Rows, name: str) -> list[float]:
    """The cells of a column that are not empty."""
    return [float(row[name]) for row in rows if row[name] is not None]


def legend(axes: Axes, count: int, least: int = 2) -> None:
    """A legend where there are at least so many things; outside of the picture where there are many."""
    if count > 4:
        axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    elif count >= least:
        axes.legend()


def margins(rows: Rows) -> list[list[float]]:
    """Lengths of the error bars of a rate, below and above."""
    value, low, high = (numbers(rows, name) for name in rate_columns("percent"))
    return [
        [max(v - bound, 0.0) for v, bound in zip(value, low, strict=True)],
        [max(bound - v, 0.0) for v, bound in zip(value, high, strict=True)],
    ]


def grouped_bars(figure: Figure, rows: Rows, key: str, values: list[Any], label: str) -> None:
    """Bars of counts of S.U.N. crystals per value of a column, runs side by side."""
    axes = figure.subplots()
    groups = series(rows)
    width = 0.85 / len(groups)
    for index, (name, part) in enumerate(groups.items()):
        counts = {str(row[key]): float(row["sun"]) for row in part}
        places = [place - 0.425 + width * (index + 0.5) for place in range(len(values))]
        heights = [counts.get(str(value), 0.0) for value in values]
        # Counts of runs of different size stand on one axis: the label says of how many.
        axes.bar(places, heights, width * 0.95, label=f"{name}\nof {part[0]['attempted']} attempted", **fill(index))
    axes.set_xticks(range(len(values)), [str(value) for value in values])
    if len(groups) > 4 and any(isinstance(value, str) for value in values):  # the legend takes their room
        axes.tick_params(axis="x", rotation=30)
    axes.set_xlabel(label)
    axes.set_ylabel("S.U.N. crystals")
    axes.locator_params(axis="y", integer=True)
    axes.grid(visible=False, axis="x")
    legend(axes, len(groups), least=1)


def outlines(
    axes: Axes, groups: dict[str, Rows], name: str, span: tuple[float, float, int], scale: float = 1.0
) -> None:
    """Histograms of a column as outlines; what lies outside is counted in the first and last bin.

    The span is the lower and upper edge, and the number of bins.
    """
    low, high, count = span
    bins = [low + (high - low) * index / count for index in range(count + 1)]
    for index, (label, part) in enumerate(groups.items()):
        values = [min(max(scale * value, low), high) for value in known(part, name)]
        if values:
            share = [100 / len(values)] * len(values)
            axes.hist(values, bins, weights=share, histtype="step", label=label, linewidth=1.5, **look(index))
    axes.set_ylabel("% of crystals")
    axes.set_xlim(low, high)


def against_time(axes: Axes, label: str) -> None:
    """Labels of a quantity along the generation, from noise on the left to the crystal on the right."""
    axes.set_xlabel("t, from noise (left) to crystal (right)")
    axes.set_ylabel(label)
    axes.invert_xaxis()
