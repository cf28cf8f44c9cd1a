"""The name of calculations in the table, their flags, and their way through a file."""

import pytest

from miad.core.errors import MiadError
from miad.dft.calculation import (
    NO_ENERGY,
    NOT_DFT,
    Calculation,
    label,
    plain_entry,
    read_calculations,
    write_calculations,
)
from tests.builders.vasp_stand_in.chain import SENT


def calculated(version: str | None = "6.4.2", potcars: tuple[str, ...] = ("PAW_PBE Fe_pv 02Aug2007",)) -> Calculation:
    run = {"run_type": "GGA", "is_hubbard": False, "hubbards": {}}
    entry = plain_entry("FeO", SENT["FeO"].as_dict(), -13.0, run, list(potcars))
    return Calculation("FeO", entry=entry, vasp_version=version, potcars=list(potcars))


@pytest.mark.parametrize("version", ["4.6.35", "5.4.4.18Apr17-6-g9f103f2a35", "6.4.2", None])
def test_vasp_is_dft(version):
    assert calculated(version).is_dft and label([calculated(version)]) == "DFT"


@pytest.mark.parametrize("version", ["0.0.0-stand-in-not-vasp", "CHGNet 0.3.0", "7", ""])
def test_what_does_not_say_that_it_is_vasp_is_not_dft(version):
    assert not calculated(version).is_dft and label([calculated(version)]) == NOT_DFT


def test_synthetic_pseudopotentials_are_enough_to_tell():
    assert not calculated(potcars=("PAW_PBE Fe_pv SYNTHETIC",)).is_dft


def test_dft_and_stand_in_are_never_mixed():
    with pytest.raises(MiadError, match="which is not VASP, but FeO by VASP"):
        label([calculated(), calculated("0.0.0-stand-in-not-vasp")])
    # One that failed has no energy, and does not count.
    assert label([calculated(), Calculation("x", failure="relax_1: no")]) == "DFT"


def test_nothing_is_called_dft_where_there_is_no_energy():
    assert label([]) == label([Calculation("x", failure="relax_1: no")]) == NO_ENERGY != "DFT"


def test_known_problems_of_pseudopotentials_are_flagged():
    flags = calculated(potcars=("PAW_PBE Yb_2 06Sep2000", "PAW_PBE W_pv 06Sep2000")).flags
    assert [flag[:4] for flag in flags] == ["Yb_2", "W_pv"]
    assert calculated().flags == []


def test_calculations_survive_a_round_trip(tmp_path):
    done = [calculated(), Calculation("x", failure="relax_1: no")]
    write_calculations(tmp_path / "c.jsonl", done)
    assert read_calculations(tmp_path / "c.jsonl") == done
    (tmp_path / "c.jsonl").write_text('{"crystal": 1}\n')
    with pytest.raises(MiadError, match="line 1 is not a calculation"):
        read_calculations(tmp_path / "c.jsonl")
