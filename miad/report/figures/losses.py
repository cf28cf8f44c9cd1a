"""Figure: the loss curves of the trainings."""

from matplotlib.figure import Figure

from miad.core.tabular import Rows, read_csv
from miad.report.figures.base import Plot, Results
from miad.report.figures.style import legend, look, numbers, series

# Every other column is a part of the loss, by the name that the process gives it.
COLUMNS = ("run", "epoch", "step", "seconds", "total", "val_total", "learning_rate")


def gather(results: Results) -> Rows:
    """The loss curves; runs that share a training have one, under the name of the run that trained."""
    paths = {run.homes["train"]: run.file("train", "losses") for run in results.runs}
    found = {name: read_csv(path, COLUMNS[1:]) for name, path in paths.items() if path.is_file()}
    return [{"run": name, **row} for name, rows in found.items() for row in rows]


def draw(figure: Figure, rows: Rows) -> None:
    """Loss against epochs and against wall time, training and validation, and learning rate; below, the parts."""
    groups = series(rows)
    parts = [name for name in rows[0] if name not in COLUMNS]
    panels = figure.subplots(2, max(3, len(parts)))
    for axes in (*panels[0][3:], *panels[1][len(parts) :]):
        axes.set_visible(False)
    below = panels[1][: len(parts)]
    for index, (label, part) in enumerate(groups.items()):
        style = look(index)
        checked = [row for row in part if row["val_total"] is not None]
        for axes, name, scale in ((panels[0][0], "epoch", 1.0), (panels[0][1], "seconds", 1 / 60)):
            axes.plot(numbers(part, name, scale), numbers(part, "total"), alpha=0.5, **style)
            points = numbers(checked, name, scale), numbers(checked, "val_total")
            axes.plot(*points, marker="o", markersize=2.5, label=label, **style)
        panels[0][2].plot(numbers(part, "epoch"), numbers(part, "learning_rate"), **style)
        for axes, name in zip(below, parts, strict=True):
            axes.plot(numbers(part, "epoch"), numbers(part, name), **style)
            axes.set(xlabel="epoch", ylabel=name)
    for axes in (*panels[0][:2], *below):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.tick_params(axis="y", which="minor", labelsize=7)
    panels[0][0].set(xlabel="epoch", ylabel="total loss")
    panels[0][1].set(xlabel="wall time (minutes)", ylabel="total loss")
    panels[0][2].set(xlabel="epoch", ylabel="learning rate")
    legend(panels[0][0], len(groups))


PLOT = Plot(
    place=80,
    title="Losses",
    caption="Total loss against epochs and against wall time (pale: training, with points: validation), the learning"
    " rate, and below the parts of the training loss.",
    columns=COLUMNS,
    gather=gather,
    draw=draw,
    height=4.8,
    has_more_columns=True,
)
