"""The tables behind the figures hold what the results of the runs say, line by line."""

import json
from pathlib import Path

import pytest

from miad.config.layout import Run, runs_of
from miad.core.tabular import read_csv, write_csv
from miad.report.figures import epochs, losses, settled
from miad.report.figures.base import Results
from miad.report.figures.e_above_hull import heights
from miad.report.figures.relaxation import relaxations
from miad.report.figures.space_groups import CRYSTAL_SYSTEMS, crystal_system
from miad.report.figures.step import FIGURES
from miad.sun.verdict import REASONS
from miad.train import loss_curve
from tests.builders import finished
from tests.builders.finished import NUM_SALTS, samples, write_run


def table(results: Path, name: str, run: str = "miad") -> list[dict]:
    return [line for line in read_csv(results / "figures" / f"{name}.csv") if line["run"] == run]


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
        assert {line["attempted"] for line in table(results, name)} == {"35"}
    assert {line["crystal_system"]: int(line["sun"]) for line in table(results, "space_groups")}["cubic"] == NUM_SALTS
    heights = [float(line["e_above_hull"]) for line in table(results, "e_above_hull") if line["reason"] == "sun"]
    assert len(heights) == NUM_SALTS and max(heights) < 0


def test_relaxations_tell_what_they_gained(results):
    lines = {line["crystal_id"]: line for line in table(results, "relaxation")}
    one = samples("miad")[3]
    line = lines[one.crystal_id]
    assert float(line["energy_gain"]) == pytest.approx(one.initial_energy_per_atom - one.energy_per_atom)
    assert (line["num_steps"], line["converged"]) == ("7", "True")
    assert len(lines) == 34  # all but the one that failed


def test_what_is_not_known_gives_no_number():
    known = {"crystal_id": "a", "reason": "above_hull", "converged": "True", "rms_displacement": "0.1"}
    line = {**known, "e_above_hull": None, "num_steps": "7", "volume_change": "0.02"}
    line |= {"initial_energy_per_atom": None, "energy_per_atom": "-2.0"}
    assert heights([line]) == []
    [found] = relaxations([line, {**line, "num_steps": None}])
    assert found["energy_gain"] is None and found["num_steps"] == "7"


def test_runs_that_share_a_training_have_one_curve(tmp_path):
    for name in ("miad", "small"):
        loss_curve.write_losses(tmp_path / name / "train" / "losses.csv", [dict.fromkeys(loss_curve.COLUMNS, 1.0)])
    homes = {"miad": "miad", "small": "small", "quick": "miad"}
    runs = [Run(name, tmp_path, {"seed": 0}, {"train": home}) for name, home in homes.items()]
    assert [line["run"] for line in losses.gather(Results(runs, []))] == ["miad", "small"]


def test_runs_may_log_different_parts_of_the_loss(tmp_path):
    known = {"epoch": 1, "step": 1, "seconds": 2.0, "total": 3.0, "val_total": 3.0, "learning_rate": 0.1}
    write_csv(tmp_path / "old/train/losses.csv", [*known, "species"], [{**known, "species": 1.0}])
    write_csv(tmp_path / "new/train/losses.csv", [*known, "species", "nats"], [{**known, "species": 1.0, "nats": 2.0}])
    rows = losses.gather(Results([Run(name, tmp_path, {}, {"train": name}) for name in ("old", "new")], []))
    columns = FIGURES["losses"].columns_of(rows)
    assert columns == ("run", *known, "species", "nats")
    write_csv(tmp_path / "losses.csv", columns, rows)
    assert [row["nats"] for row in read_csv(tmp_path / "losses.csv")] == [None, "2.0"]


def test_padding_is_no_mirage_that_settles(tmp_path):
    given = finished.config(ablations={"no_mirage": {"mirage": {"num_atoms": None}}})
    for name in ("miad", "no_mirage"):
        write_run(tmp_path, name, samples(name))
    lines = settled.gather(Results(*runs_of(json.dumps(given), tmp_path)))
    assert all(line["real"] is not None for line in lines)
    assert {line["run"] for line in lines if line["mirage"] is None} == {"no_mirage"}
    assert {line["run"] for line in lines if line["mirage"] is not None} == {"miad"}


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
def test_crystal_systems_begin_and_end_where_the_tables_of_crystallography_say(space_group, name):
    assert crystal_system(space_group) == name
    assert list(CRYSTAL_SYSTEMS.values()) == sorted(CRYSTAL_SYSTEMS.values())


def test_rates_against_the_epoch_end_with_the_trained_model(tmp_path):
    given = finished.config()
    given["ablations"] = None
    given["laptop"]["train"]["num_epochs"] = 200
    given["train"]["keep_every"] = 100
    given["report"]["epochs"] = True
    write_run(tmp_path, "miad", samples("miad"))
    write_run(tmp_path, "miad_epoch_100", samples("miad_epoch_100")[10:])
    runs, kept = runs_of(json.dumps(given), tmp_path)
    assert [run.name for run in kept] == ["miad_epoch_100"]
    lines = [line for line in epochs.gather(Results(runs, kept)) if line["component"] == "sun"]
    assert [(line["run"], line["epoch"]) for line in lines] == [("miad", 100), ("miad", 200)]
    assert lines[1]["percent"] == pytest.approx(100 * NUM_SALTS / 35)
    assert "miad_epoch_100" in str(lines[0]["file"])
