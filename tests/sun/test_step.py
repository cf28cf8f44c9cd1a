"""The counts behind the table: every attempted sample ends somewhere, and only joint counts make rates."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from miad.__main__ import main
from miad.config.resolve import read_settings
from miad.config.sections import Relax
from miad.core.crystal import read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.core.sound import unread
from miad.report.sun_table import measured_rows
from miad.sun.step import relaxed_with, run
from miad.sun.verdict import REASONS
from tests.builders import ROOT
from tests.builders.crystals import caesium_chloride
from tests.builders.judged import SAMPLES, salt, with_energy, write_sun_inputs
from tests.builders.settings import PROTOCOLS, protocol, sun_settings


@pytest.fixture
def files(tmp_path: Path) -> dict:
    return write_sun_inputs(tmp_path)


def test_counts_by_hand(files: dict) -> None:
    run(sun_settings(), **files)
    row = json.loads(files["row"].read_text())
    assert row["protocols"]["strict"]["counts"] == {
        "attempted": 9,
        "decoded": 8,
        "relaxed": 7,
        "converged": 6,
        "on_hull": 6,
        "stable": 3,
        "metastable": 5,
        "unique": 5,  # rock salt, CsCl, bromide, sodium, NaK
        "novel": 5,
        "unique_novel": 4,
        "msun": 2,
        "sun": 1,
    }
    assert row["protocols"]["strict"]["rates"]["sun"]["value"] == pytest.approx(100 / 9)
    assert row["protocols"]["strict"]["rates"]["unique_novel_among_stable"]["value"] == pytest.approx(100 / 3)
    assert (row["hull"], row["energy_frame"], row["calculator"]) == ("by hand", "mp2020", "CHGNet 0.3.0")


def test_the_row_says_how_far_its_crystals_were_relaxed_if_that_is_known(files: dict) -> None:
    config = str(ROOT / "config.yaml")
    command = ["sun", "--settings", config, "--run", "toy", "--train", str(files["train"])]
    for flag in ("relaxed", "generated"):
        command += [f"--{flag}", *map(str, files[flag])]
    for flag in ("hull", "ledger", "verdicts", "row"):
        command += [f"--{flag}", str(files[flag])]
    for more, known in ((["--relaxation", config], True), ([], False)):
        assert main([*command, *more]) == 0
        assert (json.loads(files["row"].read_text())["relaxation"] is not None) == known


def test_the_row_says_what_computed_the_network_if_that_is_known(files: dict, tmp_path: Path) -> None:
    record = tmp_path / "model.json"
    record.write_text(json.dumps({"arithmetic": "train: Loops in float32, 2 threads"}))
    for made_by, known in (([record], "train: Loops in float32, 2 threads"), (None, None)):
        run(sun_settings(), **files, made_by=made_by)
        row = json.loads(files["row"].read_text())
        assert row["versions"].get("arithmetic") == known
        [line] = measured_rows(row, "headline")
        assert line["arithmetic"] == known


def test_settings_of_one_calculator_lie_over_the_common_ones() -> None:
    common = read_settings(str(ROOT / "config.yaml"), Relax)
    own = replace(common, calculators=["eqv2"], fmax=0.1, potentials={"eqv2": {"fmax": 0.02}})
    assert relaxed_with(own) == {"fmax": 0.02, "max_steps": common.max_steps}
    with pytest.raises(MiadError, match="chgnet, eqv2"):
        relaxed_with(replace(own, calculators=["chgnet", "eqv2"]))


def test_every_sample_ends_once_under_every_protocol(files: dict) -> None:
    run(sun_settings(), **files)
    row = json.loads(files["row"].read_text())
    assert set(row["protocols"]) == set(PROTOCOLS)
    verdicts = [json.loads(line) for line in files["verdicts"].read_text().splitlines()]
    for name, record in row["protocols"].items():
        counts, reasons = record["counts"], record["reasons"]
        others = sum(number for reason, number in reasons.items() if reason != "sun")
        assert counts["attempted"] == counts["sun"] + others == len(SAMPLES)
        assert reasons["sun"] == counts["sun"]
        for reason in REASONS:
            assert reasons[reason] == sum(line["protocols"][name]["reason"] == reason for line in verdicts)


def test_a_block_of_ones_own_is_a_protocol(files: dict) -> None:
    own = protocol(stable_below=0.1, elements_count=True)
    run(replace(sun_settings(), protocols={**sun_settings().protocols, "own": own}), **files)
    counts = {name: one["counts"] for name, one in json.loads(files["row"].read_text())["protocols"].items()}
    assert list(counts) == [*PROTOCOLS, "own"]
    assert counts["own"]["stable"] == counts["own"]["metastable"] == counts["strict"]["metastable"]
    assert counts["own"]["sun"] >= counts["strict"]["msun"]


def test_protocols_differ_where_their_choices_do(files: dict) -> None:
    run(sun_settings(), **files)
    rows = json.loads(files["row"].read_text())["protocols"]
    ends = {
        name: {
            line["crystal_id"]: line["protocols"][name]["reason"]
            for line in map(json.loads, files["verdicts"].read_text().splitlines())
        }
        for name in PROTOCOLS
    }
    # First come keeps the worse rock salt; NaK lies exactly on the hull; the element counts for MatterGen alone.
    assert ends["strict"]["r-0-1"] == ends["flowmm"]["r-0-1"] == "sun" and ends["as_paper"]["r-0-1"] == "duplicate"
    assert ends["strict"]["r-0-8"] == "not stable" and ends["flowmm"]["r-0-8"] == "sun"
    assert ends["flowmm"]["r-0-7"] == "one element" and ends["mattergen"]["r-0-7"] == "sun"
    assert ends["mattergen"]["r-0-0"] == "sun"
    # As generated, the crystal whose relaxation failed is compared as well.
    assert rows["as_paper"]["counts"]["unique"] == rows["strict"]["counts"]["unique"] + 1


def test_the_ledger_keeps_every_line_and_says_why(files: dict) -> None:
    run(sun_settings(), **files)
    ledger = read_crystals(files["ledger"])
    assert [one.crystal_id for one in ledger] == [one.crystal_id for one in SAMPLES]
    by_id = {one.crystal_id: one for one in ledger}
    assert by_id["r-0-1"].e_above_hull == pytest.approx(-0.2, abs=1e-9)
    assert (by_id["r-0-0"].is_unique, by_id["r-0-0"].is_novel) == (False, True)
    assert str(by_id["r-0-4"].failure) == "hull: no entry with Br"
    assert str(by_id["r-0-5"].failure) == "relax: exploding volume"
    assert (by_id["r-0-5"].is_unique, by_id["r-0-5"].e_above_hull) == (None, None)


def test_the_order_of_shards_does_not_change_strict_counts(files: dict) -> None:
    run(sun_settings(), **files)
    before = json.loads(files["row"].read_text())["protocols"]["strict"]
    run(sun_settings(), **{**files, "relaxed": files["relaxed"][::-1]})
    assert json.loads(files["row"].read_text())["protocols"]["strict"] == before


def test_training_crystals_as_samples_are_never_novel(files: dict) -> None:
    write_crystals(files["relaxed"][0], [with_energy(caesium_chloride("r-0-0"), -3.5)])
    run(sun_settings(["strict"]), **{**files, "relaxed": files["relaxed"][:1], "generated": None})
    counts = json.loads(files["row"].read_text())["protocols"]["strict"]["counts"]
    assert (counts["stable"], counts["novel"], counts["sun"]) == (1, 0, 0)


def test_frames_are_refused_unless_the_protocol_takes_them_as_given(files: dict) -> None:
    write_crystals(files["relaxed"][0], [salt("r-0-0", -3.5, energy_frame="uncorrected")])
    once = {**files, "relaxed": files["relaxed"][:1]}
    with pytest.raises(MiadError, match=r"uncorrected.*mp2020"):
        run(sun_settings(), **once)
    run(sun_settings(headline="as_paper"), **once)
    assert set(json.loads(files["row"].read_text())["protocols"]) == {"as_paper"}


def test_missing_stop_names_crystal_and_remedy(files: dict) -> None:
    with pytest.raises(MiadError, match=r"r-0-4.*Br.*hull\.missing: report"):
        run(sun_settings(missing="stop"), **files)


def test_the_same_id_in_two_shards_is_refused(files: dict) -> None:
    with pytest.raises(MiadError, match="r-0-0"):
        run(sun_settings(), **{**files, "relaxed": [files["relaxed"][0]] * 2})


def test_no_samples_make_no_rates(files: dict) -> None:
    write_crystals(files["relaxed"][0], [])
    run(sun_settings(), **{**files, "relaxed": files["relaxed"][:1]})
    record = json.loads(files["row"].read_text())["protocols"]["strict"]
    assert set(record["counts"].values()) == {0}
    assert record["rates"]["sun"] == {"value": None, "low": None, "high": None}


def test_the_row_says_what_could_not_be_read(files: dict) -> None:
    run(sun_settings(), **files)
    assert json.loads(files["row"].read_text())["unreadable"] == []  # what failed later is in the counts
    for path in (files["relaxed"][1], files["generated"][0]):
        write_crystals(path, [*read_crystals(path), unread("r-0-9", "read", "its cif is empty")])
    known = [*read_crystals(files["train"]), *(salt(f"more-{n}", -3.0) for n in range(10))]
    write_crystals(files["train"], [*known, salt("lost", -3.0).failed("read", "torn")])
    run(sun_settings(), **files)
    said = json.loads(files["row"].read_text())["unreadable"]
    assert said[0] == ("toy: 1 of 10 crystals failed and count as attempted: 1 × read: its cif is empty (e.g. r-0-9)")
    assert (
        f"{files['train']}: 1 of {len(known) + 1} crystals failed and do not count as known: 1 × read: torn" in said[1]
    )


def test_known_crystals_of_which_too_many_cannot_be_read_are_refused(files: dict) -> None:
    known = read_crystals(files["train"])
    write_crystals(
        files["train"], [*known, *(salt(f"lost-{n}", -3.0).failed("read", "torn") for n in range(len(known)))]
    )
    with pytest.raises(MiadError, match=r"crystals cannot be read, more than 0\.1 of them: .*read: torn.*--train"):
        run(sun_settings(), **files)


def test_a_known_crystal_is_named_by_its_own_id_and_ours(files: dict) -> None:
    """Where a reference came with the id of its data base, people look it up by that."""
    named = caesium_chloride("train-0-17").replace(source_id="mp-1234")
    write_crystals(files["train"], [named, caesium_chloride("train-0-18", a=3.9)])
    run(sun_settings(), **files)
    known = [read["protocols"]["strict"]["known_as"] for read in map(json.loads, files["verdicts"].open())]
    assert "mp-1234 (train-0-17)" in known
    write_crystals(files["train"], [caesium_chloride("train-0-17")])
    run(sun_settings(), **files)
    known = [read["protocols"]["strict"]["known_as"] for read in map(json.loads, files["verdicts"].open())]
    assert "train-0-17" in known and "mp-1234 (train-0-17)" not in known
