"""How each figure is drawn from the lines of its table."""

from typing import TYPE_CHECKING, Any

from miad.report.figures.tables import COMPONENTS, CRYSTAL_SYSTEMS, Lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1b2026"  # of lines and letters; the report makes it the colour of its text
# Told apart with every kind of colour vision. Source: Okabe and Ito, Color Universal Design, 2008.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
STYLES = ("-", "--", ":", "-.")
HATCHES = ("", "//", "..", "xx")
NAMES = {"sun": "S.U.N.", "msun": "M.S.U.N."}
STYLE = {
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


def label_of(line: dict[str, Any], lines: Lines) -> str:
    """The run of a line, and the calculator where the table has several."""
    name = str(line["run"])
    several = len({other.get("calculator") for other in lines}) > 1
    return f"{name}, {str(line['calculator']).split(' (')[0]}" if several and line.get("calculator") else name


def series(lines: Lines) -> dict[str, Lines]:
    """The lines of each run (and calculator), in the order of the table."""
    found: dict[str, Lines] = {}
    for line in lines:
        found.setdefault(label_of(line, lines), []).append(line)
    return found


def look(index: int) -> dict[str, Any]:
    """Colour and line style of the n-th run."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": STYLES[index // len(COLOURS) % len(STYLES)]}


def fill(index: int) -> dict[str, Any]:
    """Colour and hatch of the bars of the n-th run."""
    return {"color": look(index)["color"], "hatch": HATCHES[index // len(COLOURS) % len(HATCHES)]}


def numbers(lines: Lines, name: str) -> list[float]:
    """A column as numbers; NaN where a cell is empty."""
    return [float("nan") if line[name] is None else float(line[name]) for line in lines]


def known(lines: Lines, name: str) -> list[float]:
    """The cells of a column that are not empty."""
    return [float(line[name]) for line in lines if line[name] is not None]


def legend(axes: "Axes", count: int, least: int = 2) -> None:
    """A legend where there are at least so many things; outside of the picture where there are many."""
    if count > 4:
        axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    elif count >= least:
        axes.legend()


def _margins(lines: Lines, centre: str = "percent") -> list[list[float]]:
    value, low, high = (numbers(lines, f"{centre}{bound}") for bound in ("", "_low", "_high"))
    return [
        [max(v - bound, 0.0) for v, bound in zip(value, low, strict=True)],
        [max(bound - v, 0.0) for v, bound in zip(value, high, strict=True)],
    ]


def draw_components(figure: "Figure", lines: Lines) -> None:
    """Groups of bars with their intervals."""
    axes = figure.subplots()
    groups = series(lines)
    width = 0.8 / len(groups)
    for index, (label, part) in enumerate(groups.items()):
        places = [COMPONENTS.index(line["component"]) - 0.4 + width * (index + 0.5) for line in part]
        bars = {"label": label, "yerr": _margins(part), "ecolor": INK, **fill(index)}
        axes.bar(places, numbers(part, "percent"), width * 0.9, **bars)
    axes.set_xticks(range(len(COMPONENTS)), [NAMES.get(name, name) for name in COMPONENTS])
    axes.set_ylabel("% of attempted samples")
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0)
    legend(axes, len(groups))


def draw_epochs(figure: "Figure", lines: Lines) -> None:
    """One panel per component: rate with its interval against the epoch."""
    shown = ("stable", "unique", "novel", "sun")
    panels = figure.subplots(1, len(shown), sharex=True)
    for axes, name in zip(panels, shown, strict=True):
        groups = series([line for line in lines if line["component"] == name])
        for index, (label, part) in enumerate(groups.items()):
            axes.errorbar(
                numbers(part, "epoch"),
                numbers(part, "percent"),
                yerr=_margins(part),
                label=label,
                marker="o",
                markersize=3,
                capsize=2,
                **look(index),
            )
        axes.set_title(NAMES.get(name, name), fontsize=9)
        axes.set_xlabel("epoch")
        axes.set_ylim(0)
    panels[0].set_ylabel("% of attempted samples")
    if len(groups) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)


def draw_waterfall(figure: "Figure", lines: Lines) -> None:
    """One panel per run: what is left after each reason, and what the reason took away."""
    groups = series(lines)
    num_columns = min(3, len(groups))
    num_rows = -(-len(groups) // num_columns)
    figure.set_figheight(num_rows * figure.get_figheight())
    panels = figure.subplots(num_rows, num_columns, sharey=True, squeeze=False).ravel()
    for axes in panels[len(groups) :]:
        axes.set_visible(False)
    for axes, (label, part) in zip(panels, groups.items(), strict=False):
        left, dropped = numbers(part, "left"), numbers(part, "dropped")
        rows = range(len(part))
        axes.barh(rows, left, color=COLOURS[0])
        axes.barh(rows, dropped, left=left, color=COLOURS[1], alpha=0.6)
        for row, (stays, goes) in enumerate(zip(left, dropped, strict=True)):
            text = f"{stays:.0f}" if not goes else f"{stays:.0f}  (−{goes:.0f})"
            axes.annotate(text, (stays + goes, row), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8)
        axes.set_yticks(rows, ["attempted", *(f"less: {line['reason']}" for line in part[1:])])
        axes.set_title(label, fontsize=9)
        axes.set_xlabel("samples left")
        axes.set_xlim(0, 1.3 * max(left))
        axes.grid(visible=False, axis="y")
    panels[0].invert_yaxis()


def draw_num_atoms(figure: "Figure", lines: Lines) -> None:
    """Bars per number of atoms, runs side by side."""
    found = [int(line["num_atoms"]) for line in lines]
    # Every number in between has its place: an axis that leaves one out would close a gap in the distribution.
    _grouped_bars(figure, lines, "num_atoms", list(range(min(found), max(found) + 1)), "atoms in the cell")


def draw_space_groups(figure: "Figure", lines: Lines) -> None:
    """Bars per crystal system, runs side by side."""
    names = [name for name in (*CRYSTAL_SYSTEMS, "not found") if any(line["crystal_system"] == name for line in lines)]
    _grouped_bars(figure, lines, "crystal_system", names, "")


def _grouped_bars(figure: "Figure", lines: Lines, key: str, values: list, label: str) -> None:
    axes = figure.subplots()
    groups = series(lines)
    width = 0.85 / len(groups)
    for index, (name, part) in enumerate(groups.items()):
        counts = {str(line[key]): float(line["sun"]) for line in part}
        places = [place - 0.425 + width * (index + 0.5) for place in range(len(values))]
        heights = [counts.get(str(value), 0.0) for value in values]
        # Counts of runs of different size stand on one axis: the label says of how many.
        axes.bar(places, heights, width * 0.95, label=f"{name}\nof {part[0]['attempted']} attempted", **fill(index))
    axes.set_xticks(range(len(values)), [str(value) for value in values])
    if len(groups) > 4 and any(isinstance(value, str) for value in values):  # the legend takes their room
        axes.tick_params(axis="x", rotation=30)
    axes.set_xlabel(label)
    axes.set_ylabel("S.U.N. crystals")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.grid(visible=False, axis="x")
    legend(axes, len(groups), least=1)


def _outlines(axes: "Axes", groups: dict[str, Lines], name: str, bins: list[float], scale: float = 1.0) -> None:
    """Histograms as outlines; what lies outside is counted in the first and last bin."""
    for index, (label, part) in enumerate(groups.items()):
        values = [min(max(scale * value, bins[0]), bins[-1]) for value in known(part, name)]
        if values:
            share = [100 / len(values)] * len(values)
            axes.hist(values, bins, weights=share, histtype="step", label=label, linewidth=1.5, **look(index))
    axes.set_ylabel("% of crystals")
    axes.set_xlim(bins[0], bins[-1])


def even(low: float, high: float, count: int) -> list[float]:
    """Edges of `count` bins of one width."""
    return [low + (high - low) * index / count for index in range(count + 1)]


def draw_e_above_hull(figure: "Figure", lines: Lines) -> None:
    """Histogram from -0.5 to 1 eV/atom, with the hull."""
    axes = figure.subplots()
    groups = series(lines)
    _outlines(axes, groups, "e_above_hull", even(-0.5, 1.0, 60))
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel("energy above hull (eV/atom); the outermost bins hold what lies beyond")
    legend(axes, len(groups))


def draw_relaxation(figure: "Figure", lines: Lines) -> None:
    """Steps, displacement, volume change and energy gained."""
    groups = series(lines)
    steps = max([1.0, *known(lines, "num_steps")])
    panels = figure.subplots(2, 2).flat
    for axes, (name, label, bins, scale) in zip(
        panels,
        (
            ("num_steps", "relaxation steps", even(0, steps, 30), 1.0),
            ("rms_displacement", "root mean square displacement (Å)", even(0, 1.5, 30), 1.0),
            ("volume_change", "change of volume (%)", even(-50, 100, 30), 100.0),
            ("energy_gain", "energy gained (eV/atom)", even(0, 2, 30), 1.0),
        ),
        strict=True,
    ):
        _outlines(axes, groups, name, bins, scale)
        axes.set_xlabel(label)
    legend(axes, len(groups))


def draw_losses(figure: "Figure", lines: Lines) -> None:
    """Loss against epochs and against wall time, training and validation; below, its three parts."""
    groups = series(lines)
    panels = figure.subplots(2, 3)
    for index, (label, part) in enumerate(groups.items()):
        style = look(index)
        checked = [line for line in part if line["val_total"] is not None]
        for axes, name, scale in ((panels[0][0], "epoch", 1.0), (panels[0][1], "seconds", 1 / 60)):
            axes.plot([scale * x for x in numbers(part, name)], numbers(part, "total"), alpha=0.5, **style)
            axes.plot(
                [scale * x for x in numbers(checked, name)],
                numbers(checked, "val_total"),
                marker="o",
                markersize=2.5,
                label=label,
                **style,
            )
        panels[0][2].plot(numbers(part, "epoch"), numbers(part, "learning_rate"), **style)
        for axes, name in zip(panels[1], ("lattice", "coords", "species"), strict=True):
            axes.plot(numbers(part, "epoch"), numbers(part, name), **style)
            axes.set(xlabel="epoch", ylabel=name)
    for axes in (*panels[0][:2], *panels[1]):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.tick_params(axis="y", which="minor", labelsize=7)
    panels[0][0].set(xlabel="epoch", ylabel="total loss")
    panels[0][1].set(xlabel="wall time (minutes)", ylabel="total loss")
    panels[0][2].set(xlabel="epoch", ylabel="learning rate")
    legend(panels[0][0], len(groups))


def _against_time(axes: "Axes", label: str) -> None:
    axes.set_xlabel("t, from noise (left) to crystal (right)")
    axes.set_ylabel(label)
    axes.invert_xaxis()


def draw_real_atoms(figure: "Figure", lines: Lines) -> None:
    """Mean number of real atoms against t, and the middle 90 % of the crystals."""
    axes = figure.subplots()
    groups = series(lines)
    for index, (label, part) in enumerate(groups.items()):
        times = numbers(part, "time")
        axes.plot(times, numbers(part, "mean"), label=label, **look(index))
        axes.fill_between(times, numbers(part, "low"), numbers(part, "high"), color=look(index)["color"], alpha=0.15)
    axes.set_ylim(0)
    _against_time(axes, "real atoms per crystal")
    legend(axes, len(groups))


def draw_turnover(figure: "Figure", lines: Lines) -> None:
    """One panel per kind of change."""
    groups = series(lines)
    panels = figure.subplots(1, 3)
    titles = {"appeared": "atoms that appear", "vanished": "atoms that vanish", "changed": "atoms that change type"}
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        for index, (label, part) in enumerate(groups.items()):
            axes.plot(numbers(part, "time"), numbers(part, name), label=label, **look(index))
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("t")
        axes.invert_xaxis()
    panels[0].set_ylabel("per crystal, since the last snapshot")
    legend(panels[-1], len(groups))


def draw_settled(figure: "Figure", lines: Lines) -> None:
    """Share of settled types: full lines for real atoms, pale ones for places that end as mirage."""
    axes = figure.subplots()
    groups = series(lines)
    for index, (label, part) in enumerate(groups.items()):
        axes.plot(numbers(part, "time"), [100 * x for x in numbers(part, "real")], label=label, **look(index))
        axes.plot(numbers(part, "time"), [100 * x for x in numbers(part, "mirage")], alpha=0.4, **look(index))
    _against_time(axes, "% of places with their final type")
    legend(axes, len(groups))
