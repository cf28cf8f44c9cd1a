"""Figure: atoms that appear, vanish and change during the generation."""

from matplotlib.figure import Figure

from miad.core.tabular import Rows
from miad.report.figures.base import Plot, along_generation
from miad.report.figures.style import legend, look, numbers, series
from miad.sample import trajectories

TITLES = {"appeared": "atoms that appear", "vanished": "atoms that vanish", "changed": "atoms that change type"}


def draw(figure: Figure, rows: Rows) -> None:
    """One panel per kind of change."""
    groups = series(rows)
    panels = figure.subplots(1, 3)
    for axes, (name, title) in zip(panels, TITLES.items(), strict=True):
        for index, (label, part) in enumerate(groups.items()):
            axes.plot(numbers(part, "time"), numbers(part, name), label=label, **look(index))
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("t")
        axes.invert_xaxis()
    panels[0].set_ylabel("per crystal, since the last snapshot")
    legend(panels[-1], len(groups))


PLOT = Plot(
    place=100,
    title="Atoms that appear, vanish and change",
    caption="Mirage atoms that become real, real atoms that become mirage, and real atoms that change their element,"
    " between one snapshot and the next.",
    columns=("run", "time", *TITLES),
    gather=along_generation(trajectories.turnover),
    draw=draw,
    height=3.0,
)
