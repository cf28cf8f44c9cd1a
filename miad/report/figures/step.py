"""The figures of all runs, each drawn from the CSV table that lies beside it: change the table, draw again."""

import importlib
import logging
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from miad.config.layout import Run, runs_of
from miad.core.crystal import read_crystals
from miad.core.errors import MiadError
from miad.core.files import atomic_path, write_text
from miad.core.tabular import Rows, read_csv, write_csv
from miad.report import figures
from miad.report.export import to_atoms, write_extxyz
from miad.report.figures.base import Plot, Results, snapshots
from miad.report.figures.style import STYLE, WIDTH
from miad.sample.trajectories import Trajectory

log = logging.getLogger("miad")


def _register() -> dict[str, Plot]:
    """Every module of this folder that has a PLOT, by its name, in the order of their places."""
    names = [module.name for module in pkgutil.iter_modules(figures.__path__) if module.name != "step"]
    modules = {name: importlib.import_module(f"{figures.__name__}.{name}") for name in names}
    found = {name: module.PLOT for name, module in modules.items() if hasattr(module, "PLOT")}
    return dict(sorted(found.items(), key=lambda item: item[1].place))


FIGURES = _register()


def run(*, out: Path, results: Path = Path("results"), runs: str = "config.yaml", redraw: bool = False) -> None:
    """Write the tables behind the figures, and the figures.

    Args:
        out: folder to write, results/figures: for each figure a CSV, an SVG, a PNG and its caption
        results: folder with the results of all runs
        runs: the runs, as JSON or as a config file
        redraw: draw the figures from the tables that are there, edited or not; nothing else is read
    """
    if not redraw:
        found = Results(*runs_of(runs, results))
        for name, plot in FIGURES.items():
            rows = plot.gather(found)
            write_csv(out / f"{name}.csv", plot.columns_of(rows), rows, digits=4)
        write_generation(out / "generation.extxyz", found.runs[0])
    log.info("drawn: %s", ", ".join(draw(out)))


def draw(folder: Path, names: Iterable[str] = FIGURES) -> list[str]:
    """Draw figures from the tables of a folder, as SVG and PNG; the same table gives the same bytes.

    Returns:
        Names of the figures that were drawn; a table without rows has none.
    """
    drawn = []
    for name in names:
        plot = FIGURES[name]
        rows = _table(folder / f"{name}.csv", plot.columns)
        if not rows:
            continue
        style: Any = {**STYLE, "svg.hashsalt": name}
        with matplotlib.rc_context(style):
            figure = Figure((WIDTH, plot.height), layout="constrained")
            try:
                plot.draw(figure, rows)
            except ValueError as error:  # a word where a number belongs: the tables may be edited
                table = folder / f"{name}.csv"
                raise MiadError(f"{table} cannot be drawn ({error}). Mend the cell, or: miad figures.") from error
            with atomic_path(folder / f"{name}.svg") as temporary:
                figure.savefig(temporary, metadata={"Date": None}, transparent=True)
            with atomic_path(folder / f"{name}.png") as temporary:
                figure.savefig(temporary, dpi=160)
        write_text(folder / f"{name}.txt", f"{plot.title}: {plot.caption}\n")
        drawn.append(name)
    return drawn


def _table(path: Path, columns: tuple[str, ...]) -> Rows:
    try:
        return read_csv(path, columns)
    except OSError as error:
        raise MiadError(f"{path} cannot be read ({error}). Make it with: miad figures.") from error


def write_generation(path: Path, run: Run) -> None:
    """The generation of one crystal, frame by frame as extended XYZ: the most stable recorded candidate, or the first.

    Nothing is written where nothing was recorded.
    """
    recorded = _recorded_ids(run)
    if not recorded:
        return
    chosen = [row["crystal_id"] for row in read_csv(run.file("candidates", "candidates"))]
    identity = next((name for name in chosen if name in recorded), next(iter(recorded)))
    trajectory, index = recorded[identity]
    frames = []
    for time, crystal in zip(trajectory.times.tolist(), trajectory.crystals(index), strict=True):
        if crystal.num_atoms:
            frames.append(to_atoms(crystal))
            frames[-1].info = {"time": time, "crystal_id": identity}
    write_extxyz(path, frames)


def _recorded_ids(run: Run) -> dict[str, tuple[Trajectory, int]]:
    """Crystals whose generation was recorded: {crystal_id: (snapshots of its shard, its place there)}."""
    found = {}
    for shard, trajectory in snapshots(run).items():
        path = run.file("sample", "crystals", shard=shard)
        for index, crystal in enumerate(read_crystals(path)[: trajectory.species.shape[1]]):
            found[crystal.crystal_id] = (trajectory, index)
    return found
