"""Parts of every figure: its record, and the results that its table is gathered from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from matplotlib.figure import Figure

from miad.config.layout import Run
from miad.core.tabular import Rows, rate_cells, rate_columns, read_csv
from miad.report.candidates import CANDIDATE_COLUMNS, LEDGER_COLUMNS
from miad.report.outcomes import Outcome, outcomes_of
from miad.sample import trajectories
from miad.sample.trajectories import Trajectory

RATE_COLUMNS = (*rate_columns("percent"), "file")
COMPONENTS = ("stable", "unique", "novel", "sun", "metastable", "msun")


@dataclass(frozen=True)
class Results:
    """The results of all runs."""

    runs: list[Run]
    kept: list[Run]  # runs of models that were kept on the way

    @cached_property
    def outcomes(self) -> list[Outcome]:
        """Every run and calculator."""
        return outcomes_of(self.runs)

    @cached_property
    def kept_outcomes(self) -> list[Outcome]:
        """The same of kept models."""
        return outcomes_of(self.kept)

    @cached_property
    def ledgers(self) -> dict[str, Rows]:
        """{run: its attempted samples}, as ledger.csv has them."""
        return {run.name: read_csv(run.file("candidates", "ledger_csv"), LEDGER_COLUMNS) for run in self.runs}

    @cached_property
    def candidates(self) -> dict[str, Rows]:
        """{run: its S.U.N. crystals}, as candidates.csv has them."""
        return {run.name: read_csv(run.file("candidates", "candidates"), CANDIDATE_COLUMNS) for run in self.runs}

    def recorded(self) -> Iterator[tuple[Run, Trajectory]]:
        """Runs whose generation was recorded, with its snapshots; not those that start from another one's samples."""
        for run in self.runs:
            found = list(snapshots(run).values()) if run.homes["sample"] == run.name else []
            if joined := trajectories.joined(found):
                yield run, joined


@dataclass(frozen=True)
class Plot:
    """One figure."""

    place: int  # in the order of the figures
    title: str
    caption: str  # what is to be seen, and where it comes from
    columns: tuple[str, ...]  # of its table
    gather: Callable[[Results], Rows]  # rows of the table; none where there is nothing to show
    draw: Callable[[Figure, Rows], None]  # of the rows as they are read back
    height: float = 3.4  # inches
    has_more_columns: bool = False  # whether the table has further columns, which its rows name

    def columns_of(self, rows: Rows) -> tuple[str, ...]:
        """Columns of the table of these rows."""
        if not (rows and self.has_more_columns):
            return self.columns
        return tuple(dict.fromkeys(name for row in rows for name in row))


def snapshots(run: Run) -> dict[int, Trajectory]:
    """{shard: snapshots of its generation} of the shards of a run that were recorded."""
    paths = {shard: run.file("sample", "trajectories", shard=shard) for shard in run.shards}
    found = {shard: trajectories.read(path) for shard, path in paths.items() if path.is_file()}
    return {shard: one for shard, one in found.items() if one is not None}


def components(one: Outcome) -> Rows:
    """The parts that S.U.N. is made of, in percent of all attempted samples."""
    label = {"run": one.run.name, "calculator": one.record["calculator"], "file": one.file}
    return [{**label, "component": name, **rate_cells("percent", one.rate(name))} for name in COMPONENTS]


def by_calculator(files: dict[str, Rows], table: Callable[[Rows], Rows]) -> Rows:
    """One table of every run's file; what several calculators found stays apart."""
    found = []
    for run, rows in files.items():
        for calculator in dict.fromkeys(row["calculator"] for row in rows):
            part = table([row for row in rows if row["calculator"] == calculator])
            found += [{"run": run, "calculator": calculator, **row} for row in part]
    return found


def sun_counts(results: Results, table: Callable[[Rows], Rows]) -> Rows:
    """A table of the S.U.N. crystals of each run and calculator, beside how many samples were attempted."""
    attempted = {(one.run.name, one.record["calculator"]): one.counts["attempted"] for one in results.outcomes}
    rows = by_calculator(results.candidates, table)
    return [{**row, "attempted": attempted.get((row["run"], row["calculator"]))} for row in rows]


def along_generation(table: Callable[[Trajectory], Rows]) -> Callable[[Results], Rows]:
    """Gathering of a table of every recorded generation."""

    def gather(results: Results) -> Rows:
        return [{"run": run.name, **row} for run, trajectory in results.recorded() for row in table(trajectory)]

    return gather
