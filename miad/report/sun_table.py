"""The table of all runs: counts, rates with their intervals, and what made them, beside the published figures."""

from pathlib import Path
from typing import Any

from miad.config.sections import Report
from miad.core.errors import MiadError
from miad.core.files import write_text
from miad.core.provenance import ARITHMETIC
from miad.core.statistics import Rate
from miad.core.tabular import Rows, interval, markdown_table, rate_cells, rate_columns, rate_of, write_csv
from miad.dft.estimate import RULES
from miad.report import published
from miad.report.outcomes import NAMES, read_row
from miad.report.published import PaperTable, Published
from miad.sun.judge import COUNTS, RATES
from miad.sun.step import RELAXATION

VERSIONS = ("miad", "commit", "python", "torch", "chgnet", "pymatgen", "pymatgen-core", ARITHMETIC)
# The one list of the table's columns.
COLUMNS = (
    "run",
    "kind",  # measured or published
    "calculator",
    "protocol",
    *COUNTS,
    *(column for rate in RATES for column in rate_columns(f"{rate}_percent")),
    "hull",
    "energy_frame",
    *RELAXATION,
    "seed",
    "source",
    *VERSIONS,
)
HEADINGS = {rate: f"{NAMES[rate]} %" for rate in RATES}  # of the readable table


def measured_rows(record: dict[str, Any], protocols: str) -> Rows:
    """Rows of one run and calculator: the headline protocol, and with `all` the others after it."""
    names = dict.fromkeys([record["headline"], *(record["protocols"] if protocols == "all" else ())])
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
            "source": RULES.get(record.get("not_sent") or ""),  # of DFT: how samples count that were not sent to it
            **judged["counts"],
            **{version: record["versions"].get(version) for version in VERSIONS},
        }
        for rate in RATES:
            row |= rate_cells(f"{rate}_percent", Rate(**judged["rates"][rate]))
        rows.append(row)
    return rows


def published_row(paper: PaperTable, figures: Published) -> dict[str, Any]:
    """A published row in the columns of the table; it has neither counts nor intervals."""
    return {
        "run": figures.model,
        "kind": "published",
        "calculator": figures.calculator,
        "protocol": "paper",
        "attempted": published.NUM_SAMPLES,
        "hull": published.HULL,
        "source": f"Table {paper.number}, arXiv:2511.14426",
        **{f"{rate}_percent": figures.rates.get(rate) for rate in RATES},
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
    """
    if names is not None and len(names) != len(rows):
        raise MiadError("--names and --rows must name one run and one file each per row, in the same order.")
    lines, notes = [], []
    for path, name in zip(rows, names or [""] * len(rows), strict=True):
        record = read_row(path)
        lines += measured_rows({**record, "run": name or record["run"]}, settings.protocols)
        notes += record.get("unreadable", [])  # rows of earlier versions have none
    if settings.published:
        lines += [published_row(paper, figures) for paper in published.TABLES[:2] for figures in paper.rows]
    write_text(readable, markdown(settings.title, lines) + note_lines(notes))
    write_csv(table, COLUMNS, lines, digits=4)


def markdown(title: str, lines: Rows) -> str:
    """The table for reading: rates with their 95 % intervals, and the hull that each row is measured against."""
    heads = ["run", "calculator", "protocol", "samples", *HEADINGS.values(), "hull"]
    rows = []
    for line in lines:
        name = line["run"] if line["kind"] == "measured" else f"{line['run']} (published, {line['source']})"
        rates = [interval(rate_of(line, f"{rate}_percent")) for rate in HEADINGS]
        rows.append([name, line["calculator"], line["protocol"], line["attempted"], *rates, line["hull"]])
    text = [f"# {title}", "", "Percent of all attempted samples, with 95 % Wilson intervals in brackets.", ""]
    text += [markdown_table(heads, rows)]
    measured = (line for line in lines if line["kind"] == "measured" and line["source"])
    text += rule_lines({f"{line['run']}, {line['calculator']}": line["source"] for line in measured})
    return "\n".join(text) + "\n"


def note_lines(notes: list[str]) -> str:
    """The last lines: what could not be read or judged, each once, with its commonest reasons."""
    return "".join(f"\n{note}\n" for note in dict.fromkeys(notes))


def rule_lines(rules: dict[str, str]) -> list[str]:
    """Notes under a table with rows of DFT: {row: how samples count that were not sent}."""
    return [f"\n{name}: {rule}; a dash is a rate that this does not tell." for name, rule in rules.items()]
