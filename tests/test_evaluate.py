"""One command for anybody's crystals: the same verdicts as for our own."""

import csv
import json
import re
from pathlib import Path

import pytest

from miad import evaluate
from miad.__main__ import main
from miad.core.crystal import read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.relax import step as relax
from miad.report.candidates import to_cif
from tests.builders.crystals import caesium_chloride, rock_salt
from tests.builders.inputs import make_xyz, xyz

HULL = "formula,energy_per_atom,energy_frame\nNa,-1.0,mp2020\nCl,-2.0,mp2020\nNaCl,-2.9,mp2020\n"


@pytest.fixture
def flags(tmp_path: Path) -> dict:
    (tmp_path / "hull.csv").write_text(HULL)
    write_crystals(tmp_path / "train.jsonl", [caesium_chloride("known-0")])
    return {"train": tmp_path / "train.jsonl", "hull": str(tmp_path / "hull.csv"), "out": tmp_path / "out"}


def counts(out: Path, protocol: str = "strict") -> dict[str, int]:
    return json.loads((out / "row.json").read_text())["protocols"][protocol]["counts"]


def test_crystals_with_energies_are_judged_as_they_are(tmp_path: Path, flags: dict) -> None:
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    command = ["evaluate", str(tmp_path / "theirs.extxyz")]
    command += ["--train", str(flags["train"]), "--hull", flags["hull"], "--out", str(flags["out"])]
    assert main(command) == 0
    found = counts(flags["out"])
    assert (found["attempted"], found["stable"], found["novel"], found["sun"]) == (2, 2, 1, 1)
    with (flags["out"] / "candidates.csv").open() as text:
        assert [row["source_id"] for row in csv.DictReader(text)] == ["salt-7"]
    with (flags["out"] / "sun_table.csv").open() as text:
        rows = list(csv.DictReader(text))
    assert (rows[0]["run"], rows[0]["hull"], rows[0]["kind"]) == ("theirs", "hull.csv", "measured")
    assert (rows[0]["relaxed"], rows[0]["converged"]) == ("2", "")
    assert (rows[0]["fmax"], rows[0]["max_steps"]) == ("", "")


def test_crystals_without_energies_are_relaxed_first(tmp_path: Path, flags: dict, monkeypatch) -> None:
    def relaxation(settings, *, crystals, relaxed, calculator):
        known = {"energy_per_atom": -3.0, "energy_frame": "mp2020", "calculator": calculator, "converged": True}
        write_crystals(relaxed, [one.replace(**known) for one in read_crystals(crystals)])

    monkeypatch.setattr(relax, "run", relaxation)
    evaluate.run(make_xyz(tmp_path), **flags)
    assert counts(flags["out"])["sun"] == 1
    # The cells before relaxation are at hand, so the paper's protocol applies too.
    assert counts(flags["out"], "as_paper")["sun"] == 1


def test_judging_anew_relaxes_nothing_again(tmp_path: Path, flags: dict, monkeypatch) -> None:
    relaxed_with = []

    def relaxation(settings, *, crystals, relaxed, calculator):
        relaxed_with.append(settings.max_steps)
        known = {"energy_per_atom": -3.0, "energy_frame": "mp2020", "calculator": calculator, "converged": True}
        write_crystals(relaxed, [one.replace(**known) for one in read_crystals(crystals)])

    monkeypatch.setattr(relax, "run", relaxation)
    crystals = make_xyz(tmp_path)
    evaluate.run(crystals, **flags)
    (tmp_path / "hull.csv").write_text(HULL.replace("-2.9", "-3.1"))
    evaluate.run(crystals, **flags)
    assert counts(flags["out"])["stable"] == 0 and len(relaxed_with) == 1
    # Other crystals, or other settings, are relaxed.
    crystals.write_text(crystals.read_text().replace("2.82", "2.83"))
    evaluate.run(crystals, **flags)
    config = (Path(evaluate.__file__).parent.parent / "config.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(config.replace("max_steps: 300", "max_steps: 7"))
    evaluate.run(crystals, settings=str(tmp_path / "mine.yaml"), **flags)
    assert relaxed_with == [300, 300, 7]
    row = json.loads((flags["out"] / "row.json").read_text())
    assert row["relaxation"] == {"fmax": 0.1, "max_steps": 7}
    with (flags["out"] / "sun_table.csv").open() as text:
        assert next((one["fmax"], one["max_steps"]) for one in csv.DictReader(text)) == ("0.1000", "7")


def test_all_protocols_from_the_same_crystals(tmp_path: Path, flags: dict) -> None:
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    evaluate.run(tmp_path / "theirs.extxyz", generated=make_xyz(tmp_path), protocols="all", **flags)
    with (flags["out"] / "sun_table.csv").open() as text:
        rows = [row for row in csv.DictReader(text) if row["kind"] == "measured"]
    assert [row["protocol"] for row in rows] == ["strict", "as_paper", "flowmm", "mattergen"]
    assert {row["attempted"] for row in rows} == {"2"}


def test_generated_cells_are_joined_by_the_ids_of_the_inputs(tmp_path: Path, flags: dict) -> None:
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    frames = xyz().split("8\n", 1)[1]
    backwards = frames[frames.index("2\nLattice") :] + "8\n" + frames[: frames.index("2\nLattice")]
    (tmp_path / "before.extxyz").write_text(backwards)
    evaluate.run(tmp_path / "theirs.extxyz", generated=tmp_path / "before.extxyz", **flags)
    assert counts(flags["out"], "as_paper")["sun"] == 1
    (tmp_path / "before.extxyz").write_text(backwards.replace("id=salt-7", ""))
    with pytest.raises(MiadError, match="salt-7"):
        evaluate.run(tmp_path / "theirs.extxyz", generated=tmp_path / "before.extxyz", **flags)


def test_an_energy_needs_a_frame(tmp_path: Path, flags: dict) -> None:
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True).replace("energy_frame=mp2020", ""))
    with pytest.raises(MiadError, match="--energy-frame"):
        evaluate.run(tmp_path / "theirs.extxyz", **flags)
    with pytest.raises(MiadError, match=r"uncorrected.*mp2020"):
        evaluate.run(tmp_path / "theirs.extxyz", energy_frame="uncorrected", **flags)


def test_a_calculator_of_another_frame_than_the_hull_is_refused_before_it_relaxes(
    tmp_path: Path, flags: dict, monkeypatch
) -> None:
    monkeypatch.setattr(relax, "run", lambda *_, **__: pytest.fail("relaxed first"))
    (tmp_path / "hull.csv").write_text(HULL.replace("mp2020", "uncorrected"))
    with pytest.raises(MiadError, match=r"chgnet.*'mp2020'.*'uncorrected'"):
        evaluate.run(make_xyz(tmp_path), **flags)


def test_samples_that_cannot_be_read_stay_in_the_denominator(tmp_path: Path, flags: dict) -> None:
    broken = xyz(energies=True).splitlines(keepends=True)
    broken[3] = "Xx one two three\n"
    (tmp_path / "theirs.extxyz").write_text("".join(broken))
    evaluate.run(tmp_path / "theirs.extxyz", **flags)
    found = counts(flags["out"])
    assert (found["attempted"], found["decoded"], found["sun"]) == (2, 1, 0)


def test_known_crystals_may_come_in_any_format(tmp_path: Path, flags: dict) -> None:
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    flags["train"] = tmp_path / "known.cif"
    flags["train"].write_text(rock_salt("k").structure.to(fmt="cif"))
    evaluate.run(tmp_path / "theirs.extxyz", **flags)
    assert counts(flags["out"])["novel"] == 1


def test_relaxed_crystals_of_an_earlier_input_are_not_taken_for_those_of_a_later_one(
    tmp_path: Path, flags: dict, monkeypatch
) -> None:
    def relaxation(crystals, settings, calculator, _):
        known = {"energy_per_atom": -2.0, "energy_frame": "mp2020", "calculator": calculator, "converged": True}
        return (one.replace(**known) for one in crystals)

    monkeypatch.setattr(relax, "relax_all", relaxation)
    bare = make_xyz(tmp_path)
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    stable = []
    for crystals, more in ((bare, {}), (tmp_path / "theirs.extxyz", {"generated": bare}), (bare, {})):
        evaluate.run(crystals, run="m", **more, **flags)
        stable.append(counts(flags["out"])["stable"])
    assert stable == [0, 2, 0]


def test_what_was_generated_but_not_relaxed_was_attempted(tmp_path: Path, flags: dict) -> None:
    frames = xyz(energies=True)
    (tmp_path / "theirs.extxyz").write_text(frames[: frames.index("2\nLattice")])
    evaluate.run(tmp_path / "theirs.extxyz", generated=make_xyz(tmp_path), **flags)
    for protocol in ("strict", "as_paper"):
        found = counts(flags["out"], protocol)
        assert (found["attempted"], found["decoded"], found["relaxed"], found["sun"]) == (2, 2, 1, 1)


def test_generated_crystals_beside_relaxed_ones_without_energies_are_refused(
    tmp_path: Path, flags: dict, monkeypatch
) -> None:
    monkeypatch.setattr(relax, "run", lambda *_, **__: pytest.fail("relaxed the generated ones"))
    (tmp_path / "theirs.extxyz").write_text(xyz().replace("5.64", "5.8"))
    with pytest.raises(MiadError, match="leave --generated out"):
        evaluate.run(tmp_path / "theirs.extxyz", generated=make_xyz(tmp_path), **flags)


def test_unknown_protocols_are_refused_before_anything_is_relaxed(tmp_path: Path, flags: dict, monkeypatch) -> None:
    monkeypatch.setattr(relax, "run", lambda *_, **__: pytest.fail("relaxed first"))
    with pytest.raises(MiadError, match="--protocols"):
        evaluate.run(make_xyz(tmp_path), protocols="strict", **flags)


@pytest.mark.parametrize(
    ("config", "reason"),
    [("{bad", "--settings is not JSON"), ('{"train": {}}', "train is not a known key"), ("[" * 9, "does not exist")],
)
def test_a_config_that_is_none_is_named(tmp_path: Path, flags: dict, capsys, config: str, reason: str) -> None:
    command = ["evaluate", str(make_xyz(tmp_path)), "--settings", config, "--out", str(flags["out"])]
    assert main([*command, "--train", str(flags["train"]), "--hull", flags["hull"]]) == MiadError.EXIT_CODE
    assert reason in capsys.readouterr().err


def test_a_place_that_cannot_be_made_is_named(tmp_path: Path, flags: dict) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MiadError, match=r"--out .*file/out cannot be written to"):
        evaluate.run(make_xyz(tmp_path), **{**flags, "out": tmp_path / "file" / "out"})
    assert not list(tmp_path.glob("out/*"))


def test_a_protocol_may_count_the_other_splits_as_known(tmp_path: Path, flags: dict) -> None:
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    config = (Path(evaluate.__file__).parent.parent / "config.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(config.replace("novel_against: [train]  #", "novel_against: [train, val]  #"))
    flags |= {"settings": str(tmp_path / "mine.yaml")}
    with pytest.raises(MiadError, match="--val"):
        evaluate.run(tmp_path / "theirs.extxyz", **flags)
    (tmp_path / "val.cif").write_text(rock_salt("k").structure.to(fmt="cif"))
    evaluate.run(tmp_path / "theirs.extxyz", val=tmp_path / "val.cif", **flags)
    assert counts(flags["out"])["novel"] == 0 and counts(flags["out"], "flowmm")["novel"] == 1
    write_crystals(tmp_path / "none.jsonl.gz", [])
    evaluate.run(tmp_path / "theirs.extxyz", val=tmp_path / "none.jsonl.gz", **flags)
    assert counts(flags["out"])["novel"] == 1


def test_a_ledger_judged_on_another_hull_forgets_what_the_first_one_lacked(tmp_path: Path, flags: dict) -> None:
    salt = rock_salt("a").replace(energy_per_atom=-3.0, energy_frame="mp2020")
    write_crystals(tmp_path / "one.jsonl", [salt])
    (tmp_path / "thin.csv").write_text("formula,energy_per_atom,energy_frame\nNa,-1.0,mp2020\n")
    evaluate.run(tmp_path / "one.jsonl", **{**flags, "hull": str(tmp_path / "thin.csv")})
    ledger = flags["out"] / "ledger.jsonl"
    assert str(read_crystals(ledger)[0].failure) == "hull: no entry with Cl"
    evaluate.run(ledger, **{**flags, "out": tmp_path / "again"})
    assert read_crystals(tmp_path / "again" / "ledger.jsonl")[0].failure is None


def test_failed_crystals_of_a_ledger_do_not_count_as_known(tmp_path: Path, flags: dict, caplog) -> None:
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    for failed, novel in ((rock_salt("a").failed("relax", "x"), 1), (rock_salt("a").failed("hull", "no Na"), 0)):
        caplog.clear()
        write_crystals(flags["train"], [caesium_chloride("known-0"), failed])
        evaluate.run(tmp_path / "theirs.extxyz", **flags)
        assert counts(flags["out"])["novel"] == novel
        assert ("1 of 2 crystals failed and do not count as known" in caplog.text) == bool(novel)


def test_known_crystals_are_read_once(tmp_path: Path, flags: dict, monkeypatch) -> None:
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    flags["train"] = tmp_path / "known.cif"
    flags["train"].write_text(rock_salt("k").structure.to(fmt="cif"))
    reading, read = evaluate.read_any, []
    for module in (evaluate, evaluate.read):
        monkeypatch.setattr(module, "read_any", lambda path, *more: read.append(path.name) or reading(path, *more))
    evaluate.run(tmp_path / "theirs.extxyz", **flags)
    evaluate.run(tmp_path / "theirs.extxyz", **flags)
    assert read == ["theirs.extxyz", "known.cif", "theirs.extxyz"]
    flags["train"].write_text(caesium_chloride("k").structure.to(fmt="cif"))
    evaluate.run(tmp_path / "theirs.extxyz", **flags)
    assert read[-1] == "known.cif"


def test_samples_of_which_none_can_be_read_are_refused(tmp_path: Path, flags: dict, capsys) -> None:
    (tmp_path / "theirs.json").write_text(json.dumps([{"id": "a", "structure": {}}, {"id": "b"}]))
    command = ["evaluate", str(tmp_path / "theirs.json"), "--train", str(flags["train"]), "--hull", flags["hull"]]
    assert main([*command, "--out", str(flags["out"])]) == 2
    assert re.search(r"theirs\.json: none of its 2 crystals can be read, e\.g\. a: read: ", capsys.readouterr().err)
    assert not (flags["out"] / "given.jsonl").exists()


@pytest.mark.parametrize("content", ['[{"id": "a", "structure": {}}]', "[]", ""])
def test_known_crystals_of_which_none_can_be_read_are_refused(tmp_path: Path, flags: dict, content: str) -> None:
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    (tmp_path / "known.json").write_text(content)
    with pytest.raises(MiadError, match=r"known\.json"):
        evaluate.run(tmp_path / "theirs.extxyz", **{**flags, "train": tmp_path / "known.json"})
    write_crystals(flags["train"], [rock_salt("a").failed("relax", "x")])
    with pytest.raises(MiadError, match=r"train\.jsonl: none of its 1 crystals can be read.* Correct --train"):
        evaluate.run(tmp_path / "theirs.extxyz", **flags)


def torn(frames: int, bad: int, energies: bool = True) -> str:
    """Extended XYZ of so many frames of rock salt, the last ones of which cannot be read."""
    text = xyz(energies=energies)
    frame = text[: text.index("2\nLattice")]
    ones = [frame.replace("salt-7", f"salt-{number}") for number in range(frames)]
    return "".join(one if number < frames - bad else one.replace("Na ", "Xx ") for number, one in enumerate(ones))


def last_lines(caplog) -> str:
    """The messages after the last step."""
    messages = [record.getMessage() for record in caplog.records]
    return "\n".join(messages[-4:])


def test_what_cannot_be_read_is_said_in_the_last_lines(tmp_path: Path, flags: dict, caplog) -> None:
    (tmp_path / "theirs.extxyz").write_text(torn(5, bad=3))
    (tmp_path / "known.extxyz").write_text(torn(20, bad=2, energies=False))
    hull = HULL + "NaCl,,mp2020\n" + "NaCl,-1.0,mp2020\n" * 10
    (tmp_path / "hull.csv").write_text(hull)
    for _ in range(2):  # the second time from the copy of the known crystals
        caplog.clear()
        caplog.set_level("INFO", "miad")
        evaluate.run(tmp_path / "theirs.extxyz", **{**flags, "train": tmp_path / "known.extxyz"})
        said = last_lines(caplog)
        assert "hull.csv: 1 of 14 entries failed and are left out of the hull: 1 × its energy_per_atom" in said
        assert "known.extxyz: 2 of 20 crystals failed and do not count as known: 2 × read: " in said
        assert "theirs.extxyz: 3 of 5 crystals failed and count as attempted: 3 × read: " in said
    assert said.splitlines()[-1].startswith("results are in")
    assert "theirs: 3 of 5 crystals failed and count as attempted" in (flags["out"] / "sun_table.md").read_text()
    found = counts(flags["out"])
    assert (found["attempted"], found["decoded"], found["novel"]) == (5, 2, 0)


def test_too_many_unreadable_known_crystals_are_refused_before_anything_is_relaxed(
    tmp_path: Path, flags: dict, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(relax, "relax_all", lambda *_: pytest.fail("relaxed first"))
    (tmp_path / "known.extxyz").write_text(torn(10, bad=2))
    command = ["evaluate", str(make_xyz(tmp_path)), "--train", str(tmp_path / "known.extxyz")]
    command += ["--hull", flags["hull"], "--out", str(flags["out"])]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert re.search(r"known\.extxyz: 2 of 10 crystals cannot be read, more than 0\.1 of them: 2 × read: ", said)
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    command[1] = str(tmp_path / "theirs.extxyz")
    assert main([*command, "--max-unreadable", "0.2"]) == 0
    assert main([*command, "--max-unreadable", "2"]) == 2
    assert "max_share is 2.0, expected at most 1" in capsys.readouterr().err


def test_unreadable_crystals_of_another_split_are_bounded_too(tmp_path: Path, flags: dict) -> None:
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    (tmp_path / "val.extxyz").write_text(torn(10, bad=2))
    with pytest.raises(MiadError, match=r"val\.extxyz: 2 of 10 crystals cannot be read.* Correct --val"):
        evaluate.run(tmp_path / "theirs.extxyz", val=tmp_path / "val.extxyz", **flags)


def test_a_split_that_the_headline_protocol_lacks_is_missed_before_anything_is_relaxed(
    tmp_path: Path, flags: dict, monkeypatch
) -> None:
    monkeypatch.setattr(relax, "run", lambda *_, **__: pytest.fail("relaxed first"))
    config = (Path(evaluate.__file__).parent.parent / "config.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(config.replace("novel_against: [train]  #", "novel_against: [train, val]  #"))
    with pytest.raises(MiadError, match="--val"):
        evaluate.run(make_xyz(tmp_path), settings=str(tmp_path / "mine.yaml"), **flags)


def test_an_unreadable_hull_is_refused_before_anything_is_read(tmp_path: Path, flags: dict, monkeypatch) -> None:
    monkeypatch.setattr(evaluate.read, "run", lambda *_, **__: pytest.fail("read first"))
    (tmp_path / "hull.csv").write_text(HULL + "NaCl,nan,mp2020\n")
    with pytest.raises(MiadError, match=r"hull\.csv: 1 of 4 entries cannot be read.*row 5 \(NaCl\)"):
        evaluate.run(make_xyz(tmp_path), **flags)


def test_the_table_is_there_when_a_later_step_fails(tmp_path: Path, flags: dict, monkeypatch) -> None:
    def fails(**_):
        raise MiadError("no")

    monkeypatch.setattr(evaluate.candidates, "run", fails)
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    with pytest.raises(MiadError, match="no"):
        evaluate.run(tmp_path / "theirs.extxyz", **flags)
    assert {"sun_table.csv", "sun_table.md", "ledger.jsonl", "row.json"} <= {one.name for one in flags["out"].iterdir()}


def test_an_energy_that_is_not_finite_costs_its_crystal_and_no_other(tmp_path: Path, flags: dict, monkeypatch) -> None:
    monkeypatch.setattr(relax, "relax_all", lambda *_: pytest.fail("relaxed the others"))
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True).replace("energy=-24.0", "energy=nan"))
    evaluate.run(tmp_path / "theirs.extxyz", **flags)
    ledger = read_crystals(flags["out"] / "ledger.jsonl")
    assert str(ledger[0].failure) == "read: its energy_per_atom is nan, no finite number"
    assert (ledger[1].energy_per_atom, ledger[1].calculator) == (-3.0, "as given")


def test_crystals_whose_elements_the_hull_lacks_are_told_in_the_last_lines(tmp_path: Path, flags: dict, caplog) -> None:
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    (tmp_path / "hull.csv").write_text("formula,energy_per_atom,energy_frame\nNa,-1.0,mp2020\n")
    evaluate.run(tmp_path / "theirs.extxyz", **flags)
    [said] = [record.getMessage() for record in caplog.records if "no entry with" in record.getMessage()]
    assert said.endswith(
        "hull.csv: 2 of 2 crystals failed and count as neither stable nor metastable: 2 × no entry with Cl (e.g."
        " salt-7)"
    )


def test_an_energy_of_the_cell_in_the_place_of_one_per_atom_is_none(tmp_path: Path, flags: dict) -> None:
    salt, chloride = rock_salt("a"), caesium_chloride("b")
    known = {"energy_per_atom": -3.0, "energy_frame": "mp2020"}
    write_crystals(
        tmp_path / "theirs.jsonl", [salt.replace(**known | {"energy_per_atom": -345.0}), chloride.replace(**known)]
    )
    evaluate.run(tmp_path / "theirs.jsonl", **flags)
    bad, good = read_crystals(flags["out"] / "ledger.jsonl")
    assert bad.failure is not None and "-345 eV/atom, outside of -30 to 15" in bad.failure.reason
    assert good.failure is None and counts(flags["out"])["attempted"] == 2
    write_crystals(tmp_path / "all.jsonl", [salt.replace(**known | {"energy_per_atom": -345.0})])
    with pytest.raises(MiadError, match=r"none of its 1 crystals can be read.*that of the cell"):
        evaluate.run(tmp_path / "all.jsonl", **flags)


def test_results_take_the_place_of_nothing_that_the_user_has(tmp_path: Path, flags: dict, monkeypatch) -> None:
    here = tmp_path / "here"
    (here / "cif").mkdir(parents=True)
    mine = here / "cif" / "mine.cif"
    mine.write_text(to_cif(rock_salt("mine")))
    write_crystals(here / "crystals.jsonl", [rock_salt("mine")])
    for crystals in (here / "cif", mine, here / "crystals.jsonl"):
        with pytest.raises(MiadError, match="the results would take the place of"):
            evaluate.run(crystals, **{**flags, "out": here})
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    monkeypatch.chdir(here)
    with pytest.raises(MiadError, match=r"the results would take the place of cif\."):
        evaluate.run(tmp_path / "theirs.extxyz", **{**flags, "train": Path("cif"), "out": Path()})
    with pytest.raises(MiadError, match=r"holds crystals\.jsonl, which no evaluation has written"):
        evaluate.run(tmp_path / "theirs.extxyz", **{**flags, "out": here})
    assert mine.is_file() and len(read_crystals(here / "crystals.jsonl")) == 1


def test_generated_crystals_are_refused(tmp_path: Path, flags: dict) -> None:
    flags["out"].mkdir()
    for name in (".in_use", "generated.json", "crystals.jsonl"):
        (flags["out"] / name).write_text("theirs")
    with pytest.raises(MiadError, match=r"holds crystals\.jsonl, which no evaluation has written"):
        evaluate.run(make_xyz(tmp_path), **flags)
    assert (flags["out"] / "crystals.jsonl").read_text() == "theirs"


def test_an_evaluation_that_was_killed_can_be_made_again(tmp_path: Path, flags: dict, monkeypatch) -> None:
    (tmp_path / "theirs.extxyz").write_text(xyz(energies=True))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(evaluate, "relax_once", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        evaluate.run(tmp_path / "theirs.extxyz", **flags)
    assert (flags["out"] / "crystals.jsonl").is_file() and not (flags["out"] / "row.json").exists()
    evaluate.run(tmp_path / "theirs.extxyz", **flags)
    assert counts(flags["out"])["attempted"] == 2
