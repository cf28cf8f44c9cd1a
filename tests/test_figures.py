"""Figures come from saved tables, and the tables from the results."""

import json
import re
import shutil
from pathlib import Path

import ase.io
import finished
import pytest
from finished import NUM_SALTS, samples, write_run

from miad import figure_tables, figures
from miad.errors import MiadError
from miad.figure_tables import COLUMNS, FAMILIES, family, read_csv
from miad.figures import FIGURES
from miad.judge import REASONS


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_run(folder, "miad", samples("miad"))
    write_run(folder, "small", samples("small")[5:])
    figures.run(results=folder, out=folder / "figures", config=json.dumps(finished.config()))
    return folder


def table(results: Path, name: str, run: str = "miad") -> list[dict]:
    return [line for line in read_csv(results / "figures" / f"{name}.csv") if line["run"] == run]


def test_every_figure_has_its_table_and_two_formats(results):
    for name in FIGURES:
        lines = read_csv(results / "figures" / f"{name}.csv")
        for suffix in (".svg", ".png"):
            assert (results / "figures" / f"{name}{suffix}").is_file() == bool(lines)
        assert not lines or tuple(lines[0]) == COLUMNS[name]
    assert read_csv(results / "figures" / "epochs.csv") == []  # not asked for


def test_the_waterfall_is_the_row_file_read_downwards(results):
    lines = table(results, "waterfall")
    row = json.loads((results / "miad/sun/chgnet/row.json").read_text())["protocols"]["strict"]
    assert [line["reason"] for line in lines] == ["attempted", *(reason for reason in REASONS if reason != "sun")]
    assert int(lines[0]["left"]) == row["counts"]["attempted"] and int(lines[-1]["left"]) == row["counts"]["sun"]
    for line in lines[1:]:
        assert int(line["dropped"]) == row["reasons"][line["reason"]]
    assert all(line["file"].endswith("row.json") for line in lines)


def test_counts_of_sun_crystals_add_up(results):
    for name in ("num_atoms", "space_groups"):
        assert sum(int(line["sun"]) for line in table(results, name)) == NUM_SALTS
    assert {line["family"]: int(line["sun"]) for line in table(results, "space_groups")}["cubic"] == NUM_SALTS
    heights = [float(line["e_above_hull"]) for line in table(results, "e_above_hull") if line["reason"] == "sun"]
    assert len(heights) == NUM_SALTS and max(heights) < 0


def test_relaxations_tell_what_they_gained(results):
    lines = {line["crystal_id"]: line for line in table(results, "relaxation")}
    one = samples("miad")[3]
    line = lines[one.crystal_id]
    assert float(line["energy_gain"]) == pytest.approx(one.initial_energy_per_atom - one.energy_per_atom)
    assert (line["num_steps"], line["converged"]) == ("7", "True")
    assert len(lines) == 34  # all but the one that failed


def test_every_figure_has_a_caption_in_snakemakes_report():
    text = (finished.ROOT / "workflow" / "report" / "figure.rst").read_text(encoding="utf-8")
    assert set(re.findall(r'^    "(\w+)": ', text, re.MULTILINE)) == set(FIGURES)


@pytest.mark.parametrize(
    ("space_group", "name"),
    [
        ("P-1 (2)", "triclinic"),
        ("P2 (3)", "monoclinic"),
        ("C2/c (15)", "monoclinic"),
        ("P222 (16)", "orthorhombic"),
        ("Fddd (70)", "orthorhombic"),
        ("I4_1/acd (142)", "tetragonal"),
        ("P3 (143)", "trigonal"),
        ("R-3c (167)", "trigonal"),
        ("P6 (168)", "hexagonal"),
        ("P6_3/mmc (194)", "hexagonal"),
        ("P23 (195)", "cubic"),
        ("Ia-3d (230)", "cubic"),
        (None, "not found"),
    ],
)
def test_families_begin_and_end_where_the_tables_of_crystallography_say(space_group, name):
    assert family(space_group) == name
    assert list(FAMILIES.values()) == sorted(FAMILIES.values())


def test_a_figure_follows_its_table_and_nothing_else(results, tmp_path):
    folder = tmp_path / "figures"
    shutil.copytree(results / "figures", folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    figures.run(out=folder, redraw="yes", results=tmp_path / "nowhere", config="nowhere.yaml")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before  # the same table, the same bytes
    path = folder / "num_atoms.csv"
    path.write_text(path.read_text().replace(f",2,{NUM_SALTS}", ",2,7"))
    figures.draw(folder, ["num_atoms"])
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {
        f"num_atoms.{end}" for end in ("csv", "svg", "png")
    }


def test_a_table_that_lacks_a_column_is_named(tmp_path):
    (tmp_path / "num_atoms.csv").write_text("run,calculator,num_atoms\nmiad,x,2\n")
    with pytest.raises(MiadError, match=r"num_atoms\.csv has no column sun"):
        figures.draw(tmp_path, ["num_atoms"])
    with pytest.raises(MiadError, match=r"epochs\.csv cannot be read"):
        figures.draw(tmp_path, ["epochs"])


def test_the_generation_is_that_of_the_most_stable_recorded_candidate(results):
    frames = ase.io.read(results / "figures" / "generation.extxyz", ":")
    assert [atoms.info["time"] for atoms in frames] == finished.TIMES
    assert [len(atoms) for atoms in frames] == [3, 4, 3, 2, 2]
    recorded = {one.crystal_id for one in samples("miad")[:4]}
    chosen = next(line for line in read_csv(results / "miad" / "candidates.csv") if line["crystal_id"] in recorded)
    assert {atoms.info["crystal_id"] for atoms in frames} == {chosen["crystal_id"]}


def test_rates_against_the_epoch_end_with_the_trained_model(tmp_path):
    given = finished.config()
    given["ablations"] = None
    given["laptop"]["train"]["num_epochs"] = 200
    given["train"]["keep_every"] = 100
    given["report"]["epochs"] = True
    write_run(tmp_path, "miad", samples("miad"))
    write_run(tmp_path, "miad_epoch_100", samples("miad_epoch_100")[10:])
    runs, kept = figures.runs_of(json.dumps(given), tmp_path)
    assert [run.name for run in kept] == ["miad_epoch_100"]
    lines = [line for line in figure_tables.gather(runs, kept)["epochs"] if line["component"] == "sun"]
    assert [(line["run"], line["epoch"]) for line in lines] == [("miad", 100), ("miad", 200)]
    assert lines[1]["percent"] == pytest.approx(100 * NUM_SALTS / 35)
    assert "miad_epoch_100" in str(lines[0]["file"])
