"""Figure: steps, displacement, change of volume and energy gained in the relaxations."""

from matplotlib.figure import Figure

from miad.core.tabular import Rows
from miad.report.figures.base import Plot, by_calculator
from miad.report.figures.style import known, legend, outlines, series

COLUMNS = ("crystal_id", "converged", "num_steps", "rms_displacement", "volume_change")


def relaxations(ledger: Rows) -> Rows:
    """Steps, root mean square displacement (Å), volume change, energy gained (eV/atom) of every relaxation."""
    found = []
    for row in ledger:
        before, after = row["initial_energy_per_atom"], row["energy_per_atom"]
        gain = None if before is None or after is None else float(before) - float(after)
        if row["num_steps"] is not None:
            found.append({**{name: row[name] for name in COLUMNS}, "energy_gain": gain})
    return found


def draw(figure: Figure, rows: Rows) -> None:
    """Histograms of the four quantities."""
    groups = series(rows)
    steps = max([1.0, *known(rows, "num_steps")])
    drawn = (
        ("num_steps", "relaxation steps", (0, steps, 30), 1.0),
        ("rms_displacement", "root mean square displacement (Å)", (0, 1.5, 30), 1.0),
        ("volume_change", "change of volume (%)", (-50, 100, 30), 100.0),
        ("energy_gain", "energy gained (eV/atom)", (0, 2, 30), 1.0),
    )
    for axes, (name, label, span, scale) in zip(figure.subplots(2, 2).flat, drawn, strict=True):
        outlines(axes, groups, name, span, scale)
        axes.set_xlabel(label)
    legend(axes, len(groups))


PLOT = Plot(
    place=70,
    title="How far relaxations went",
    caption="Steps taken, displacement of the atoms (drift and strain taken out), change of the cell's volume, and"
    " energy gained; the outermost bins hold what lies beyond.",
    columns=("run", "calculator", *COLUMNS, "energy_gain"),
    gather=lambda results: by_calculator(results.ledgers, relaxations),
    draw=draw,
    height=5.2,
)
