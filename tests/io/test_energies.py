"""Energies of records: one is read, the others are named, none is guessed."""

import json
from pathlib import Path

import pandas
import pytest

from miad.io.any_format import read_any
from miad.io.energies import energies_of
from tests.builders.inputs import cifs, structures, xyz

OTHERS = ["total_energy", "e_total", "energy_eV", "final_energy", "E0", "corrected_energy_per_atom", "TOTEN", "e_tot"]


def rows(**more) -> list[dict]:
    return [{"id": name, "cif": text, **more} for name, text in cifs().items()]


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("key", OTHERS)
@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet", "extxyz"])
def test_energies_of_other_names_are_warned_of_once(tmp_path: Path, caplog, key: str, form: str) -> None:
    table, path = pandas.DataFrame(rows(**{key: -24.5})), tmp_path / f"e.{form}"
    if form == "extxyz":
        path.write_text(xyz().replace(" id=", f" {key}=-24.5 id="))
    elif form == "csv":
        table.to_csv(path)
    elif form == "parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=form == "jsonl")
    assert [one.energy_per_atom for one in read_any(path, "e")] == [None, None]
    [said] = warnings(caplog)
    assert f"`{key}` not read" in said and "Name it energy_per_atom" in said


def test_of_several_energies_the_one_that_is_read_is_named(tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    pandas.DataFrame(rows(energy=-24.0, Energy_Per_Atom=-3.0, total_energy=-24.1)).to_csv(tmp_path / "e.csv")
    assert [one.energy_per_atom for one in read_any(tmp_path / "e.csv", "e")] == [-3.0, -3.0]
    assert "energies are `Energy_Per_Atom`; not read: `energy`, `total_energy`" in caplog.text
    assert not warnings(caplog)


def test_heights_and_heats_of_formation_are_no_energies_to_warn_of(tmp_path: Path, caplog) -> None:
    more = {"e_above_hull": 0.1, "formation_energy_per_atom": -2.0, "energy_above_hull": 0.1, "efermi": 2.0, "n_e": 3}
    pandas.DataFrame(rows(**more)).to_csv(tmp_path / "e.csv")
    read_any(tmp_path / "e.csv", "e")
    assert not warnings(caplog)


def test_a_word_or_a_decimal_comma_is_no_energy_and_told(tmp_path: Path, caplog) -> None:
    pandas.DataFrame(rows(energy_per_atom="-3,5")).to_csv(tmp_path / "e.csv", sep=";")
    assert [one.energy_per_atom for one in read_any(tmp_path / "e.csv", "e")] == [None, None]
    assert "2 energies are no numbers, e.g. '-3,5'" in caplog.text


@pytest.mark.parametrize(
    ("energy", "said"), [(float("nan"), "nan"), (1e300, "1e+300, above"), (10**400, "inf, no finite number")]
)
def test_absurd_energies_fail_their_crystal(tmp_path: Path, energy, said: str) -> None:
    salt, chloride = (one.as_dict() for one in structures().values())
    records = [{"structure": salt, "energy_per_atom": energy}, {"structure": chloride, "energy_per_atom": -3}]
    (tmp_path / "e.json").write_text(json.dumps(records))
    bad, good = read_any(tmp_path / "e.json", "e")
    assert f"its energy_per_atom is {said}" in bad.failure.reason
    assert good.failure is None and good.energy_per_atom == -3.0


@pytest.mark.parametrize("correction", ["odd", [1], float("nan")])
def test_an_entry_with_an_odd_correction_has_no_energy(correction) -> None:
    entry = {"structure": structures()["salt-7"].as_dict(), "energy": -24.0, "correction": correction}
    known = energies_of(entry).known
    assert known.get("energy_per_atom") is None or known["energy_per_atom"] != known["energy_per_atom"]


def test_truth_values_are_no_energies() -> None:
    assert energies_of({"energy_per_atom": True}).known == {}
