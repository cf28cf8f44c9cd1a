"""The table of the older metrics, one row a run, beside the published rows of the paper's Table 6."""

import json
from pathlib import Path
from typing import Any

from miad.core.errors import MiadError
from miad.core.files import write_text
from miad.core.statistics import Rate
from miad.core.tabular import interval, markdown_table, rate_cells, rate_columns, rate_of, write_csv

RATES = ("structural_validity", "compositional_validity", "validity", "coverage_recall", "coverage_precision")
DISTANCES = ("d_rho", "d_elem")
DRAWS = ("cdvae", "as_paper")
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
    "seed",
    "source",
)
# Table 6 of the paper: data set, method, structural and compositional validity, recall and precision (percent), d_ρ
# (g/cm³) and d_elem; None where it prints NA.
PUBLISHED = (
    ("perov_5", "DiffCSP", 100.00, 98.85, 99.74, 98.27, 0.111, 0.013),
    ("perov_5", "CrysBFN", 100.00, 98.86, 99.52, 98.63, 0.073, 0.010),
    ("perov_5", "TGDMat", 100.00, 98.63, 99.83, 99.52, 0.050, 0.009),
    ("perov_5", "MiAD", 94.82, 97.91, 98.07, 92.82, 0.089, 0.075),
    ("carbon_24", "DiffCSP", 100.00, None, 99.90, 97.27, 0.081, None),
    ("carbon_24", "CrysBFN", 100.00, None, 99.90, 99.12, 0.061, None),
    ("carbon_24", "TGDMat", 100.00, None, 99.99, 92.43, 0.043, None),
    ("carbon_24", "Uni-3DAR", 99.99, None, 100.00, 98.16, 0.066, None),
    ("carbon_24", "MiAD", 99.85, None, 99.51, 99.46, 0.061, None),
    ("mp_20", "DiffCSP", 100.00, 83.25, 99.71, 99.76, 0.350, 0.340),
    ("mp_20", "UniMat", 97.20, 89.40, 99.80, 99.70, 0.088, 0.056),
    ("mp_20", "FlowMM", 96.85, 83.19, 99.49, 99.58, 0.239, 0.083),
    ("mp_20", "FlowLLM", 99.81, 89.05, 99.06, 99.68, 0.660, 0.090),
    ("mp_20", "SymmCD", 90.34, 85.81, 99.58, 97.76, 0.230, 0.400),
    ("mp_20", "WyFormer+DiffCSP++", 99.80, 81.40, 99.51, 95.81, 0.360, 0.079),
    ("mp_20", "SymmBFN", 94.27, 83.93, 99.73, 99.00, 0.083, 0.095),
    ("mp_20", "CrysBFN", 100.00, 87.51, 99.09, 99.79, 0.207, 0.163),
    ("mp_20", "TGDMat", 100.00, 92.97, 99.89, 99.95, 0.338, 0.289),
    ("mp_20", "Uni-3DAR", 99.89, 90.31, 99.62, 99.83, 0.477, 0.069),
    ("mp_20", "MiAD", 99.25, 84.21, 99.35, 99.80, 0.233, 0.027),
    ("mp_20", "MP-20 Train", 100.00, 90.65, 99.81, 99.79, 0.133, 0.025),
)


def run(*, metrics: list[Path], table: Path, readable: Path) -> None:
    """Write the metrics of several runs as one table, with the published rows of the same data sets below.

    Args:
        metrics: files of `miad metrics`
        table: CSV to write
        readable: Markdown to write

    Raises:
        MiadError: a file is no result of `miad metrics`.
    """
    records = [_read(path) for path in metrics]
    lines = [measured_row(record) for record in records]
    wanted = {record["cutoffs"] for record in records}
    lines += [published_row(*figures) for figures in PUBLISHED if figures[0] in wanted]
    write_csv(table, COLUMNS, lines)
    write_text(readable, markdown(lines))


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        measured_row(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MiadError(
            f"{path} is no result of `miad metrics` ({error!r}). Delete it and run metrics again."
        ) from error
    return record


def measured_row(record: dict[str, Any]) -> dict[str, Any]:
    """A row of the table from a file of `miad metrics`."""
    row = {key: record[key] for key in ("run", "dataset", "cutoffs", "scaler", "seed")}
    row |= {"kind": "measured", "samples": record["rates"]["validity"]["of"]}
    for rate in RATES:
        share = record["rates"][rate]
        row |= rate_cells(f"{rate}_percent", Rate(share["value"], share["low"], share["high"]))
    for draw in DRAWS:
        row |= {f"{distance}_{draw}": record["distances"][draw][distance] for distance in DISTANCES}
    return row


def published_row(dataset: str, method: str, *figures: float | None) -> dict[str, Any]:
    """A published row in the columns of the table; it has no joint validity and no intervals."""
    names = [f"{rate}_percent" for rate in RATES if rate != "validity"] + [f"{one}_as_paper" for one in DISTANCES]
    row = {"run": method, "kind": "published", "dataset": dataset, "cutoffs": dataset, "source": "Table 6"}
    return row | dict(zip(names, figures, strict=True))


def markdown(lines: list[dict[str, Any]]) -> str:
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
        "Shares of all samples (recall: of all test crystals) with 95 % Wilson intervals. Distances between as many\n"
        "valid samples as the test split has crystals, and the test split.\n\n"
        f"{markdown_table(heads, rows)}\n"
    )
