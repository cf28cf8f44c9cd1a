"""Figure: from attempted samples to S.U.N. crystals."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from miad.core.tabular import Rows
from miad.report.figures.base import Plot
from miad.report.figures.style import COLOURS, numbers, series
from miad.report.outcomes import Outcome
from miad.sun.verdict import REASONS


def falls(one: Outcome) -> Rows:
    """Number of samples that each reason takes away, and that are left after it."""
    label = {"run": one.run.name, "calculator": one.record["calculator"], "file": one.file}
    left = one.counts["attempted"]
    found = [{**label, "reason": "attempted", "dropped": 0, "left": left}]
    for reason in REASONS[: REASONS.index("sun")]:
        dropped = one.judged["reasons"][reason]
        left -= dropped
        found.append({**label, "reason": reason, "dropped": dropped, "left": left})
    return found


def draw(figure: Figure, rows: Rows) -> None:
    """One panel per run: what is left after each reason, and what the reason took away."""
    groups = series(rows)
    num_columns = min(3, len(groups))
    num_rows = -(-len(groups) // num_columns)
    figure.set_figheight(num_rows * figure.get_figheight())
    panels = figure.subplots(num_rows, num_columns, sharey=True, squeeze=False).ravel()
    for axes in panels[len(groups) :]:
        axes.set_visible(False)
    for axes, (label, part) in zip(panels, groups.items(), strict=False):
        _panel(axes, part)
        axes.set_title(label, fontsize=9)
    panels[0].invert_yaxis()


def _panel(axes: Axes, part: Rows) -> None:
    left, dropped = numbers(part, "left"), numbers(part, "dropped")
    places = range(len(part))
    axes.barh(places, left, color=COLOURS[0])
    axes.barh(places, dropped, left=left, color=COLOURS[1], alpha=0.6)
    for place, (stays, goes) in enumerate(zip(left, dropped, strict=True)):
        text = f"{stays:.0f}" if not goes else f"{stays:.0f}  (−{goes:.0f})"
        axes.annotate(text, (stays + goes, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(places, ["attempted", *(f"less: {row['reason']}" for row in part[1:])])
    axes.set_xlabel("samples left")
    axes.set_xlim(0, 1.3 * max(left))
    axes.grid(visible=False, axis="y")


PLOT = Plot(
    place=30,
    title="From attempted to S.U.N.",
    caption="Every attempted sample ends at one reason, the first that applies; what is left in the end is S.U.N.",
    columns=("run", "calculator", "reason", "dropped", "left", "file"),
    gather=lambda results: [row for one in results.outcomes for row in falls(one)],
    draw=draw,
    height=3.8,
)
