"""The table of the older metrics, one row a run, beside the published rows of the paper's Table 6."""

import json
from pathlib import Path
from typing import Any

from miad.core.errors import MiadError
from miad.core.files import write_text
from miad.core.statistics import Rate
from miad.core.tabular import Rows, interval, markdown_table, rate_cells, rate_columns, rate_of, read_csv, write_csv

RATES = (
    "structural_validity",
    "structural_validity_self_images",
    "compositional_validity",
    "validity",
    "coverage_recall",
    "coverage_precision",
)
DISTANCES = ("d_rho", "d_elem")
DRAWS = ("cdvae", "as_paper")
VERSIONS = ("smact", "matminer", "pymatgen-core")  # of what validity and fingerprints depend on
# The one list of the table's columns.
COLUMNS = (
    "run",
    "kind",  # measured or published
    "dataset",
    "samples",
    *(column for rate in RATES for column in rate_columns(f"{rate}_percent")),
    *(f"{distance}_{draw}" for draw in DRAWS for distance in DISTANCES),
    "cutoffs",
    "scaler",
    "self_images",
    "seed",
    "source",
    *VERSIONS,
)
# Table 6 of the paper, in columns of the table; an empty cell where it prints NA. It has no joint validity.
PUBLISHED = Path(__file__).with_name("published.csv")


def run(*, metrics: list[Path], table: Path, readable: Path) -> None:
    """Write the metrics of several runs as one table, with the published rows of the same data sets below.

    Args:
        metrics: files of `miad metrics`
        table: CSV to write
        readable: Markdown to write

    Raises:
        MiadError: a file is no result of `miad metrics`.
    """
    lines = [measured_row(path) for path in metrics]
    wanted = {line["cutoffs"] for line in lines}
    lines += [line for line in published_rows() if line["dataset"] in wanted]
    write_csv(table, COLUMNS, lines)
    write_text(readable, markdown(lines))


def measured_row(path: Path) -> dict[str, Any]:
    """A row of the table from a file of `miad metrics`."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        row = {key: record[key] for key in ("run", "dataset", "cutoffs", "scaler", "self_images", "seed")}
        row |= {"kind": "measured", "samples": record["rates"]["validity"]["of"]}
        row |= {program: record["versions"][program] for program in VERSIONS}
        for rate in RATES:
            share = record["rates"][rate]
            row |= rate_cells(f"{rate}_percent", Rate(share["value"], share["low"], share["high"]))
        for draw in DRAWS:
            row |= {f"{distance}_{draw}": record["distances"][draw][distance] for distance in DISTANCES}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MiadError(
            f"{path} is no result of `miad metrics` ({error!r}). Delete it and run metrics again."
        ) from error
    return row


def published_rows() -> Rows:
    """The published rows in the columns of the table."""
    found = []
    for cells in read_csv(PUBLISHED):
        dataset, method = cells.pop("dataset"), cells.pop("run")
        figures = {name: None if cell is None else float(cell) for name, cell in cells.items()}
        about = {"run": method, "kind": "published", "dataset": dataset, "cutoffs": dataset, "source": "Table 6"}
        found.append(about | figures)
    return found


def markdown(lines: Rows) -> str:
    """The table for reading."""
    heads = ["run", "data set", "samples", *(f"{rate.replace('_', ' ')} %" for rate in RATES)]
    heads += ["d_ρ, g/cm³", "d_elem"]
    rows = []
    for line in lines:
        name = line["run"] if line["kind"] == "measured" else f"{line['run']} (published, {line['source']})"
        shares = [interval(rate_of(line, f"{rate}_percent"), ".2f") for rate in RATES]
        distances = [interval(Rate(line.get(f"{one}_as_paper"), None, None), ".3f") for one in DISTANCES]
        rows.append([name, line["dataset"], line.get("samples"), *shares, *distances])
    return (
        "# Older metrics (appendix E, Table 6)\n\n"
        "Shares of all samples (recall: of all test crystals) with 95 % Wilson intervals. Structural validity with\n"
        "self images counts an atom and its own periodic images as a pair; the other one as metrics.csv says\n"
        "(self_images). Distances between as many valid samples as the test split has crystals, and the test split.\n\n"
        f"{markdown_table(heads, rows)}\n"
    )
