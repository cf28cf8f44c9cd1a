"""The table of all runs: counts, rates with their intervals, and what made them, beside the published figures."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from miad.config.sections import Report
from miad.core.errors import MiadError
from miad.core.files import write_text
from miad.report import published
from miad.report.published import Published
from miad.sun.judge import COUNTS, RATES
from miad.sun.step import RELAXATION

VERSIONS = ("miad", "commit", "python", "torch", "chgnet", "pymatgen")
# The one list of the table's columns.
COLUMNS = (
    "run",
    "kind",  # measured or published
    "calculator",
    "protocol",
    *COUNTS,
    *(f"{rate}_percent{bound}" for rate in RATES for bound in ("", "_low", "_high")),
    "hull",
    "energy_frame",
    *RELAXATION,
    "seed",
    "source",
    *VERSIONS,
)
# The columns of the readable table.
HEADINGS = {
    "metastable": "metastable %",
    "unique_novel_among_metastable": "unique & novel among metastable %",
    "msun": "M.S.U.N. %",
    "stable": "stable %",
    "unique_novel_among_stable": "unique & novel among stable %",
    "sun": "S.U.N. %",
}


def measured_rows(record: dict[str, Any], protocols: str) -> list[dict[str, Any]]:
    """Rows of the table from the row file of one run and calculator.

    Args:
        record: what `miad sun` wrote as --row.
        protocols: `headline` for one row, `all` for one per protocol, the headline first.
    """
    names = [record["headline"]]
    if protocols == "all":
        names += [name for name in record["protocols"] if name != record["headline"]]
    rows = []
    for name in names:
        judged = record["protocols"][name]
        row = {
            "run": record["run"],
            "kind": "measured",
            "calculator": record["calculator"],
            "protocol": name,
            "hull": record["hull"],
            "energy_frame": record["hull_energy_frame"],
            **(record.get("relaxation") or {}),
            "seed": record["seed"],
            "source": record.get("not_sent"),  # of DFT: how samples count that were not sent to it
            **judged["counts"],
            **{version: record["versions"][version] for version in VERSIONS},
        }
        for rate in RATES:
            bounds = judged["rates"][rate]
            row[f"{rate}_percent"] = bounds["value"]
            row[f"{rate}_percent_low"], row[f"{rate}_percent_high"] = bounds["low"], bounds["high"]
        rows.append(row)
    return rows


def published_row(figures: Published) -> dict[str, Any]:
    """A published row in the columns of the table; it has neither counts nor intervals."""
    return {
        "run": figures.model,
        "kind": "published",
        "calculator": figures.calculator,
        "protocol": "paper",
        "attempted": published.NUM_SAMPLES,
        "hull": published.HULL,
        "source": f"{figures.source}, arXiv:2511.14426",
        **{f"{rate}_percent": getattr(figures, rate) for rate in RATES},
    }


def run(settings: Report, *, rows: list[Path], table: Path, readable: Path, names: list[str] | None = None) -> None:
    """Write the table of all runs and calculators.

    Args:
        settings: section report of config.yaml.
        rows: row files of `miad sun`, one per run and calculator, in the order of the table
        table: CSV to write, e.g. results/sun_table.csv
        readable: the same as Markdown, e.g. results/sun_table.md
        names: of the run of each row, in the same order: runs that share all steps share the row file, which names
            the run that made it; without them that name is taken

    Raises:
        MiadError: a row file is damaged, or there are not as many names as rows.
    """
    if names is not None and len(names) != len(rows):
        raise MiadError("--names and --rows must name one run and one file each per row, in the same order.")
    records = [read_row(path) for path in rows]
    if names is not None:
        records = [{**record, "run": name} for record, name in zip(records, names, strict=True)]
    lines = [line for record in records for line in measured_rows(record, settings.protocols)]
    if settings.published:
        lines += [published_row(figures) for figures in published.ROWS]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in line.items()} for line in lines)
    write_text(readable, markdown(settings.title, lines))
    write_text(table, text.getvalue())


def read_row(path: Path) -> dict[str, Any]:
    """A row file of `miad sun`.

    Raises:
        MiadError: it is damaged or of another version.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        record["protocols"][record["headline"]]["counts"]["attempted"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MiadError(f"{path} is not a row of `miad sun` ({error!r}). Delete it and run sun again.") from error
    return record


def markdown(title: str, lines: list[dict[str, Any]]) -> str:
    """The table for reading: rates with their 95 % intervals, and the hull that each row is measured against."""
    heads = ["run", "calculator", "protocol", "samples", *HEADINGS.values(), "hull"]
    text = [f"# {title}", "", "Percent of all attempted samples, with 95 % Wilson intervals in brackets.", ""]
    text += ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for line in lines:
        name = line["run"] if line["kind"] == "measured" else f"{line['run']} (published, {line['source']})"
        cells = [name, line["calculator"] or "", line["protocol"], str(line["attempted"])]
        cells += [_bracketed(line, rate) for rate in HEADINGS] + [line["hull"]]
        text.append("| " + " | ".join(cells) + " |")
    rules = {f"{line['run']}, {line['calculator']}": line["source"] for line in lines if line["kind"] == "measured"}
    text += rule_lines({name: rule for name, rule in rules.items() if rule})
    return "\n".join(text) + "\n"


def rule_lines(rules: dict[str, str]) -> list[str]:
    """What stands under a table with rows of DFT: {row: how samples count that were not sent}."""
    return [
        text
        for name, rule in rules.items()
        for text in ("", f"{name}: {rule}; a dash is a rate that this does not tell.")
    ]


def _bracketed(line: dict[str, Any], rate: str) -> str:
    value, low, high = (line.get(f"{rate}_percent{bound}") for bound in ("", "_low", "_high"))
    if value is None:
        return "–"
    return f"{value:.1f}" if low is None else f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _cell(value: Any) -> Any:
    """Percentages with four digits after the point; an unknown value is an empty cell."""
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else value
