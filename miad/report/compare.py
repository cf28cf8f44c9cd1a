"""Runs beside each other: every run's difference to the first one, and the tables in the layout of the paper."""

import csv
import io
import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miad.config.layout import Run, runs_of
from miad.config.resolve import is_read
from miad.core.files import open_text, write_text
from miad.core.statistics import Rate, difference, paired_difference, wilson
from miad.report.sun_table import read_row
from miad.sun.judge import COUNTS, RATES

log = logging.getLogger("miad")

# The rates that are compared: one count over another. Unique and novel are those of Tables 3 to 5.
COMPARED = {**RATES, "unique": ("unique", "attempted"), "novel": ("novel", "attempted")}
HEADINGS = {
    "metastable": "Metastable (%)",
    "unique_novel_among_metastable": "Unique & novel among metastable (%)",
    "msun": "M.S.U.N. (%)",
    "stable": "Stable (%)",
    "unique_novel_among_stable": "Unique & novel among stable (%)",
    "sun": "S.U.N. (%)",
    "unique": "Unique (%)",
    "novel": "Novel (%)",
}
RUN_COLUMNS = (
    "run",
    "calculator",
    "protocol",
    *COUNTS,
    *(f"{rate}_percent{bound}" for rate in COMPARED for bound in ("", "_low", "_high")),
    *(f"{rate}_difference{bound}" for rate in COMPARED for bound in ("", "_low", "_high")),
    "compared_to",
    "pairing",
    "file",
)


@dataclass(frozen=True)
class Outcome:
    """One run judged with one calculator under the headline protocol.

    Attributes:
        run: the run.
        calculator: its name in relax.calculators, or as the row says for crystals of other programs.
        record: its row file.
        row, verdicts: where it is from.
    """

    run: Run
    calculator: str
    record: dict[str, Any]
    row: Path
    verdicts: Path

    @property
    def counts(self) -> dict[str, int | None]:
        """Counts of the headline protocol; only `converged` may be unknown."""
        return self.record["protocols"][self.record["headline"]]["counts"]

    @property
    def file(self) -> str:
        """The row file, as named from the folder of all results."""
        return self.row.relative_to(self.run.folder).as_posix()

    def rate(self, name: str) -> Rate:
        """One of COMPARED in percent, with its 95 % interval."""
        recorded = self.record["protocols"][self.record["headline"]]["rates"]
        if name in recorded:  # of DFT on a part of the samples, an estimate for all of them, or unknown
            return Rate(**recorded[name])
        part, whole = COMPARED[name]
        return wilson(self.counts[part], self.counts[whole]).percent()

    @property
    def is_estimate(self) -> bool:
        """Whether rates were estimated from a part of the samples, so that they are not counts over counts."""
        return self.record.get("is_estimate", False)

    def flags(self) -> dict[str, dict[str, bool]]:
        """{crystal_id: {rate: whether the sample counts}} for the rates over all attempted samples."""
        found = {}
        with open_text(self.verdicts) as lines:
            for line in lines:
                record = json.loads(line)
                found[record["crystal_id"]] = _flags(record["protocols"][self.record["headline"]])
        return found


def _flags(verdict: dict[str, Any]) -> dict[str, bool]:
    unique, novel = bool(verdict["is_unique"]), bool(verdict["is_novel"])
    is_barred = verdict["reason"] in ("one element", "not converged")
    return {
        "stable": verdict["is_stable"],
        "metastable": verdict["is_metastable"],
        "unique": unique,
        "novel": novel,
        "msun": verdict["is_metastable"] and unique and novel and not is_barred,
        "sun": verdict["reason"] == "sun",
    }


def outcomes_of(runs: list[Run]) -> list[Outcome]:
    """Every run and calculator, in the order of the table.

    Raises:
        MiadError: a row file is damaged.
    """
    found = []
    for run in runs:
        for row, verdicts in zip(run.rows, run.verdicts, strict=True):
            record = read_row(row)
            is_named = is_read(run.sections) or row.parent.name == "dft"
            calculator = (record["calculator"] or "") if is_named else row.parent.name
            found.append(Outcome(run, calculator, record, row, verdicts))
    return found


def differences(one: Outcome, first: Outcome) -> tuple[dict[str, Rate], str]:
    """Differences to the first run in percentage points, with their 95 % intervals, and how they were paired.

    The same samples (an ablation of relaxation or hull) are compared one by one, which the interval profits from;
    samples of their own (an ablation of the training) are independent. Rates among the stable or metastable ones have
    denominators of their own and are always compared as independent.
    """
    if one.is_estimate or first.is_estimate:
        return {name: _apart(first.rate(name), one.rate(name)) for name in COMPARED}, "estimated rates"
    ours, theirs = one.flags(), first.flags()
    is_paired = ours.keys() == theirs.keys()
    found = {}
    for name, (part, whole) in COMPARED.items():
        if None in (first.rate(name).value, one.rate(name).value):  # nothing was counted, or DFT saw only a part
            rate = Rate(None, None, None)
        elif is_paired and whole == "attempted":
            rate = paired_difference((theirs[key][name], ours[key][name]) for key in ours)
        else:
            rate = difference(
                (first.counts[part], first.counts[whole]),
                (one.counts[part], one.counts[whole]),
            )
        found[name] = rate.percent()
    return found, "same samples" if is_paired else "independent samples"


def _apart(first: Rate, second: Rate) -> Rate:
    """Difference of two independent rates that are known with their intervals only.

    Source: MOVER, Zou and Donner, Stat. Med. 27, 1693 (2008).
    """
    if None in (first.value, second.value):
        return Rate(None, None, None)
    value = second.value - first.value
    if None in (first.low, first.high, second.low, second.high):
        return Rate(value, None, None)
    low = math.hypot(second.value - second.low, first.high - first.value)
    return Rate(value, value - low, value + math.hypot(second.high - second.value, first.value - first.low))


def run_lines(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """One line per run and calculator: counts, rates, and the difference to the first run with this calculator."""
    first: dict[str, Outcome] = {}
    lines = []
    for one in outcomes:
        reference = first.setdefault(one.record["calculator"] or one.calculator, one)
        line: dict[str, Any] = {
            "run": one.run.name,
            "calculator": one.record["calculator"],
            "protocol": one.record["headline"],
            **one.counts,
            "file": one.file,
        }
        for name in COMPARED:
            line |= spread(f"{name}_percent", one.rate(name))
        if reference is not one:
            found, line["pairing"] = differences(one, reference)
            line["compared_to"] = reference.run.name
            for name, rate in found.items():
                line |= spread(f"{name}_difference", rate)
        lines.append(line)
    return lines


def spread(name: str, rate: Rate) -> dict[str, float | None]:
    """A rate and its bounds as three columns."""
    return {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}


def run(*, results: Path, out: Path, runs: str = "config.yaml") -> None:
    """Write the tables of all runs: differences to the first run, and Tables 1 to 5 in the layout of the paper.

    Args:
        results: folder with the results of all runs
        out: folder to write, results/tables
        runs: the runs as JSON, as the workflow gives them, or a config file

    Raises:
        MiadError: the config has errors, or a result is missing.
    """
    from miad.report import tables as paper_tables

    found, _ = runs_of(runs, results)
    outcomes = outcomes_of(found)
    has_published = found[0].sections["report"]["published"]
    lines = run_lines(outcomes)
    write_text(out / "runs.csv", csv_text(RUN_COLUMNS, lines))
    write_text(out / "runs.md", runs_markdown(lines))
    for number in paper_tables.LAYOUTS:
        paper_tables.write(number, outcomes, has_published, out)
    log.info("tables of %d runs are in %s", len(found), out)


def csv_text(columns: tuple[str, ...] | list[str], lines: list[dict[str, Any]]) -> str:
    """Lines as CSV; numbers with four digits after the point, unknown values empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{v:.4f}" if isinstance(v, float) else v for key, v in line.items()} for line in lines)
    return text.getvalue()


def cell(line: dict[str, Any], name: str, digits: Callable[[float], str] = "{:.1f}".format) -> str:
    """A value with its interval in brackets, a dash where there is none."""
    value, low, high = (line.get(f"{name}{bound}") for bound in ("", "_low", "_high"))
    if value is None:
        return "–"
    return digits(value) if low is None else f"{digits(value)} [{digits(low)}, {digits(high)}]"


def runs_markdown(lines: list[dict[str, Any]]) -> str:
    """Rates of every run, and below them their differences to the first run."""
    text = ["# Runs", "", "Percent, with 95 % Wilson intervals in brackets.", ""]
    text += markdown_lines(
        ["run", "calculator", "samples", *HEADINGS.values()],
        [
            [line["run"], line["calculator"], line["attempted"], *(cell(line, f"{rate}_percent") for rate in HEADINGS)]
            for line in lines
        ],
    )
    compared = [line for line in lines if line.get("compared_to")]
    if compared:
        text += ["", "Difference to the first run in percentage points, with 95 % intervals (Newcombe).", ""]
        heads = [heading.removesuffix(" (%)") for heading in HEADINGS.values()]
        text += markdown_lines(
            ["run", "compared to", "pairing", *heads],
            [
                [line["run"], line["compared_to"], line["pairing"]]
                + [cell(line, f"{rate}_difference", "{:+.1f}".format) for rate in HEADINGS]
                for line in compared
            ],
        )
    return "\n".join(text) + "\n"


def markdown_lines(heads: list[str], rows: list[list[Any]]) -> list[str]:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(str(text).replace("|", "\\|") for text in line) + " |" for line in lines]
