"""The report as one HTML file that needs no network: tables, figures, candidates in 3D, provenance, warnings."""

import base64
import csv
import json
import logging
import re
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from miad.config.layout import Run, runs_of
from miad.core.errors import MiadError
from miad.core.files import write_text
from miad.core.provenance import versions
from miad.report.compare import HEADINGS as COMPARED
from miad.report.compare import Outcome, outcomes_of
from miad.report.figures.plots import INK
from miad.report.figures.step import FIGURES
from miad.report.figures.tables import COLUMNS, CRYSTAL_SYSTEMS, read_csv
from miad.report.page import data as page_data
from miad.report.page.caveats import caveats
from miad.report.sun_table import HEADINGS
from miad.report.tables import LAYOUTS, NOTES, TITLES

log = logging.getLogger("miad")

VIEWER = "chemiscope"  # the package whose viewer is written into the page
VIEWER_FILE = "chemiscope/sphinx/static/chemiscope.min.js"
MAX_ROWS = 80  # of a figure's table, for it to be shown in the page
MAX_EMBEDDED = 200_000  # bytes of a figure's table, for it to be part of the page
# Nothing is fetched, whatever a crystal is called. The viewer keeps its style sheets and a worker in blobs.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
        "font-src data:",
        "worker-src blob:",
        "connect-src data: blob:",
        "form-action 'none'",
        "base-uri 'none'",
    )
)


def run(*, results: Path, out: Path, runs: str = "config.yaml") -> None:
    """Write the report of all runs as one HTML file.

    Args:
        results: folder with the results of all runs, their tables and figures included
        out: HTML file to write, results/report.html
        runs: the runs as JSON, as the workflow gives them, or a config file

    Raises:
        MiadError: the config has errors, or a result is missing or damaged.
    """
    found, _ = runs_of(runs, results)
    try:
        text = render(found, results)
    except FileNotFoundError as error:
        raise MiadError(f"{error.filename} is missing. Make it with: snakemake {out}.") from error
    write_text(out, text)
    log.info("%s: %.1f MB", out, len(text.encode()) / 1e6)


def render(runs: list[Run], results: Path) -> str:
    """The whole page."""
    import jinja2
    from markupsafe import Markup

    settings = runs[0].sections["report"]
    outcomes = outcomes_of(runs)
    figures = [shown for name in FIGURES if (shown := figure(name, results / "figures"))]
    held = [(run, *page_data.candidates_of(run, settings["max_viewed"] // len(runs))) for run in runs]
    data = {
        "columns": list(page_data.SHOWN.items()),
        "candidates": [line for _, lines, _ in held for line in lines],
        "crystal_systems": [*CRYSTAL_SYSTEMS, "not found"],
        "elements": elements(),
        "generation": page_data.generation(results / "figures" / "generation.extxyz"),
    }
    named = [results / "sun_table.csv", *sorted((results / "tables").glob("*.csv"))]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(_asset("report.html.jinja"))
    return template.render(
        title=settings["title"],
        lead=lead(outcomes[0]),
        policy=POLICY,
        style=Markup(_asset("report.css")),  # noqa: S704  our own files
        script=Markup(_asset("report.js")),  # noqa: S704
        library=Markup(viewer_library()),  # noqa: S704
        json=Markup(embedded(data)),  # noqa: S704  escaped there
        data=data,
        caveats=caveats(outcomes),
        headings=HEADINGS,
        rates=rate_rows(results / "sun_table.csv"),
        compared=COMPARED,
        differences=difference_rows(results / "tables" / "runs.csv"),
        tables=[paper_table(number, results / "tables" / f"table_{number}.csv") for number in LAYOUTS],
        held=[text for run, lines, total in held if (text := _held(run, len(lines), total))],
        candidate_files=[str((run.own / "candidates.csv").relative_to(results)) for run in runs],
        figures=figures,
        not_drawn=[FIGURES[name].title for name in FIGURES if name not in {shown["name"] for shown in figures}],
        provenance=page_data.provenance(runs, outcomes),
        hashes=page_data.hashes(runs, results, named),
        written_by=f"miad {versions()['miad']}, commit {versions()['commit']}",
        viewer_version=metadata.version(VIEWER),
    )


def _asset(name: str) -> str:
    return (resources.files("miad.report.page") / name).read_text(encoding="utf-8")


def lead(one: Outcome) -> str:
    """The figure that people look for first, in a sentence."""
    rate, counts = one.rate("sun"), one.counts
    if rate.value is None:
        return f"{one.run.name}: no samples."
    return (
        f"{counts['sun']} of {counts['attempted']} samples of {one.run.name} are stable, unique and novel:"
        f" {rate.value:.1f} % (95 % interval {rate.low:.1f} to {rate.high:.1f} %)."
    )


def _held(run: Run, shown: int, total: int) -> str:
    return "" if shown == total else f"{run.name}: the {shown} most stable of {total} are shown here."


def elements() -> list[str]:
    """Symbols of all elements, so that `O` is not looked for in `Co`."""
    from pymatgen.core import Element

    return [Element.from_Z(number).symbol for number in range(1, 119)]


def embedded(data: dict[str, Any]) -> str:
    """JSON that is safe within a script element, whatever the crystals are called."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def viewer_library() -> str:
    """The viewer's program, as it may stand within a script element.

    Raises:
        MiadError: the package is not installed, or does not hold it.
    """
    try:
        path = Path(str(metadata.distribution(VIEWER).locate_file(VIEWER_FILE)))
        text = path.read_text(encoding="utf-8")
    except (metadata.PackageNotFoundError, OSError) as error:
        raise MiadError(
            f"the 3D viewer is missing ({error}). Install the pinned packages: pip install --no-deps -r"
            " envs/requirements.txt."
        ) from error
    return re.sub(r"<(?=/script|!--|script)", r"\\x3c", text, flags=re.IGNORECASE)


def rate_rows(path: Path) -> list[dict[str, Any]]:
    """The lines of the table of all runs, each rate as value and interval."""
    lines = _read(path)
    return [{**line, "cells": {rate: _cell(line, f"{rate}_percent") for rate in HEADINGS}} for line in lines]


def difference_rows(path: Path) -> list[dict[str, Any]]:
    """The differences of all runs but the first."""
    return [
        {**line, "cells": {rate: _cell(line, f"{rate}_difference", "{:+.1f}") for rate in COMPARED}}
        for line in _read(path)
        if line["compared_to"]
    ]


def paper_table(number: int, path: Path) -> dict[str, Any]:
    """A table of the paper as it stands in the page: headings, and the rows with value and interval."""
    lines = _read(path)
    rates = [name for name in (lines[0] if lines else ()) if name.rpartition(": ")[2] in LAYOUTS[number]]
    return {
        "title": TITLES[number],
        "note": NOTES.get(number, ""),
        "file": f"tables/{path.name}",
        "heads": [f"{group}: {COMPARED[rate]}" for group, _, rate in (name.rpartition(": ") for name in rates)],
        "rows": [{**line, "cells": [_cell(line, name) for name in rates]} for line in lines],
    }


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def _cell(line: dict[str, str], name: str, form: str = "{:.1f}") -> tuple[str, str]:
    value, low, high = (line[f"{name}{bound}"] for bound in ("", "_low", "_high"))
    if not value:
        return "–", ""
    interval = f"[{form.format(float(low))}, {form.format(float(high))}]" if low else ""
    return form.format(float(value)), interval


def figure(name: str, folder: Path) -> dict[str, Any] | None:
    """A figure as it stands in the page, or None if there was nothing to draw."""
    picture, table = folder / f"{name}.svg", folder / f"{name}.csv"
    if not picture.is_file():
        return None
    lines, content = read_csv(table), table.read_bytes()
    url = f"data:text/csv;base64,{base64.b64encode(content).decode()}" if len(content) <= MAX_EMBEDDED else ""
    return {
        "name": name,
        "title": FIGURES[name].title,
        "caption": FIGURES[name].caption,
        "svg": inlined(picture.read_text(encoding="utf-8"), name),
        "url": url,
        "columns": COLUMNS[name],
        "rows": lines if len(lines) <= MAX_ROWS else [],
    }


def inlined(svg: str, name: str) -> Any:
    """An SVG as part of a page: without its head, ids of its own, and in the colour of the page's text.

    Labels in it were written by matplotlib, which escapes them.
    """
    from markupsafe import Markup

    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    return Markup(body.replace(INK, "currentColor"))  # noqa: S704
