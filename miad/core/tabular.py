"""Tables for people and programs: CSV written and read back, Markdown, and a rate with its interval as a cell."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from miad.core.errors import MiadError
from miad.core.files import write_text
from miad.core.statistics import Rate

Rows = list[dict[str, Any]]
UNKNOWN = "–"  # for reading; in a CSV an unknown value is an empty cell
# Text that a spreadsheet would take as a formula, and such text with the apostrophes of `_plain`; the last four are the
# wide forms of the first.
_FORMULA = re.compile("('*)[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def write_csv(
    path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, Any]], *, digits: int | None = None
) -> None:
    """Write rows {column: value} as CSV, in UTF-8 and with a header; what is missing or None is an empty cell.

    Text that a spreadsheet would take as a formula has an apostrophe before it, which `read_csv` takes off again.

    Args:
        columns: names, in the order of the file.
        digits: after the point of floats; None writes them such that they are read back as the same number.

    Raises:
        ValueError: a row has a key that is no column.
    """
    lines = _Lines()
    writer = csv.DictWriter(lines, list(columns), lineterminator="\r\n")
    writer.writeheader()
    form = "" if digits is None else f".{digits}f"
    for row in rows:
        cells = {name: f"{cell:{form}}" if isinstance(cell, float) else _plain(cell) for name, cell in row.items()}
        writer.writerow(cells)
    write_text(path, "".join(lines))


class _Lines(list[str]):
    """Lines that end as on Unix; csv quotes a carriage return only where it is a part of its own line end."""

    def write(self, line: str) -> None:
        """Add a line of csv."""
        self.append(line.removesuffix("\r\n") + "\n")


def _plain(cell: Any) -> Any:
    """A cell that is no formula; numbers keep their sign."""
    return "'" + cell if isinstance(cell, str) and _FORMULA.match(cell) and not _is_number(cell) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()


def as_written(cell: str | None) -> str | None:
    """The text of a cell before `write_csv` put an apostrophe before it; None is an empty cell."""
    return (cell[1:] if (found := _FORMULA.match(cell)) and found[1] else cell) if cell else None


def read_csv(path: Path, columns: Iterable[str] = ()) -> Rows:
    """Rows of a CSV file that `write_csv` wrote, as text; an empty cell is None.

    Raises:
        OSError: the file is missing.
        MiadError: it is no CSV, lacks one of these columns, or a row has more or fewer cells than the header.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as text:
            table = csv.DictReader(text)
            rows = list(table)
    except (csv.Error, UnicodeDecodeError) as error:
        raise MiadError(f"{path} is no CSV ({error}). Delete it and run the step that wrote it again.") from error
    if absent := [name for name in columns if name not in (table.fieldnames or ())]:
        raise MiadError(f"{path} has no column {absent[0]}. Delete it and run the step that wrote it again.")
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise MiadError(
                f"{path}, row {number} has not as many cells as the header. Delete the file and run the step that wrote"
                " it again."
            )
    return [{name: as_written(value) for name, value in row.items()} for row in rows]


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table without a line end behind it; None is an empty cell."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)


def _escaped(cell: Any) -> str:
    return "" if cell is None else str(cell).replace("|", "\\|")


def interval(rate: Rate, form: str = ".1f") -> str:
    """A rate with its interval, `12.9 [11.2, 14.8]`; the value alone where no interval is known."""
    return " ".join(part for part in interval_parts(rate, form) if part)


def interval_parts(rate: Rate, form: str = ".1f") -> tuple[str, str]:
    """The same as two texts, value and bounds: `12.9` and `[11.2, 14.8]`, or an empty text."""
    if rate.value is None:
        return UNKNOWN, ""
    bounds = "" if rate.low is None or rate.high is None else f"[{rate.low:{form}}, {rate.high:{form}}]"
    return f"{rate.value:{form}}", bounds


def rate_columns(name: str) -> tuple[str, str, str]:
    """Columns that hold a rate: its value and the bounds of its interval."""
    return name, f"{name}_low", f"{name}_high"


def rate_cells(name: str, rate: Rate) -> dict[str, float | None]:
    """A rate in its columns."""
    return dict(zip(rate_columns(name), (rate.value, rate.low, rate.high), strict=True))


def rate_of(row: Mapping[str, Any], name: str) -> Rate:
    """The rate that a row holds, as numbers or as text; unknown where it has no such columns."""
    cells = [row.get(column) for column in rate_columns(name)]
    return Rate(*(None if cell is None else float(cell) for cell in cells))
