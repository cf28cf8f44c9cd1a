"""Every place where crystals or energies enter fails what is no finite number, by name; sound.py lists the places."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from miad.core.crystal import Crystal, read_crystals, to_line
from miad.core.errors import MiadError
from miad.dataset import step as dataset
from miad.dft import replay
from miad.hull.step import run as make_hull
from miad.io.any_format import read_any
from miad.relax import inflight
from miad.relax.step import in_flight
from miad.sun.step import read_references
from tests.builders.crystals import rock_salt
from tests.builders.inputs import cifs, structures, xyz
from tests.builders.settings import dataset_settings, hull_settings

FINE = structures()["cscl-8"].as_dict()
POTCARS = ["PAW_PBE Na_pv 19Sep2006", "PAW_PBE Cl 06Sep2000"]
ODD_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999"]
PLACES = {  # text of JSON that holds a number, and what stands there
    "cell": ('"matrix": [[3.5', '"matrix": [[{}'),
    "coordinates": ('"abc": [0.0', '"abc": [{}'),
    "energy": ('"energy_per_atom": -3.0', '"energy_per_atom": {}'),
}


def odd_record(place: str, number: str) -> str:
    text = json.dumps({"id": "bad", "structure": FINE, "energy_per_atom": -3.0})
    for key in ("a", "b", "c", "alpha", "volume"):  # the matrix alone decides
        FINE["lattice"].pop(key, None)
    before, after = PLACES[place]
    assert before in text
    return text.replace(before, after.format(number), 1)


@pytest.mark.parametrize("number", ODD_NUMBERS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_json_of_pymatgen(tmp_path: Path, suffix: str, place: str, number: str) -> None:
    fine, odd = json.dumps({"id": "fine", "structure": FINE}), odd_record(place, number)
    path = tmp_path / f"a{suffix}"
    path.write_text(f"{fine}\n{odd}\n" if suffix == ".jsonl" else f"[{fine},{odd}]")
    good, bad = read_any(path, "a")
    assert good.failure is None and (bad.source_id, bad.failure.step, bad.num_atoms) == ("bad", "read", 0)


@pytest.mark.parametrize("number", ["nan", "inf", "1e999"])
@pytest.mark.parametrize("place", ['Lattice="3.5', "\nNa 0.000000000000", "energy=-6.0"])
def test_extended_xyz(tmp_path: Path, place: str, number: str) -> None:
    text = xyz(energies=True)
    salt, cscl = text[: text.index("2\nLattice")], text[text.index("2\nLattice") :]
    assert place in cscl
    start = place.rstrip("0123456789.-")
    (tmp_path / "a.xyz").write_text(salt + cscl.replace(place, start + number, 1))
    salt, bad = read_any(tmp_path / "a.xyz", "a")
    assert (salt.failure, salt.energy_per_atom) == (None, -3.0)
    assert (bad.source_id, bad.failure.step) == ("cscl-8", "read")


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_csv_with_energies(tmp_path: Path, number: str) -> None:
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif", "energy_per_atom"])
        writer.writerows(
            [name, text, energy] for (name, text), energy in zip(cifs().items(), ["-3", number], strict=True)
        )
    good, bad = read_any(tmp_path / "a.csv", "a")
    assert good.energy_per_atom == -3.0
    assert bad.failure.reason == f"its energy_per_atom is {number}, no finite number"


def lines_of(*crystals: Crystal) -> str:
    return "".join(to_line(one) + "\n" for one in crystals)


ODD_CRYSTALS = [
    rock_salt("cell").replace(lattice=np.diag([5.64, 5.64, np.nan])),
    rock_salt("atom").replace(frac_coords=np.full((8, 3), np.nan)),
    rock_salt("flat").replace(lattice=np.diag([5.64, 5.64, 0.0])),
]


@pytest.mark.parametrize("bad", ODD_CRYSTALS, ids=lambda one: one.crystal_id)
def test_json_lines_of_ours_as_samples_and_as_references(tmp_path: Path, bad: Crystal) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines_of(*[rock_salt(f"salt-{number}") for number in range(10)], bad))
    *good, read = read_any(path, "a")
    assert [one.failure for one in good] == [None] * 10
    assert (read.failure.step, read.num_atoms) == ("read", 0)
    references, [found] = read_references({"train": path}, max_share=0.1)
    assert len(references["train"]) == 10 and found.unread == 1
    with pytest.raises(MiadError, match=r"a\.jsonl: 1 of 11 crystals cannot be read.* Correct --train"):
        read_references({"train": path}, max_share=0.05)


def test_json_lines_with_an_infinite_energy_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines_of(rock_salt("a").replace(energy_per_atom=-3.0)).replace("-3.0", "1e999"))
    with pytest.raises(MiadError, match=r"a\.jsonl, line 1 .*energy_per_atom is inf"):
        read_crystals(tmp_path / "a.jsonl")


@pytest.mark.parametrize("cell", ["nan", "inf", "?"])
def test_rows_of_a_data_set(tmp_path: Path, cell: str) -> None:
    text = cifs()["cscl-8"]
    start = text.index("_cell_length_a")
    odd = text.replace(text[start : text.index("\n", start)], f"_cell_length_a {cell}")
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["material_id", "cif"], ["fine", text], ["bad", odd]])
    settings = {**vars(dataset_settings()), "files": dict.fromkeys(("train", "val", "test"), str(tmp_path / "a.csv"))}
    outputs = {split: tmp_path / f"{split}.jsonl" for split in ("train", "val", "test")}
    with pytest.raises(MiadError, match=r"a\.csv, row 1 .*bad: its "):
        dataset.run(type(dataset_settings())(**settings), **outputs)


@pytest.mark.parametrize("number", ODD_NUMBERS)
def test_replayed_entries(tmp_path: Path, number: str, caplog) -> None:
    entry = {"structure": FINE, "energy": -6.0, "parameters": {"run_type": "GGA", "potcar_symbols": POTCARS}}
    text = json.dumps([{"entry_id": "fine", **entry}, {"entry_id": "bad", **entry}])
    (tmp_path / "runs.json").write_text(f"{number}".join(text.rsplit("-6.0", 1)))
    replay.run(tmp_path / "runs.json", crystals=tmp_path / "out.jsonl")
    found = {one.crystal_id: one for one in read_crystals(tmp_path / "out.jsonl")}
    assert found["fine"].failure is None and "no finite number" in found["bad"].failure.reason
    assert "runs.json: 1 of 2 crystals failed and keep a line with the reason" in caplog.text


def test_replayed_runs_of_which_none_can_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "runs.json").write_text(json.dumps([{"entry_id": "a", "structure": FINE, "energy": None}]))
    with pytest.raises(MiadError, match=r"runs\.json: none of its 1 crystals can be read, e\.g\. a: "):
        replay.run(tmp_path / "runs.json", crystals=tmp_path / "out.jsonl")
    assert len(read_crystals(tmp_path / "out.jsonl")) == 1


@pytest.mark.parametrize("name", ["energy_per_atom", "rms_displacement", "volume_change"])
def test_results_of_a_relaxation(monkeypatch, name: str) -> None:
    class Potential:
        label, native_frame, energy_frame = "made up", "mp2020", "mp2020"

        def relaxations(self, settings, device):
            return None

    class Flight:
        def __init__(self, *_):
            pass

        def run(self, crystals):
            return (one.replace(**{"energy_per_atom": -3.0, name: float("nan")}) for one in crystals)

    monkeypatch.setattr(inflight, "Flight", Flight)
    monkeypatch.setattr("miad.relax.step.problem_of", lambda *_: None)
    monkeypatch.setattr("miad.relax.step.correct", lambda crystal, *_: crystal)
    settings = type("Settings", (), {"min_distance": 0.5})
    [one] = in_flight([rock_salt("a")], settings, Potential(), "cpu", engine=object())
    assert str(one.failure) == f"relax: its {name} is nan, no finite number"


@pytest.mark.parametrize("number", ["nan", "inf", "1e999", "high"])
def test_entries_of_a_hull(tmp_path: Path, number: str) -> None:
    (tmp_path / "a.csv").write_text(f"formula,e_total_MP2020_per_atom\nNa,-1.3\nCl,{number}\n")
    with pytest.raises(MiadError, match=rf"a\.csv: 1 of 2 entries .*'{number}' is no number .*row 3 \(Cl\)"):
        make_hull(hull_settings(source=str(tmp_path / "a.csv")), hull=tmp_path / "entries.csv")
