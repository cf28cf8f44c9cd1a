"""Figure: real atoms during the generation."""

from matplotlib.figure import Figure

from miad.core.tabular import Rows
from miad.report.figures.base import Plot, along_generation
from miad.report.figures.style import against_time, legend, look, numbers, series
from miad.sample import trajectories


def draw(figure: Figure, rows: Rows) -> None:
    """Mean number of real atoms against t, and the middle 90 % of the crystals."""
    axes = figure.subplots()
    groups = series(rows)
    for index, (label, part) in enumerate(groups.items()):
        times = numbers(part, "time")
        axes.plot(times, numbers(part, "mean"), label=label, **look(index))
        axes.fill_between(times, numbers(part, "low"), numbers(part, "high"), color=look(index)["color"], alpha=0.15)
    axes.set_ylim(0)
    against_time(axes, "real atoms per crystal")
    legend(axes, len(groups))


PLOT = Plot(
    place=90,
    title="Real atoms during the generation",
    caption="Atoms that are no mirage, per crystal; the band holds the middle 90 % of the crystals.",
    columns=("run", "time", "mean", "low", "high"),
    gather=along_generation(trajectories.real_atoms),
    draw=draw,
)
