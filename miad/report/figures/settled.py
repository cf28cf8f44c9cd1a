"""Figure: share of types that are the final ones, during the generation."""

from matplotlib.figure import Figure

from miad.core.tabular import Rows
from miad.report.figures.base import Plot, Results
from miad.report.figures.style import against_time, legend, look, numbers, series
from miad.sample import trajectories


def gather(results: Results) -> Rows:
    """Share of places that have their final type, by time; real places and mirage ones apart."""
    found = []
    for run, trajectory in results.recorded():
        # Without infusion what is no atom is padding, which was never to settle.
        hidden = {"mirage": None} if run.sections["mirage"]["num_atoms"] is None else {}
        found += [{"run": run.name, **row, **hidden} for row in trajectories.settled(trajectory)]
    return found


def draw(figure: Figure, rows: Rows) -> None:
    """Share of settled types: full lines for real atoms, pale ones for places that end as mirage."""
    axes = figure.subplots()
    groups = series(rows)
    for index, (label, part) in enumerate(groups.items()):
        axes.plot(numbers(part, "time"), numbers(part, "real", 100), label=label, **look(index))
        axes.plot(numbers(part, "time"), numbers(part, "mirage", 100), alpha=0.4, **look(index))
    against_time(axes, "% of places with their final type")
    legend(axes, len(groups))


PLOT = Plot(
    place=110,
    title="When types settle",
    caption="Share of the places whose type is the final one from t on to the end: those that end as atoms, and pale"
    " those that end as mirage.",
    columns=("run", "time", "real", "mirage"),
    gather=gather,
    draw=draw,
)
