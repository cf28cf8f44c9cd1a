"""Tables 1 to 5 in the layout of the paper: our runs first, then the published rows."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from miad.config.layout import Run
from miad.core.files import write_text
from miad.core.tabular import Rows, interval, markdown_table, rate_cells, rate_columns, rate_of, write_csv
from miad.dft.calculation import DFT
from miad.report import published
from miad.report.outcomes import HEADINGS, Outcome
from miad.report.published import PaperTable
from miad.report.sun_table import rule_lines

ORDER = ("DFT", "eqV2", "CHGNet")  # of the calculators in the paper's tables
# Where runs are the same and need not be compared: what is done with the results, not how they come about.
_ASIDE = ("dft", "vasp", "metrics", "report")


def write(paper: PaperTable, outcomes: list[Outcome], has_published: bool, folder: Path) -> None:
    """Write one table as CSV and Markdown, of all runs, the main run first."""
    name = f"table_{paper.number}"
    ours = [one for one in outcomes if belongs(paper, one, outcomes[0])]
    lines = lines_of(paper, ours, has_published)
    columns = columns_of(paper, lines)
    write_csv(folder / f"{name}.csv", columns, lines, digits=4)
    rules = {f"{one.run.name}, {one.record['calculator']}": one.not_sent for one in ours}
    write_text(folder / f"{name}.md", markdown(paper, columns, lines, {k: v for k, v in rules.items() if v}))


def flat(sections: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as {section.key: value}."""
    found: dict[str, Any] = {}
    for key, value in sections.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


def varied(run: Run, main: Run) -> set[str]:
    """The settings in which a run differs from the main one."""
    ours, theirs = (
        flat({name: value for name, value in one.sections.items() if name not in _ASIDE}) for one in (run, main)
    )
    return {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}


def belongs(paper: PaperTable, one: Outcome, main: Outcome) -> bool:
    """Whether a run has a row in a table; in an ablation if it varies what the table varies, and nothing else."""
    if (one.kind == DFT) != (paper.number == 1):  # the others are of machine-learned potentials
        return False
    settings, needed = flat(one.run.sections), set(paper.settings)
    is_set = all(settings.get(key) is not None for key in needed)
    return not needed or (is_set and varied(one.run, main.run) <= needed)


def lines_of(paper: PaperTable, outcomes: Iterable[Outcome], has_published: bool) -> Rows:
    """A line of each run, then of each published model, with a column for each calculator and rate."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for one in outcomes:
        settings = flat(one.run.sections)
        label = {"model": one.run.name, "kind": "measured", "hull": one.record["hull"]}
        line = lines.setdefault(("measured", one.run.name), label | {key: settings[key] for key in paper.settings})
        for rate in paper.rates:
            line |= rate_cells(f"{one.kind}: {rate}", one.rate(rate))
    for row in paper.rows if has_published else ():
        label = {"model": row.model, "kind": "published", "hull": published.HULL}
        line = lines.setdefault(("published", row.model), label | row.settings)
        line |= {f"{row.calculator}: {rate}": value for rate, value in row.rates.items()}
    return list(lines.values())


def headings(paper: PaperTable, columns: Iterable[str]) -> dict[str, str]:
    """Heading of each column of the CSV that holds a rate."""
    named = ((column, column.rpartition(": ")) for column in columns)
    return {column: f"{kind}: {HEADINGS[rate]} (%)" for column, (kind, _, rate) in named if rate in paper.rates}


def columns_of(paper: PaperTable, lines: Rows) -> list[str]:
    """Columns of the CSV: model, what is varied, then value and interval of each calculator's rates."""
    first = paper.rates[0]
    found = [key.removesuffix(f": {first}") for line in lines for key in line if key.endswith(f": {first}")]
    kinds = [name for name in ORDER if name in found] + [name for name in dict.fromkeys(found) if name not in ORDER]
    rates = [column for kind in kinds for rate in paper.rates for column in rate_columns(f"{kind}: {rate}")]
    return ["model", "kind", *paper.settings, *rates, "hull"]


def markdown(paper: PaperTable, columns: list[str], lines: Rows, rules: dict[str, str]) -> str:
    """A table of the paper for reading; `rules` say of rows of DFT how samples count that were not sent."""
    rates = headings(paper, columns)
    rows = [
        [f"{line['model']} ({line['kind']})", *(interval(rate_of(line, name)) for name in rates), line["hull"]]
        for line in lines
    ]
    note = ["", paper.note] if paper.note else []
    text = [f"# {paper.title}", "", "Measured rates have 95 % Wilson intervals in brackets.", *note, ""]
    return "\n".join([*text, markdown_table(["model", *rates.values(), "hull"], rows), *rule_lines(rules)]) + "\n"
