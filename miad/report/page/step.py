"""The report as one HTML file that needs no network: tables, figures, candidates in 3D, provenance, warnings."""

import base64
import logging
import re
from importlib import resources
from pathlib import Path
from typing import Any

from miad.config.layout import Run, runs_of
from miad.core.errors import MiadError
from miad.core.files import write_text
from miad.core.json_text import COMPACT, as_json
from miad.core.provenance import versions
from miad.core.tabular import Rows, interval_parts, rate_of, read_csv
from miad.report import outcomes, sun_table, tables
from miad.report.figures.space_groups import CRYSTAL_SYSTEMS
from miad.report.figures.step import FIGURES
from miad.report.figures.style import INK
from miad.report.outcomes import Outcome, outcomes_of
from miad.report.page import data as page_data
from miad.report.page import viewer
from miad.report.page.caveats import caveats
from miad.report.published import TABLES, PaperTable

log = logging.getLogger("miad")

MAX_ROWS = 80  # of a figure's table, for it to be shown in the page
MAX_EMBEDDED = 200_000  # bytes of a figure's table, for it to be part of the page
# Parts of the figures that matplotlib writes. What else a picture could hold may act: scripts, links, event handlers.
SVG_PARTS = {"svg", "defs", "style", "g", "path", "use", "clippath", "rect", "text", "tspan", "image"}
ACTS = re.compile(r"""[\s/"']on\w+\s*=|href\s*=(?!"#|"data:image/png;)""", re.IGNORECASE)


def run(*, results: Path, out: Path, runs: str = "config.yaml") -> None:
    """Write the report of all runs as one HTML file.

    Args:
        results: folder with the results of all runs, their tables and figures included
        out: HTML file to write, results/report.html
        runs: the runs, as JSON or as a config file
    """
    chosen, _ = runs_of(runs, results)
    try:
        text = render(chosen, results)
    except FileNotFoundError as error:
        raise MiadError(f"{error.filename} is missing. Make it with: snakemake {out}.") from error
    write_text(out, text)
    log.info("%s: %.1f MB", out, len(text.encode()) / 1e6)


def render(runs: list[Run], results: Path) -> str:
    """The whole page."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["short"] = outcomes.short
    template = environment.from_string(_asset("report.html.jinja"))
    found = outcomes_of(runs)
    return template.render(
        title=runs[0].sections["report"]["title"],
        lead=lead(found[0]),
        caveats=caveats(found),
        provenance=page_data.provenance(runs, found),
        # Our own files, and the viewer's.
        style=Markup(_asset("report.css")),  # noqa: S704
        scripts=[Markup(_asset(name)) for name in ("viewer.js", "report.js")],  # noqa: S704
        library=Markup(viewer.library()),  # noqa: S704
        viewer_version=viewer.version(),
        written_by=f"miad {versions()['miad']}, commit {versions()['commit']}",
        **_tables(results),
        **_figures(results / "figures"),
        **_candidates(runs, results),
        hashes=page_data.hashes(
            runs, results, [results / "sun_table.csv", *sorted((results / "tables").glob("*.csv"))]
        ),
    )


def _asset(name: str) -> str:
    return (resources.files("miad.report.page") / name).read_text(encoding="utf-8")


def lead(one: Outcome) -> str:
    """The S.U.N. rate of a run in a sentence."""
    rate, counts = one.rate("sun"), one.counts
    if rate.value is None:
        return f"{one.run.name}: no samples."
    return (
        f"{counts['sun']} of {counts['attempted']} samples of {one.run.name} are stable, unique and novel:"
        f" {rate.value:.1f} % (95 % interval {rate.low:.1f} to {rate.high:.1f} %)."
    )


def _candidates(runs: list[Run], results: Path) -> dict[str, Any]:
    """Candidates and a generation: what the viewer and the filters of the page work on."""
    from ase.data import chemical_symbols
    from markupsafe import Markup

    limit = runs[0].sections["report"]["max_viewed"] // len(runs)
    held = [(run.name, *page_data.candidates_of(run, limit)) for run in runs]
    data = {
        "columns": list(page_data.SHOWN.items()),
        "candidates": [row for _, rows, _ in held for row in rows],
        "crystal_systems": [*CRYSTAL_SYSTEMS, "not found"],
        "elements": chemical_symbols[1:],  # so that `O` is not looked for in `Co`
        "generation": page_data.generation(results / "figures" / "generation.extxyz"),
    }
    return {
        "data": data,
        "json": Markup(embedded(data)),  # noqa: S704  escaped there
        "held": [
            f"{name}: the {len(rows)} most stable of {total} are shown here."
            for name, rows, total in held
            if len(rows) < total
        ],
        "candidate_files": [str(run.file("candidates", "candidates").relative_to(results)) for run in runs],
    }


def embedded(data: dict[str, Any]) -> str:
    """JSON that is safe within a script element, whatever the crystals are called."""
    text = as_json(data, **COMPACT)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _tables(results: Path) -> dict[str, Any]:
    """The table of all runs, the differences of all runs but the first, and the tables of the paper."""
    compared = [row for row in read_csv(results / "tables" / "runs.csv") if row["compared_to"]]
    return {
        "headings": list(sun_table.HEADINGS.values()),
        "rates": _with_cells(read_csv(results / "sun_table.csv"), [f"{rate}_percent" for rate in sun_table.HEADINGS]),
        "compared": [f"{heading} (%)" for heading in outcomes.HEADINGS.values()],
        "differences": _with_cells(compared, [f"{rate}_difference" for rate in outcomes.HEADINGS], "+.1f"),
        "tables": [paper_table(paper, results / "tables" / f"table_{paper.number}.csv") for paper in TABLES],
    }


def _with_cells(rows: Rows, names: list[str], form: str = ".1f") -> Rows:
    """Rows with their `cells`: value and interval of each of these rates."""
    return [{**row, "cells": [interval_parts(rate_of(row, name), form) for name in names]} for row in rows]


def paper_table(paper: PaperTable, path: Path) -> dict[str, Any]:
    """A table of the paper as it stands in the page: headings, and the rows with value and interval."""
    rows = read_csv(path)
    rates = tables.headings(paper, rows[0] if rows else ())
    return {
        "title": paper.title,
        "note": paper.note,
        "file": f"tables/{path.name}",
        "heads": list(rates.values()),
        "rows": _with_cells(rows, list(rates)),
    }


def _figures(folder: Path) -> dict[str, Any]:
    """Figures that were drawn, and the titles of the others."""
    drawn = {name: shown for name in FIGURES if (shown := figure(name, folder))}
    return {
        "figures": list(drawn.values()),
        "not_drawn": [plot.title for name, plot in FIGURES.items() if name not in drawn],
    }


def figure(name: str, folder: Path) -> dict[str, Any] | None:
    """A figure as it stands in the page, or None if there was nothing to draw."""
    picture, table = folder / f"{name}.svg", folder / f"{name}.csv"
    if not picture.is_file():
        return None
    rows, content = read_csv(table), table.read_bytes()
    url = f"data:text/csv;base64,{base64.b64encode(content).decode()}" if len(content) <= MAX_EMBEDDED else ""
    return {
        "name": name,
        "title": FIGURES[name].title,
        "caption": FIGURES[name].caption,
        "svg": inlined(picture.read_text(encoding="utf-8"), name),
        "url": url,
        "columns": FIGURES[name].columns_of(rows),
        "rows": rows if len(rows) <= MAX_ROWS else [],
    }


def inlined(svg: str, name: str) -> Any:
    """An SVG as part of a page: without its head, ids of its own, and in the colour of the page's text.

    Labels in it were written by matplotlib, which escapes them.

    Raises:
        MiadError: it holds what matplotlib does not write, and what a browser may run.
    """
    from markupsafe import Markup

    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    odd = {part.lower() for part in re.findall(r"</?([a-zA-Z][^\s/>]*)", body)} - SVG_PARTS
    if odd or ACTS.search(body):
        raise MiadError(
            f"figures/{name}.svg is no picture of miad: it could act in the page. Delete it, draw it again."
        )
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    return Markup(body.replace(INK, "currentColor"))  # noqa: S704
