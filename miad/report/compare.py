"""Runs beside each other: every run's difference to the first one, and the tables in the layout of the paper."""

import logging
from pathlib import Path
from typing import Any

from miad.config.layout import runs_of
from miad.core.files import write_text
from miad.core.tabular import Rows, interval, markdown_table, rate_cells, rate_columns, rate_of, write_csv
from miad.report import published, tables
from miad.report.outcomes import COMPARED, HEADINGS, Outcome, differences, outcomes_of
from miad.sun.judge import COUNTS

log = logging.getLogger("miad")

RUN_COLUMNS = (
    "run",
    "calculator",
    "protocol",
    *COUNTS,
    *(column for rate in COMPARED for column in rate_columns(f"{rate}_percent")),
    *(column for rate in COMPARED for column in rate_columns(f"{rate}_difference")),
    "compared_to",
    "pairing",
    "file",
)


def run(*, results: Path, out: Path, runs: str = "config.yaml") -> None:
    """Write the tables of all runs: differences to the first run, and Tables 1 to 5 in the layout of the paper.

    Args:
        results: folder with the results of all runs
        out: folder to write, results/tables
        runs: the runs, as JSON or as a config file
    """
    chosen, _ = runs_of(runs, results)
    outcomes = outcomes_of(chosen)
    lines = run_lines(outcomes)
    write_csv(out / "runs.csv", RUN_COLUMNS, lines, digits=4)
    write_text(out / "runs.md", markdown(lines))
    for paper in published.TABLES:
        tables.write(paper, outcomes, chosen[0].sections["report"]["published"], out)
    log.info("tables of %d runs are in %s", len(chosen), out)


def run_lines(outcomes: list[Outcome]) -> Rows:
    """One line per run and calculator: counts, rates, and the difference to the first run with this calculator."""
    first: dict[str, Outcome] = {}
    lines = []
    for one in outcomes:
        reference = first.setdefault(one.record["calculator"] or one.kind, one)
        line: dict[str, Any] = {
            "run": one.run.name,
            "calculator": one.record["calculator"],
            "protocol": one.record["headline"],
            **one.counts,
            "file": one.file,
        }
        for name in COMPARED:
            line |= rate_cells(f"{name}_percent", one.rate(name))
        if reference is not one:
            found, line["pairing"] = differences(one, reference)
            line["compared_to"] = reference.run.name
            for name, rate in found.items():
                line |= rate_cells(f"{name}_difference", rate)
        lines.append(line)
    return lines


def markdown(lines: Rows) -> str:
    """Rates of every run, and below them their differences to the first run."""
    text = ["# Runs", "", "Percent, with 95 % Wilson intervals in brackets.", ""]
    heads = ["run", "calculator", "samples", *(f"{heading} (%)" for heading in HEADINGS.values())]
    rows = [[line["run"], line["calculator"], line["attempted"], *_cells(line, "percent")] for line in lines]
    text += [markdown_table(heads, rows)]
    first = ("run", "compared_to", "pairing")
    compared = [[*map(line.get, first), *_cells(line, "difference", "+.1f")] for line in lines if "compared_to" in line]
    if compared:
        text += ["", "Difference to the first run in percentage points, with 95 % intervals (Newcombe).", ""]
        text += [markdown_table(["run", "compared to", "pairing", *HEADINGS.values()], compared)]
    return "\n".join(text) + "\n"


def _cells(line: dict[str, Any], kind: str, form: str = ".1f") -> list[str]:
    return [interval(rate_of(line, f"{rate}_{kind}"), form) for rate in HEADINGS]
