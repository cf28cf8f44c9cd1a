"""The figures of a run, each drawn from the CSV table that lies beside it: change the table, draw again."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from miad.config.layout import Run, runs_of
from miad.core.errors import MiadError
from miad.core.files import atomic_path, write_text
from miad.report.compare import csv_text
from miad.report.figures import plots
from miad.report.figures import tables as figure_tables
from miad.report.figures.tables import COLUMNS, Lines, read_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger("miad")
WIDTH, HEIGHT = 7.2, 3.4  # inches


@dataclass(frozen=True)
class Plot:
    """One figure.

    Attributes:
        title: of the figure.
        caption: what is to be seen, and where it comes from.
        draw: draws the lines of the table.
        height: inches.
    """

    title: str
    caption: str
    draw: "Callable[[Figure, Lines], None]"
    height: float = HEIGHT


FIGURES = {
    "components": Plot(
        "What S.U.N. is made of",
        "Stable, unique, novel and all three at once (S.U.N.), and the same for metastable crystals, as shares of all"
        " attempted samples with 95 % Wilson intervals (Figure 2 of the paper).",
        plots.draw_components,
    ),
    "epochs": Plot(
        "S.U.N. against training epoch",
        "Models that the training kept on its way, each sampled, relaxed and judged as the trained one"
        " (Figure 3 of the paper).",
        plots.draw_epochs,
        3.0,
    ),
    "waterfall": Plot(
        "From attempted to S.U.N.",
        "Every attempted sample ends at one reason, the first that applies; what is left in the end is S.U.N.",
        plots.draw_waterfall,
        3.8,
    ),
    "num_atoms": Plot(
        "Atoms in S.U.N. crystals",
        "Number of atoms in the cells of the S.U.N. crystals (Figure 4 of the paper). Counts: the legend says of how"
        " many attempted samples.",
        plots.draw_num_atoms,
    ),
    "space_groups": Plot(
        "S.U.N. crystals by crystal system",
        "Space groups found by spglib with a tolerance of 0.1 Å (Figure 5 of the paper, there called space-group"
        " families). Counts: the legend says of how many attempted samples.",
        plots.draw_space_groups,
    ),
    "e_above_hull": Plot(
        "Energy above the hull",
        "All relaxed samples whose elements the hull knows; below zero they are stable.",
        plots.draw_e_above_hull,
    ),
    "relaxation": Plot(
        "How far relaxations went",
        "Steps taken, displacement of the atoms (drift and strain taken out), change of the cell's volume, and energy"
        " gained; the outermost bins hold what lies beyond.",
        plots.draw_relaxation,
        5.2,
    ),
    "losses": Plot(
        "Losses",
        "Total loss against epochs and against wall time (pale: training, with points: validation), the learning rate,"
        " and below the three parts of the training loss.",
        plots.draw_losses,
        4.8,
    ),
    "real_atoms": Plot(
        "Real atoms during the generation",
        "Atoms that are no mirage, per crystal; the band holds the middle 90 % of the crystals.",
        plots.draw_real_atoms,
    ),
    "turnover": Plot(
        "Atoms that appear, vanish and change",
        "Mirage atoms that become real, real atoms that become mirage, and real atoms that change their element,"
        " between one snapshot and the next.",
        plots.draw_turnover,
        3.0,
    ),
    "settled": Plot(
        "When types settle",
        "Share of the places whose type is the final one from t on to the end: those that end as atoms, and pale those"
        " that end as mirage.",
        plots.draw_settled,
    ),
}
assert FIGURES.keys() == COLUMNS.keys()


def draw(folder: Path, names: Iterable[str] = FIGURES) -> list[str]:
    """Draw figures from their tables, as SVG and PNG; the same table gives the same bytes.

    Args:
        folder: where the tables are, and where the figures go.
        names: which ones.

    Returns:
        Names of the figures that were drawn; a table without lines has none.

    Raises:
        MiadError: a table is missing or lacks a column.
    """
    import matplotlib
    from matplotlib.figure import Figure

    drawn = []
    for name in names:
        lines = _table(folder / f"{name}.csv", COLUMNS[name])
        if not lines:
            continue
        with matplotlib.rc_context({**plots.STYLE, "svg.hashsalt": name}):
            figure = Figure((WIDTH, FIGURES[name].height), layout="constrained")
            FIGURES[name].draw(figure, lines)
            for suffix, more in ((".svg", {"metadata": {"Date": None}, "transparent": True}), (".png", {"dpi": 160})):
                with atomic_path(folder / f"{name}{suffix}") as temporary:
                    figure.savefig(temporary, **more)
        drawn.append(name)
    return drawn


def _table(path: Path, columns: tuple[str, ...]) -> Lines:
    try:
        lines = read_csv(path)
    except OSError as error:
        raise MiadError(f"{path} cannot be read ({error}). Make it with: miad figures.") from error
    missing = sorted(set(columns) - set(lines[0])) if lines else []
    if missing:
        raise MiadError(f"{path} has no column {missing[0]}. Restore it with: miad figures.")
    return lines


def write_generation(path: Path, run: Run) -> None:
    """How one crystal came about, frame by frame as extended XYZ: the most stable recorded candidate, or the first one.

    Nothing is written where nothing was recorded.
    """
    import ase.io

    recorded = figure_tables.recorded_ids(run)
    if not recorded:
        return
    chosen = [line["crystal_id"] for line in read_csv(run.own / "candidates.csv")]
    identity = next((name for name in chosen if name in recorded), next(iter(recorded)))
    trajectory, index = recorded[identity]
    frames = []
    for time, crystal in zip(trajectory.times.tolist(), trajectory.crystals(index), strict=True):
        if crystal.num_atoms:
            atoms = ase.Atoms(crystal.atomic_numbers, cell=crystal.lattice, pbc=True)
            atoms.set_scaled_positions(crystal.frac_coords)
            atoms.info |= {"time": time, "crystal_id": identity}
            frames.append(atoms)
    with atomic_path(path) as temporary:
        ase.io.write(temporary, frames, format="extxyz")


def run(*, out: Path, results: Path = Path("results"), config: str = "config.yaml", redraw: bool = False) -> None:
    """Write the tables behind the figures, and the figures.

    Args:
        out: folder to write, results/figures: for each figure a CSV, an SVG and a PNG
        results: folder with the results of all runs
        config: config file, or the config as JSON
        redraw: draw the figures from the tables that are there, edited or not; nothing else is read

    Raises:
        MiadError: the config has errors, or a result is missing or damaged.
    """
    if not redraw:
        runs, kept = runs_of(config, results)
        for name, lines in figure_tables.gather(runs, kept).items():
            write_text(out / f"{name}.csv", csv_text(COLUMNS[name], lines))
        write_generation(out / "generation.extxyz", runs[0])
    log.info("drawn: %s", ", ".join(draw(out)))
