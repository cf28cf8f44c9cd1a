"""DFT energies: corrected once, judged over all attempted samples, and never called DFT if they are not."""

import dataclasses
import json

import pytest
from pymatgen.core import Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry

from miad.config.sections import Dft, build
from miad.core.crystal import Crystal, read_crystals
from miad.core.errors import MiadError
from miad.core.tabular import read_csv
from miad.dft.calculation import (
    FLAGS,
    NO_ENERGY,
    NOT_DFT,
    Calculation,
    corrected,
    plain_entry,
    relaxed_by_dft,
    write_calculations,
)
from miad.dft.vasp.flow import STAGES
from miad.hull.convex import Entry
from tests.builders.finished import write_candidates
from tests.builders.vasp_stand_in.chain import SENT, Chain, ledger, settings
from tests.builders.vasp_stand_in.site import Site, calls

DFT = dataclasses.replace(build(settings(), Dft), enabled=True)
VERSION, TITLE = "6.4.2", "PAW_PBE {} 01Jan2001"
POTCARS = {"Fe": "Fe_pv", "Na": "Na_pv", "Mg": "Mg_pv", "Al": "Al", "Ni": "Ni_pv", "K": "K_sv", "Mn": "Mn_pv"}
U = {"Fe": 5.3, "Mn": 3.9}
# Reference energies of the elements, eV/atom, about those of the Materials Project.
ELEMENTS = {"Fe": -8.47, "O": -4.95, "Na": -1.31, "Cl": -1.84, "Al": -3.75, "Ni": -5.78, "Mg": -1.6, "K": -1.11}
ELEMENTS |= {"Br": -1.64, "Mn": -9.16, "S": -4.14}


def calculated(name: str, structure: Structure, energy: float, version: str = VERSION, **changes) -> Calculation:
    """A calculation as VASP and the Materials Project's sets would give it; energy in eV per cell."""
    symbols = [element.symbol for element in structure.composition]
    hubbards = {symbol: U.get(symbol, 0.0) for symbol in symbols} if "O" in symbols and set(symbols) & set(U) else {}
    titles = [TITLE.format(POTCARS.get(symbol, symbol)) for symbol in symbols]
    run = {"run_type": "GGA+U" if hubbards else "GGA", "is_hubbard": bool(hubbards), "hubbards": hubbards}
    entry = plain_entry(name, structure.as_dict(), energy, run, titles)
    known = {"entry": entry, "vasp_version": version, "potcars": titles, "core_hours": 1.0}
    return Calculation(name, **{**known, **changes})


def chain(folder, names, site: Site, hull: list[Entry], known: list[Crystal], **changes) -> Chain:
    return Chain(folder, ledger(names), hull, known, dataclasses.replace(DFT, **changes), site.vasp(num_chunks=2))


def judged(folder, calculations: list[Calculation], names: list[str], hull: list[Entry] | None = None, **changes):
    """The chain with calculations that are given."""
    hull = hull or [Entry(element, energy) for element, energy in ELEMENTS.items()]
    made = chain(folder, names, Site(folder), hull, [], **changes)
    made.write_inputs()
    made.triage()
    write_calculations(folder / "given.jsonl", calculations)
    made.judge([folder / "given.jsonl"])
    return made


# ------------------------------------------------------------------------------------------------ corrections


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("FeO", {"MP2020 anion correction (oxide)": -0.687, "MP2020 GGA/GGA+U mixing correction (Fe)": -2.256}),
        ("NaCl", {"MP2020 anion correction (Cl)": -0.614}),
        ("AlNi", {}),
    ],
)
def test_corrections_are_those_of_pymatgen(name, terms):
    entry = corrected(calculated(name, SENT[name], -10.0))
    assert {part.name: part.value for part in entry.energy_adjustments} == pytest.approx(terms)
    assert entry.energy == pytest.approx(-10.0 + sum(terms.values()))
    parameters = calculated(name, SENT[name], -10.0).entry["parameters"]
    reference = ComputedStructureEntry(SENT[name], -10.0, parameters=parameters)
    assert MaterialsProject2020Compatibility().process_entry(reference).energy == pytest.approx(entry.energy)


def test_what_mp2020_does_not_cover_fails_with_its_reason():
    wrong = calculated("FeO", SENT["FeO"], -10.0)
    wrong.entry["parameters"]["hubbards"] = {"Fe": 2.0, "O": 0.0}
    failed = relaxed_by_dft(ledger(["FeO"])[0], wrong, "DFT")
    assert str(failed.failure).startswith("dft: MP2020 does not apply") and failed.energy_per_atom is None


# ------------------------------------------------------------------------------------------------ all attempted samples


def test_every_attempted_sample_keeps_a_line_and_a_reason(tmp_path):
    done = [calculated("FeO", SENT["FeO"], -13.0), Calculation("NaCl", failure="relax_1: custodian: no cure; brmix")]
    made = judged(tmp_path, done, ["FeO", "NaCl"])
    lines = {one.crystal_id: one for one in read_crystals(tmp_path / "ledger.jsonl")}
    assert list(lines) == [one.crystal_id for one in made.samples]
    assert {name: one.failure and str(one.failure) for name, one in lines.items()} == {
        "FeO": None,
        "NaCl": "dft: relax_1: custodian: no cure; brmix",
        "high": "dft: not sent (0.500 eV/atom above the hull, limit 0.1)",
        "twin": "dft: not sent (duplicate of another sample)",
        "known": "dft: not sent (known from the training data)",
        "unsure": "dft: not sent (not compared with the others)",
        "lost": "sample: no atoms",
        "torn": "relax: exploded",
    }
    # Not a word of the calculator that chose is left beside DFT's.
    assert {one.calculator for one in lines.values()} == {None, "DFT"}
    table = made.table()
    assert table["calculator"] == "DFT"
    assert (table["attempted"], table["decoded"], table["relaxed"], table["sun"]) == ("8", "7", "1", "1")
    assert float(table["sun_percent"]) == pytest.approx(100 / 8)


def test_e_above_hull_by_hand(tmp_path):
    made = judged(tmp_path, [calculated("FeO", SENT["FeO"], -13.0)], ["FeO"])
    line = made.energies()["FeO"]
    per_atom = (-13.0 - 0.687 - 2.256) / 2
    assert float(line["energy_per_atom"]) == pytest.approx(per_atom)
    assert float(line["uncorrected_energy_per_atom"]) == pytest.approx(-6.5)
    assert float(line["e_above_hull"]) == pytest.approx(per_atom - (ELEMENTS["Fe"] + ELEMENTS["O"]) / 2)
    assert "oxide" in line["mp2020_terms"] and "-0.3435" in line["mp2020_terms"]
    assert line["run_type"] == "GGA+U"


def test_what_dft_finds_known_or_equal_is_neither_novel_nor_unique(tmp_path):
    # Two samples that DFT relaxes into the same crystal.
    done = [calculated("NaCl", SENT["NaCl"], -7.0), calculated("KBr", SENT["NaCl"], -7.2)]
    made = judged(tmp_path, done, ["NaCl", "KBr"])
    assert made.table()["unique"] == "1" and made.table()["sun"] == "1"


def test_a_queued_crystal_without_calculation_is_an_error(tmp_path):
    with pytest.raises(MiadError, match="NaCl was sent to DFT, but no calculation has it"):
        judged(tmp_path, [calculated("FeO", SENT["FeO"], -13.0)], ["FeO", "NaCl"])


# ------------------------------------------------------------------------------------------------ what it is called


def test_flags_of_pseudopotentials_reach_the_candidates(tmp_path):
    """The list of candidates must say that an energy is doubtful."""
    doubtful = dataclasses.replace(calculated("FeO", SENT["FeO"], -13.0), potcars=["PAW_PBE Yb_2 06Sep2000"])
    made = judged(tmp_path, [doubtful, calculated("NaCl", SENT["NaCl"], -7.2)], ["FeO", "NaCl"])
    assert made.row()["flags"] == {"FeO": [FLAGS["Yb_2"]]}
    names = {"ledger": "ledger.jsonl", "verdicts": "verdicts.jsonl", "row": "row.json"}
    write_candidates({key: tmp_path / name for key, name in names.items()}, tmp_path)
    lines = {line["crystal_id"]: line["flags"] for line in read_csv(tmp_path / "candidates.csv")}
    assert lines == {"FeO": FLAGS["Yb_2"], "NaCl": None}


def test_the_table_refuses_to_call_a_stand_in_dft(tmp_path):
    made = judged(tmp_path, [calculated("FeO", SENT["FeO"], -13.0, version="0.0.0-stand-in-not-vasp")], ["FeO"])
    assert made.table()["calculator"] == NOT_DFT and made.row()["calculator"] == NOT_DFT
    assert made.energies()["FeO"]["calculator"] == NOT_DFT


def test_nothing_is_called_dft_where_all_failed(tmp_path, caplog):
    made = judged(tmp_path, [Calculation("FeO", failure="relax_1: custodian: no cure; brmix")], ["FeO"])
    assert made.table()["calculator"] == NO_ENERGY and made.table()["sun"] == "0"
    assert f"no crystal has an energy: the table calls them '{NO_ENERGY}'" in caplog.text


def test_dft_and_stand_in_are_never_mixed(tmp_path):
    done = [
        calculated("FeO", SENT["FeO"], -13.0, version="0.0.0-stand-in-not-vasp"),
        calculated("NaCl", SENT["NaCl"], -7.0),
    ]
    with pytest.raises(MiadError, match=r"FeO was calculated by .*, which is not VASP, but NaCl by VASP"):
        judged(tmp_path, done, ["FeO", "NaCl"])


# ------------------------------------------------------------------------------------------------ estimates


def test_the_rule_is_written_down_and_used(tmp_path):
    done = [calculated("FeO", SENT["FeO"], -13.0)]
    (tmp_path / "a").mkdir()
    made = judged(tmp_path / "a", done, ["FeO"])
    assert made.row()["not_sent"] == "not_sun" and made.row()["calculator_name"] == "dft"
    lithium = [Entry("Li", -1.9), Entry("F", -1.8), *(Entry(element, e) for element, e in ELEMENTS.items())]
    others = [
        calculated("high", SENT["NaCl"], -7.0),
        calculated("twin", SENT["FeO"], -12.0),
        calculated("known", SENT["KBr"], 3.0),
    ]
    (tmp_path / "b").mkdir()
    estimated = judged(tmp_path / "b", [*done, *others], ["FeO"], hull=lithium, subsample=1, not_sent="estimate")
    row = estimated.row()
    assert row["not_sent"] == "estimate"
    # Every stratum has one sample here: the estimate is the count.
    rates = row["protocols"][row["headline"]]["rates"]
    assert rates["sun"]["value"] == pytest.approx(100 * 2 / 7)
    assert rates["stable"]["value"] == pytest.approx(100 * 3 / 7)
    # Duplicates and known crystals are drawn, not counted.
    assert rates["unique"] == rates["novel"] == {"value": None, "low": None, "high": None}
    assert float(estimated.table()["stable_percent"]) == pytest.approx(100 * 3 / 7, abs=1e-3)


def test_what_a_part_does_not_tell_is_left_blank(tmp_path):
    """Known crystals and duplicates are not sent: stable would be S.U.N. again, and all of it unique and novel."""
    made = judged(tmp_path, [calculated("FeO", SENT["FeO"], -13.0)], ["FeO"])
    table = made.table()
    blank = ("stable", "metastable", "unique_novel_among_stable", "unique_novel_among_metastable")
    assert {table[f"{rate}_percent{bound}"] for rate in blank for bound in ("", "_low", "_high")} == {""}
    assert table["stable"] == "1" and float(table["sun_percent"]) == float(table["msun_percent"]) == 14.2857
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "| – | – | 14.3 [" in text
    assert text.endswith(
        "\nchain, DFT: not sent to DFT counts as not S.U.N.; a dash is a rate that this does not tell.\n"
    )


# ------------------------------------------------------------------------------------------------ end to end


def end_to_end(folder, site: Site, names: list[str]) -> tuple[Chain, list[tuple[str, str]]]:
    made = chain(folder, names, site, [Entry(element, energy) for element, energy in ELEMENTS.items()], [])
    # One stage of NaCl needs custodian.
    made.run(site.script(folder / "script", {"kind": "zbrent", "formula": "NaCl", "stage": "relax_1", "times": 1}))
    return made, calls(folder / "script")


def check_end_to_end(made: Chain, seen: list[tuple[str, str]], names: list[str]) -> None:
    """Three stages each, corrections as pymatgen computes them, energies above the hull in the table."""
    from chgnet.model.model import CHGNet

    chgnet = CHGNet.load(use_device="cpu", verbose=False)
    lines = made.energies()
    assert sorted(lines) == sorted(names)
    relaxed = {one.crystal_id: one for one in read_crystals(made.folder / "relaxed.jsonl")}
    for name, line in lines.items():
        assert line["failure"] == "" and {(name, stage) for stage in STAGES} <= set(seen)
        structure = relaxed[name].structure
        energy = float(chgnet.predict_structure(structure)["e"])
        assert float(line["energy_per_atom"]) == pytest.approx(energy, abs=2e-4)
        height = sum(ELEMENTS[site.specie.symbol] for site in structure) / len(structure)
        assert float(line["e_above_hull"]) == pytest.approx(energy - height, abs=2e-4)
    assert "zbrent" in lines["NaCl"]["custodian"] and seen.count(("NaCl", "relax_1")) == 2
    assert lines["FeO"]["run_type"] == "GGA+U" and lines["NaCl"]["run_type"] == "GGA"
    table = made.table()
    assert table["calculator"] == NOT_DFT
    assert int(table["attempted"]) == len(names) + 6 and int(table["relaxed"]) == len(names)
    stable = sum(float(line["e_above_hull"]) < 0 for line in lines.values())
    assert int(table["sun"]) == int(table["stable"]) == stable > 0


def test_end_to_end(vasp_site, tmp_path):
    names = ["FeO", "NaCl"]
    check_end_to_end(*end_to_end(tmp_path, vasp_site, names), names)


@pytest.mark.vasp
def test_end_to_end_on_six_crystals(vasp_site, tmp_path):
    names = list(SENT)
    made, seen = end_to_end(tmp_path, vasp_site, names)
    check_end_to_end(made, seen, names)
    # Custodian sees a metal in AlNi and mends the smearing, as it does with VASP.
    assert "IncorrectSmearing" in made.energies()["AlNi"]["custodian"]
    print(json.dumps(made.energies(), indent=1))
