"""Figures come from saved tables, and follow them alone."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import ase.io
import jinja2
import pytest

from miad.core.errors import MiadError
from miad.core.tabular import read_csv, write_csv
from miad.report.figures import step as figures
from miad.report.figures.step import FIGURES
from miad.report.page.step import figure
from tests.builders import finished
from tests.builders.finished import NUM_SALTS, samples


def test_every_figure_has_its_table_and_two_formats(results):
    for name in FIGURES:
        lines = read_csv(results / "figures" / f"{name}.csv")
        for suffix in (".svg", ".png", ".txt"):
            assert (results / "figures" / f"{name}{suffix}").is_file() == bool(lines)
        assert not lines or tuple(lines[0]) == FIGURES[name].columns_of(lines)
        assert not lines or set(FIGURES[name].columns) <= set(lines[0])
    assert read_csv(results / "figures" / "epochs.csv") == []  # not asked for


def test_snakemakes_report_takes_the_caption_of_each_figure(results):
    text = (finished.ROOT / "workflow" / "report" / "figure.rst").read_text(encoding="utf-8")
    text = jinja2.Template(text).render(snakemake=SimpleNamespace(wildcards=SimpleNamespace(name="num_atoms")))
    [path] = re.findall(r"^\.\. include:: (\S+)$", text, re.MULTILINE)
    caption = (results / Path(path).relative_to("results")).read_text(encoding="utf-8")
    assert caption == f"{FIGURES['num_atoms'].title}: {FIGURES['num_atoms'].caption}\n"


def test_a_figure_is_one_file_with_a_place_of_its_own():
    files = {path.stem for path in Path(figures.__file__).parent.glob("*.py")}
    assert set(FIGURES) == files - {"__init__", "base", "step", "style"}
    places = [plot.place for plot in FIGURES.values()]
    assert places == sorted(set(places))
    assert list(FIGURES)[:2] == ["components", "epochs"]


def test_a_file_dropped_into_the_folder_is_drawn(results, tmp_path, monkeypatch):
    (tmp_path / "elements.py").write_text(
        "from miad.report.figures.base import Plot, sun_counts\n"
        "from miad.report.figures.style import grouped_bars\n\n"
        "PLOT = Plot(\n"
        "    place=45,\n"
        "    title='Elements',\n"
        "    caption='Elements of the S.U.N. crystals.',\n"
        "    columns=('run', 'calculator', 'attempted', 'system', 'sun'),\n"
        "    gather=lambda found: sun_counts(\n"
        "        found, lambda rows: [{'system': row['chemical_system'], 'sun': 1} for row in rows]\n"
        "    ),\n"
        "    draw=lambda figure, rows: grouped_bars(figure, rows, 'system', [rows[0]['system']], 'system'),\n"
        ")\n"
    )
    monkeypatch.setattr(figures.figures, "__path__", [*figures.figures.__path__, str(tmp_path)])
    found = figures._register()
    assert list(found)[3:6] == ["num_atoms", "elements", "space_groups"]
    monkeypatch.setitem(FIGURES, "elements", found["elements"])
    figures.run(out=tmp_path / "figures", results=results, runs=json.dumps(finished.config()))
    assert [row["run"] for row in read_csv(tmp_path / "figures" / "elements.csv")].count("miad") == NUM_SALTS
    caption = (tmp_path / "figures" / "elements.txt").read_text()
    assert caption == "Elements: Elements of the S.U.N. crystals.\n"
    shown = figure("elements", tmp_path / "figures")
    assert shown is not None and shown["title"] == "Elements" and "<svg" in shown["svg"]


def test_a_figure_follows_its_table_and_nothing_else(results, tmp_path):
    folder = tmp_path / "figures"
    shutil.copytree(results / "figures", folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    figures.run(out=folder, redraw=True, results=tmp_path / "nowhere", runs="nowhere.yaml")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before  # the same table, the same bytes
    path = folder / "num_atoms.csv"
    path.write_text(path.read_text().replace(f",2,{NUM_SALTS}", ",2,7"))
    figures.draw(folder, ["num_atoms"])
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {
        f"num_atoms.{end}" for end in ("csv", "svg", "png")
    }


def test_a_table_that_lacks_a_column_is_named(tmp_path):
    (tmp_path / "num_atoms.csv").write_text("run,calculator,attempted,num_atoms\nmiad,x,9,2\n")
    with pytest.raises(MiadError, match=r"num_atoms\.csv has no column sun"):
        figures.draw(tmp_path, ["num_atoms"])
    with pytest.raises(MiadError, match=r"epochs\.csv cannot be read"):
        figures.draw(tmp_path, ["epochs"])


def test_a_word_in_an_edited_table_is_named_with_its_file(results, tmp_path):
    table = tmp_path / "e_above_hull.csv"
    first, *_ = read_csv(results / "figures" / table.name)
    write_csv(table, list(first), [first | {"e_above_hull": "low"}])
    with pytest.raises(MiadError, match=r"e_above_hull.csv cannot be drawn .*low.* Mend the cell"):
        figures.draw(tmp_path, ["e_above_hull"])


def test_the_generation_is_that_of_the_most_stable_recorded_candidate(results):
    frames = ase.io.read(results / "figures" / "generation.extxyz", ":")
    assert [atoms.info["time"] for atoms in frames] == finished.TIMES
    assert [len(atoms) for atoms in frames] == [3, 4, 3, 2, 2]
    recorded = {one.crystal_id for one in samples("miad")[:4]}
    chosen = next(line for line in read_csv(results / "miad" / "candidates.csv") if line["crystal_id"] in recorded)
    assert {atoms.info["crystal_id"] for atoms in frames} == {chosen["crystal_id"]}
