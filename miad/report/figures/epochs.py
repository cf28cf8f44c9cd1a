"""Figure: S.U.N. against the training epoch."""

from matplotlib.figure import Figure

from miad.core.tabular import Rows
from miad.report.figures.base import RATE_COLUMNS, Plot, Results, components
from miad.report.figures.style import look, margins, numbers, series
from miad.report.outcomes import NAMES

SHOWN = ("stable", "unique", "novel", "sun")


def gather(results: Results) -> Rows:
    """The components of S.U.N. by epoch of the model: kept ones, and the trained one at the end."""
    trained = {one.run.epoch_of for one in results.kept_outcomes}
    found = []
    for one in [*results.kept_outcomes, *results.outcomes]:
        name = one.run.epoch_of or one.run.name
        if name in trained:
            epoch = one.run.sections["sample"]["epoch"] or one.run.sections["train"]["num_epochs"]
            found += [{**row, "run": name, "epoch": epoch} for row in components(one)]
    return sorted(found, key=lambda row: (row["run"], row["calculator"] or "", row["component"], row["epoch"]))


def draw(figure: Figure, rows: Rows) -> None:
    """One panel per component: rate with its interval against the epoch."""
    panels = figure.subplots(1, len(SHOWN), sharex=True)
    for axes, name in zip(panels, SHOWN, strict=True):
        groups = series([row for row in rows if row["component"] == name])
        for index, (label, part) in enumerate(groups.items()):
            axes.errorbar(
                numbers(part, "epoch"),
                numbers(part, "percent"),
                yerr=margins(part),
                label=label,
                marker="o",
                markersize=3,
                capsize=2,
                **look(index),
            )
        axes.set_title(NAMES[name], fontsize=9)
        axes.set_xlabel("epoch")
        axes.set_ylim(0)
    panels[0].set_ylabel("% of attempted samples")
    handles, labels = panels[0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=4)


PLOT = Plot(
    place=20,
    title="S.U.N. against training epoch",
    caption="Models that the training kept on its way, each sampled, relaxed and judged as the trained one"
    " (Figure 3 of the paper).",
    columns=("run", "calculator", "component", "epoch", *RATE_COLUMNS),
    gather=gather,
    draw=draw,
    height=3.0,
)
