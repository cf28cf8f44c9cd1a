"""The counts behind the table: every attempted sample ends somewhere, and only joint counts make rates."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from miad.__main__ import main
from miad.config.resolve import read_config, read_settings
from miad.config.sections import Relax, Sun
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.hull.convex import Entry, HullTable, write_table
from miad.sun.judge import REASONS
from miad.sun.step import relaxed_with, run
from tests.builders import ROOT
from tests.hull.test_convex import settings as hull_settings
from tests.sun.matching.test_groups import caesium_chloride, rock_salt

# The shipped protocols: what is counted here is what users get.
PROTOCOLS = read_config(ROOT / "config.yaml")["sun"]["protocols"]
STRICT = PROTOCOLS["strict"]


def settings(protocols=PROTOCOLS, protocol="strict", missing="report") -> Sun:
    return Sun(seed=0, hull=hull_settings(missing=missing), protocol=protocol, protocols=protocols, workers=1)


def with_energy(crystal: Crystal, energy: float, **known) -> Crystal:
    known = {"calculator": "CHGNet 0.3.0", "energy_frame": "mp2020", "converged": True, **known}
    return crystal.replace(energy_per_atom=energy, **known)


def salt(name: str, energy: float, **known) -> Crystal:
    return with_energy(rock_salt(name), energy, **known)


# NaCl in rock salt lies at −3 on the hull; in the training set it is known as CsCl structure only.
ELEMENT = Crystal("element", np.eye(3) * 4, np.zeros((1, 3)), np.array([11]))
SAMPLES = [
    salt("r-0-0", -2.95),  # metastable, but a duplicate of the next
    salt("r-0-1", -3.20),  # S.U.N.
    with_energy(caesium_chloride("r-0-2"), -3.10),  # stable, known
    with_energy(caesium_chloride("r-0-3"), -2.50),  # far above
    with_energy(rock_salt("r-0-4", anion=35), -3.00),  # bromide: no entry with Br
    rock_salt("r-0-5", anion=9).failed("relax", "exploding volume"),
    Crystal("r-0-6", np.eye(3), np.zeros((0, 3)), np.zeros(0, dtype=int)).failed("sample", "no real atom is left"),
    with_energy(ELEMENT.replace(crystal_id="r-0-7"), -1.5, converged=False),  # below the hull, one element
    with_energy(rock_salt("r-0-8", anion=19, a=6.0), -1.5),  # NaK: on the line between Na and K
]


@pytest.fixture
def files(tmp_path: Path) -> dict:
    entries = [Entry("Na", -1.0), Entry("Cl2", -2.0), Entry("NaCl", -3.0), Entry("K", -2.0)]
    write_table(tmp_path / "entries.csv.gz", HullTable("by hand", "mp2020", "test", entries))
    write_crystals(tmp_path / "train.jsonl.gz", [caesium_chloride("train-0")])
    write_crystals(tmp_path / "relaxed-0.jsonl", SAMPLES[:5])
    write_crystals(tmp_path / "relaxed-1.jsonl", SAMPLES[5:])
    write_crystals(tmp_path / "generated.jsonl", SAMPLES)
    return {
        "relaxed": [tmp_path / "relaxed-0.jsonl", tmp_path / "relaxed-1.jsonl"],
        "generated": [tmp_path / "generated.jsonl"],
        "train": tmp_path / "train.jsonl.gz",
        "hull": tmp_path / "entries.csv.gz",
        "ledger": tmp_path / "ledger.jsonl",
        "verdicts": tmp_path / "verdicts.jsonl",
        "row": tmp_path / "row.json",
        "run": "toy",
    }


def test_counts_by_hand(files: dict) -> None:
    run(settings(), **files)
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


def test_settings_of_one_calculator_lie_over_the_common_ones() -> None:
    common = read_settings(str(ROOT / "config.yaml"), Relax)
    own = replace(common, calculators=["eqv2"], fmax=0.1, potentials={"eqv2": {"fmax": 0.02}})
    assert relaxed_with(own) == {"fmax": 0.02, "max_steps": common.max_steps}
    with pytest.raises(MiadError, match="chgnet, eqv2"):
        relaxed_with(replace(own, calculators=["chgnet", "eqv2"]))


def test_every_sample_ends_once_under_every_protocol(files: dict) -> None:
    run(settings(), **files)
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


def test_protocols_differ_where_their_choices_do(files: dict) -> None:
    run(settings(), **files)
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
    run(settings(), **files)
    ledger = read_crystals(files["ledger"])
    assert [one.crystal_id for one in ledger] == [one.crystal_id for one in SAMPLES]
    by_id = {one.crystal_id: one for one in ledger}
    assert by_id["r-0-1"].e_above_hull == pytest.approx(-0.2, abs=1e-9)
    assert (by_id["r-0-0"].is_unique, by_id["r-0-0"].is_novel) == (False, True)
    assert by_id["r-0-4"].failure == "hull: no entry with Br"
    assert by_id["r-0-5"].failure == "relax: exploding volume"
    assert (by_id["r-0-5"].is_unique, by_id["r-0-5"].e_above_hull) == (None, None)


def test_the_order_of_shards_does_not_change_strict_counts(files: dict) -> None:
    run(settings(), **files)
    before = json.loads(files["row"].read_text())["protocols"]["strict"]
    run(settings(), **{**files, "relaxed": files["relaxed"][::-1]})
    assert json.loads(files["row"].read_text())["protocols"]["strict"] == before


def test_training_crystals_as_samples_are_never_novel(files: dict) -> None:
    write_crystals(files["relaxed"][0], [with_energy(caesium_chloride("r-0-0"), -3.5)])
    run(settings({"strict": STRICT}), **{**files, "relaxed": files["relaxed"][:1], "generated": None})
    counts = json.loads(files["row"].read_text())["protocols"]["strict"]["counts"]
    assert (counts["stable"], counts["novel"], counts["sun"]) == (1, 0, 0)


def test_frames_are_refused_unless_the_protocol_takes_them_as_given(files: dict) -> None:
    write_crystals(files["relaxed"][0], [salt("r-0-0", -3.5, energy_frame="uncorrected")])
    once = {**files, "relaxed": files["relaxed"][:1]}
    with pytest.raises(MiadError, match=r"uncorrected.*mp2020"):
        run(settings(), **once)
    run(settings(protocol="as_paper"), **once)
    assert set(json.loads(files["row"].read_text())["protocols"]) == {"as_paper"}


def test_missing_stop_names_crystal_and_remedy(files: dict) -> None:
    with pytest.raises(MiadError, match=r"r-0-4.*Br.*hull\.missing: report"):
        run(settings(missing="stop"), **files)


def test_the_same_id_in_two_shards_is_refused(files: dict) -> None:
    with pytest.raises(MiadError, match="r-0-0"):
        run(settings(), **{**files, "relaxed": [files["relaxed"][0]] * 2})


def test_no_samples_make_no_rates(files: dict) -> None:
    write_crystals(files["relaxed"][0], [])
    run(settings(), **{**files, "relaxed": files["relaxed"][:1]})
    record = json.loads(files["row"].read_text())["protocols"]["strict"]
    assert set(record["counts"].values()) == {0}
    assert record["rates"]["sun"] == {"value": None, "low": None, "high": None}
