"""Calculations that the Materials Project's cannot be compared with fail alone and say why; the others are kept."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from miad.core.crystal import read_crystals
from miad.dft.calculation import Calculation, plain_entry
from miad.dft.comparable import sound
from miad.dft.replay import read_runs, run
from tests.builders.vasp_stand_in import potcars
from tests.builders.vasp_stand_in.chain import SENT
from tests.builders.vasp_stand_in.runs import write_run


@pytest.fixture(scope="module")
def vasprun(tmp_path_factory) -> str:
    """A static run of NaCl at −6.8 eV, as text."""
    folder = tmp_path_factory.mktemp("static")
    potcars.write(folder / "potcars")
    write_run(folder / "run", SENT["NaCl"], -6.8, folder / "potcars" / "POT_GGA_PAW_PBE", True)
    return (folder / "run" / "vasprun.xml").read_text()


def value(text: str, key: str, new: str) -> str:
    """The text with another value wherever the key is set; at least once."""
    changed, count = re.subn(rf'(<i[^>]*name="{key}"[^>]*>)[^<]*(</i>)', rf"\g<1>{new}\g<2>", text)
    assert count
    return changed


def replay(folder: Path, **texts: str) -> dict[str, Calculation]:
    for name, text in texts.items():
        (folder / name).mkdir()
        (folder / name / "vasprun.xml").write_text(text, encoding="latin-1")
    return {one.crystal_id: one for one in read_runs(folder)}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"ICHARG": "11"}, "ICHARG = 11: not self-consistent"),
        ({"LSORBIT": "T"}, "LSORBIT"),
        ({"LNONCOLLINEAR": "T"}, "LNONCOLLINEAR"),
        ({"ENMAX": "200.0"}, "ENCUT = 200 eV is below 520"),
        ({"NELECT": "1.0"}, "the cell is charged"),
        ({"IBRION": "0", "NSW": "100"}, "molecular dynamics"),
        ({"e_fr_energy": "nan", "e_wo_entrp": "nan", "e_0_energy": "nan"}, "the energy is no finite number"),
        ({"e_fr_energy": "****", "e_wo_entrp": "****", "e_0_energy": "****"}, "the energy is no finite number"),
        ({"e_fr_energy": "250", "e_wo_entrp": "250", "e_0_energy": "250"}, "no crystal has an energy of"),
        ({"e_fr_energy": "-1e6", "e_wo_entrp": "-1e6", "e_0_energy": "-1e6"}, "no crystal has an energy of"),
    ],
)
@pytest.mark.filterwarnings("ignore:Float overflow")
def test_a_run_of_another_kind_fails_alone(vasprun, keys, said, tmp_path):
    text = vasprun
    for key, new in keys.items():
        text = value(text, key, new)
    found = replay(tmp_path, odd=text, good=vasprun)
    assert found["odd"].entry is None and said in found["odd"].failure and len(found["odd"].failure) < 300
    assert found["good"].failure is None and found["good"].entry["energy"] == -6.8


@pytest.mark.parametrize("title", ["PAW ", "PAW_GGA ", "US "])
def test_other_pseudopotentials_than_pbe_are_refused(vasprun, title, tmp_path):
    found = replay(tmp_path, odd=vasprun.replace("PAW_PBE ", title), good=vasprun)
    assert "is no PAW_PBE" in found["odd"].failure and found["good"].failure is None


def test_a_force_field_of_vasp_is_no_dft(vasprun, tmp_path):
    found = replay(tmp_path, odd=vasprun.replace("<incar>", '<incar><i type="logical" name="ML_LMLFF">T</i>'))
    assert "machine-learned force field" in found["odd"].failure


def test_a_run_without_an_ionic_step_fails_alone(vasprun, tmp_path):
    start, rest = vasprun.split("<calculation>", 1)
    found = replay(tmp_path, odd=start + rest.rsplit("</calculation>", 1)[1], good=vasprun)
    assert found["odd"].failure.startswith("replay: vasprun.xml: it has no ionic step")
    assert found["good"].failure is None


def test_pbe_by_its_own_name_is_the_gga_of_mp2020(vasprun, tmp_path):
    (tmp_path / "runs").mkdir()
    replay(tmp_path / "runs", explicit=value(vasprun, "GGA", "PE"), default=vasprun)
    run(tmp_path / "runs", crystals=tmp_path / "crystals.jsonl")
    default, explicit = read_crystals(tmp_path / "crystals.jsonl")
    assert default.failure is None and default.energy_per_atom == pytest.approx((-6.8 - 0.614) / 2)
    assert explicit.energy_per_atom == default.energy_per_atom


def test_letters_outside_of_ascii_and_an_unknown_valence_are_no_fault(vasprun, tmp_path):
    found = replay(tmp_path, a=value(vasprun, "SYSTEM", "NaCl, Å"), b=vasprun.replace('"atomtypes"', '"types"'))
    assert found["a"].failure is None and "charged" not in (found["b"].failure or "")


def calculated(energy: float, titles: list[str], run_type: str = "GGA") -> Calculation:
    structure = SENT["NaCl"].as_dict()
    return Calculation("a", plain_entry("a", structure, energy, {"run_type": run_type}, titles), potcars=titles)


@pytest.mark.parametrize("titles", [[], ["PBE Na_pv", "PBE Cl"], ["Na_pv", "Cl"], ["PAW_PBE Na_pv 19Sep2006"]])
def test_what_is_sound_stays_as_it_is(titles):
    assert sound(calculated(-6.8, titles)) == calculated(-6.8, titles)
    failed = Calculation("a", failure="replay: lost")
    assert sound(failed) is failed


def test_tables_go_through_the_same_gate(tmp_path):
    entries = [
        {**calculated(energy, titles).entry, "entry_id": name}
        for name, energy, titles in (
            ("nan", float("nan"), []),
            ("high", 500.0, []),
            ("lda", -6.8, ["PAW Na_pv", "PAW Cl"]),
            ("good", -6.8, []),
        )
    ]
    (tmp_path / "entries.json").write_text(json.dumps(entries))
    failures = {one.crystal_id: one.failure for one in read_runs(tmp_path / "entries.json")}
    assert "no finite number" in failures["nan"] and "no crystal has an energy" in failures["high"]
    assert "is no PAW_PBE" in failures["lda"] and failures["good"] is None
    (tmp_path / "calculations.jsonl").write_text(
        json.dumps(dataclasses.asdict(calculated(float("inf"), [])), sort_keys=True)
    )
    assert "no finite number" in read_runs(tmp_path / "calculations.jsonl")[0].failure


def test_pbe_with_u_in_a_table():
    assert calculated(-6.8, [], "PBE+U").entry["parameters"]["run_type"] == "GGA+U"
    assert calculated(-6.8, [], "PBEsol").entry["parameters"]["run_type"] == "PBEsol"


def test_a_cell_that_is_no_number_is_a_failure():
    broken = calculated(-6.8, [])
    broken.entry["structure"]["lattice"]["matrix"][0][0] = float("nan")
    assert sound(broken).failure.startswith("replay: a lattice vector or coordinate is not a finite number")


@pytest.mark.parametrize("where", ["basis", "positions"])
@pytest.mark.parametrize("odd", ["nan", "*********"])
@pytest.mark.filterwarnings("ignore:Float overflow")
def test_a_run_with_a_cell_or_coordinate_that_is_no_number_never_reaches_spglib(
    vasprun, where, odd, tmp_path, monkeypatch
):
    def refuse(*arguments, **keywords):
        raise AssertionError("spglib was asked")

    monkeypatch.setattr("pymatgen.symmetry.analyzer.SpacegroupAnalyzer", refuse)
    text = re.sub(rf'(<varray name="{where}" ><v>\s*)\S+', rf"\g<1>{odd}", vasprun)
    found = replay(tmp_path, odd=text, good=vasprun)
    assert found["odd"].entry is None and found["odd"].failure.startswith("replay: ")
    assert found["good"].failure is None


def test_a_run_that_does_not_name_its_pseudopotentials_is_refused(vasprun, tmp_path):
    found = replay(tmp_path, odd=re.sub(r"<c>\s*PAW_PBE[^<]*</c>", "<c>      </c>", vasprun), good=vasprun)
    assert "does not name its POTCARs" in found["odd"].failure and found["good"].failure is None


def test_the_pseudopotentials_are_asked_once(vasprun, tmp_path, monkeypatch):
    asked = []
    for module in ("comparable", "replay"):
        monkeypatch.setattr(f"miad.dft.{module}.foreign", lambda potcars: asked.append(potcars))
    replay(tmp_path, good=vasprun)
    assert len(asked) == 1


def test_the_stage_of_a_failure_is_said():
    assert sound(calculated(500.0, []), "static").failure.startswith("static: no crystal has an energy")


def test_a_long_reason_is_shortened():
    reason = Calculation("a", failure="replay: " + "x" * 1000 + "; give another").failure
    assert len(reason) < 300 and reason.startswith("replay: xxx") and reason.endswith("; give another")
