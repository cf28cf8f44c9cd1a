"""Tables 1 to 5 in the layout of the paper: our runs first, then the published rows."""

from pathlib import Path
from typing import Any

from miad.config.layout import Run
from miad.core.files import write_text
from miad.dft.calculation import DFT, NO_ENERGY
from miad.report import published
from miad.report.compare import HEADINGS, Outcome, cell, csv_text, markdown_lines, spread
from miad.report.sun_table import rule_lines
from miad.sun.judge import RATES

# The columns of each table of the paper; Table 1 is of DFT energies, the others of machine-learned potentials.
LAYOUTS = {
    1: tuple(RATES),
    2: ("stable", "unique_novel_among_stable", "sun"),
    3: ("stable", "unique", "novel", "sun"),
    4: ("stable", "unique", "novel", "sun"),
    5: ("stable", "unique", "novel", "sun"),
}
ORDER = ("DFT", "eqV2", "CHGNet")  # of the calculators in the paper's tables
TITLES = {
    1: "Table 1: S.U.N. by DFT",
    2: "Table 2: S.U.N. by machine-learned potentials",
    3: "Table 3: number of atoms after infusion",
    4: "Table 4: weight of the species' loss",
    5: "Table 5: placement of mirage atoms and mask of the loss",
}
NOTES = {3: "The paper rescales κ₃ with the number of atoms so that the parts of the loss keep their shares."}
# Where runs are the same and need not be compared: what is done with the results, not how they come about.
_ASIDE = ("dft", "vasp", "metrics", "report")


def write(number: int, outcomes: list[Outcome], has_published: bool, folder: Path) -> None:
    """Write one table as CSV and Markdown.

    Args:
        number: of the table in the paper.
        outcomes: all runs, the main run first.
        has_published: whether the published rows follow.
        folder: where to.
    """
    lines = table_lines(number, outcomes, has_published)
    columns = table_columns(number, lines)
    write_text(folder / f"table_{number}.csv", csv_text(columns, lines))
    write_text(folder / f"table_{number}.md", table_markdown(number, columns, lines))


def kind_of(calculator: str) -> str:
    """Which columns of the paper's tables a calculator belongs to: CHGNet, eqV2 or DFT; else its own name."""
    known = {"chgnet": "CHGNet", "eqv2": "eqV2", NO_ENERGY.lower(): DFT}
    text = calculator.lower().replace("-", "")
    return next((name for key, name in known.items() if key in text), calculator)


def flat(sections: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as {section.key: value}."""
    found: dict[str, Any] = {}
    for key, value in sections.items():
        inner = flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
        found |= inner
    return found


def varied(run: Run, main: Run) -> set[str]:
    """The settings in which a run differs from the main one."""
    ours, theirs = (
        flat({name: value for name, value in one.sections.items() if name not in _ASIDE}) for one in (run, main)
    )
    return {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}


def table_lines(number: int, outcomes: list[Outcome], has_published: bool) -> list[dict[str, Any]]:
    """The lines of one table of the paper: ours, then the published ones, one column per calculator and rate.

    A run belongs to Tables 3, 4 or 5 if it differs from the main run in what the table varies, and in nothing else.
    """
    lines: dict[str, dict[str, Any]] = {}
    for one in outcomes:
        if not _belongs(number, one, outcomes[0]):
            continue
        line = lines.setdefault(
            one.run.name,
            {"model": one.run.name, "kind": "measured", **_varied(number, one.run), "hull": one.record["hull"]},
        )
        for rate in LAYOUTS[number]:
            line |= spread(f"{kind_of(one.calculator)}: {rate}", one.rate(rate))
        if "not_sent" in one.record:
            line["rule"] = {f"{one.run.name}, {one.calculator}": one.record["not_sent"]}
    return [*lines.values(), *(_published(number) if has_published else [])]


def _belongs(number: int, one: Outcome, main: Outcome) -> bool:
    if number <= 2:
        return (kind_of(one.calculator) == "DFT") == (number == 1)
    if kind_of(one.calculator) == "DFT":
        return False
    keys = set(published.ABLATIONS[number][0].settings)
    return varied(one.run, main.run) <= keys and all(flat(one.run.sections).get(key) is not None for key in keys)


def _varied(number: int, run: Run) -> dict[str, Any]:
    if number <= 2:
        return {}
    return {key: flat(run.sections)[key] for key in published.ABLATIONS[number][0].settings}


def _published(number: int) -> list[dict[str, Any]]:
    if number <= 2:
        lines: dict[str, dict[str, Any]] = {}
        for row in published.ROWS:
            if row.source == f"Table {number}":
                line = lines.setdefault(row.model, {"model": row.model, "kind": "published", "hull": published.HULL})
                line |= {f"{row.calculator}: {rate}": getattr(row, rate) for rate in LAYOUTS[number]}
        return list(lines.values())
    return [
        {
            "model": row.label,
            "kind": "published",
            "hull": published.HULL,
            **row.settings,
            **{f"eqV2: {rate}": value for rate, value in zip(LAYOUTS[number], row.eqv2, strict=True)},
            **{f"CHGNet: {rate}": value for rate, value in zip(LAYOUTS[number], row.chgnet, strict=True)},
        }
        for row in published.ABLATIONS[number]
    ]


def table_columns(number: int, lines: list[dict[str, Any]]) -> list[str]:
    """Columns of a table's CSV: model, what is varied, then value and interval of each calculator's rates."""
    named = {key: None for line in lines for key in line}
    settings = [key for key in named if "." in key]
    found = {key.rpartition(": ")[0]: None for key in named if ": " in key}
    groups = [name for name in ORDER if name in found] + [name for name in found if name not in ORDER]
    rates = [f"{group}: {rate}" for group in groups for rate in LAYOUTS[number]]
    return [
        "model",
        "kind",
        *settings,
        *(f"{rate}{bound}" for rate in rates for bound in ("", "_low", "_high")),
        "hull",
    ]


def table_markdown(number: int, columns: list[str], lines: list[dict[str, Any]]) -> str:
    """A table of the paper for reading."""
    rates = {name: name.rpartition(": ") for name in columns if name.rpartition(": ")[2] in LAYOUTS[number]}
    heads = [f"{group}: {HEADINGS[rate]}" for group, _, rate in rates.values()]
    rows = [
        [f"{line['model']} ({line['kind']})", *(cell(line, name) for name in rates), line["hull"]] for line in lines
    ]
    text = [f"# {TITLES[number]}", "", "Measured rates have 95 % Wilson intervals in brackets."]
    if number in NOTES:
        text += ["", NOTES[number]]
    text += ["", *markdown_lines(["model", *heads, "hull"], rows)]
    text += [note for line in lines for note in rule_lines(line.get("rule", {}))]
    return "\n".join(text) + "\n"
