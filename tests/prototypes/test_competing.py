"""The search for competing phases: what is relaxed, what is kept, and that a killed search goes on."""

import csv
import gzip
import io
import json
from importlib.resources import files

import numpy as np
import pytest

from miad.core.crystal import Crystal, write_crystals
from miad.core.errors import MiadError
from miad.hull.convex import Entry, read_table
from miad.hull.sources import COMPETING_PHASES
from miad.prototypes import competing, step
from miad.prototypes.competing import SEARCHES, SYSTEMS, Journal, Search, phases_of, worth_relaxing
from miad.prototypes.screening import FLAT, Screened
from miad.prototypes.step import relax_settings
from miad.prototypes.systems import binary_cells

ELEMENTS = [Entry("Na", -1.3), Entry("Cl2", -1.8)]


def salt(num_sodium: int, num_chlorine: int, energy: float, name: str = "x") -> Screened:
    """A made-up cell of so many atoms, 25 Å³ each, with a screened energy per atom."""
    numbers = np.array([11] * num_sodium + [17] * num_chlorine)
    size = len(numbers)
    coords = np.arange(size)[:, None] / size * np.ones(3)
    return Screened(Crystal(name, np.eye(3) * (25.0 * size) ** (1 / 3), coords, numbers, source_id=name), energy)


def test_only_what_is_near_the_hull_of_all_is_relaxed():
    """By hand: NaCl at -3.4 makes the hull of Na2Cl -2.7, from which 0.04 eV/atom is near and 0.06 is not."""
    best, near, far = salt(1, 1, -3.4), salt(2, 1, -2.66), salt(2, 1, -2.64)
    assert worth_relaxing([best, near], ELEMENTS) == [best, near]
    assert worth_relaxing([best, far], ELEMENTS) == [best]
    assert worth_relaxing([far, best], [*ELEMENTS, Entry("NaCl", -9.0)]) == []


def test_the_best_two_different_ones_of_a_composition_are_relaxed():
    energies = {"a": -3.4, "a again": -3.3995, "b": -3.35, "c": -3.34, "high": -3.2}
    rivals = [salt(1, 1, energy, name) for name, energy in energies.items()]
    assert [one.crystal.crystal_id for one in worth_relaxing(rivals[::-1], ELEMENTS)] == ["a", "b"]
    assert [one.crystal.crystal_id for one in worth_relaxing([rivals[0], rivals[-1]], ELEMENTS)] == ["a"]


def test_a_cell_without_an_energy_is_no_rival():
    assert worth_relaxing([salt(1, 1, FLAT)], ELEMENTS) == []


def test_a_hole_of_the_potential_hides_nothing():
    hole, best = salt(2, 1, -45.0), salt(1, 1, -3.4)
    assert worth_relaxing([hole, best], ELEMENTS) == [best]


def test_the_lowest_sane_crystal_of_a_composition_is_a_phase():
    def relaxed(name: str, energy: float) -> Crystal:
        return salt(1, 1, 0.0, name).crystal.replace(energy_per_atom=energy, converged=True)

    crystals = [relaxed("high", -3.0), relaxed("low", -3.4), relaxed("lost", -9.0).failed("relax", "…")]
    crystals.append(relaxed("collapsed", -8.0).replace(lattice=np.eye(3)))
    assert phases_of(crystals) == [Entry("NaCl", -3.4, "low")]


def test_a_journal_goes_on_after_a_torn_line_and_starts_anew_for_another_key(tmp_path):
    path, one = tmp_path / "journal.jsonl", Search("Cl-Na", 4, 1, [Entry("NaCl", -3.4, "x")])
    journal = Journal(path, {"a": 1})
    journal.add([one, Search("Br-Na", 4, 0)])
    journal.close()
    path.write_text(path.read_text() + '{"system":"I-Na","num_scr')
    again = Journal(path, {"a": 1})
    again.close()
    assert again.searches == {"Cl-Na": one, "Br-Na": Search("Br-Na", 4, 0)}
    other = Journal(path, {"a": 2})
    other.close()
    assert not other.searches


@pytest.fixture
def halite(monkeypatch):
    """A data set of two elements with CHGNet's energies, and two small lots; the pairs that were asked for."""
    known = {"calculator": "test", "energy_frame": "mp2020"}
    crystals = [
        Crystal("na", np.eye(3) * 3, np.zeros((1, 3)), np.array([11]), energy_per_atom=-1.3, **known),
        Crystal("cl", np.eye(3) * 3, np.zeros((1, 3)), np.array([17]), energy_per_atom=-1.8, **known),
    ]
    asked = []

    def cells(pair: str) -> list[Crystal]:
        asked.append(pair)
        return [one for one in binary_cells(pair) if one.source_id in ("AB_cF8_225_a_b", "AB_cP2_221_b_a")]

    monkeypatch.setattr(competing, "lots", lambda crystals, seed: [["Cl-Na"], ["Cl-K"]])
    monkeypatch.setattr(competing, "binary_cells", cells)
    return crystals, asked


def test_a_search_in_shards_finds_rock_salt_and_its_tables_say_where_it_looked(tmp_path, halite):
    crystals, asked = halite
    for _ in range(2):  # the second time everything is there
        competing.search(tmp_path, crystals, 0, (1, 2), relax_settings(1))
    assert asked == ["Cl-Na"]
    competing.merge(tmp_path, crystals)
    table = read_table(tmp_path / COMPETING_PHASES)
    assert table.energy_frame == "mp2020" and table.source.startswith("CHGNet 0.3.0")
    [phase] = table.entries
    assert (phase.formula, phase.entry_id) == ("NaCl", "AB_cF8_225_a_b")
    assert phase.energy_per_atom == pytest.approx(-3.68, abs=0.03)  # CHGNet's of relaxed rock salt
    [row] = csv.DictReader(io.StringIO(gzip.decompress((tmp_path / SYSTEMS).read_bytes()).decode()))
    assert row["system"] == "Cl-Na" and int(row["num_screened"]) == 2 and int(row["num_relaxed"]) >= 1


def test_tables_hold_what_is_near_the_hull_only(tmp_path, halite):
    crystals, _ = halite
    journal = Journal(tmp_path / "competing-1-of-1.jsonl", competing.key_of(crystals))
    journal.add(
        [Search("Cl-Na", 9, 3, [Entry("NaCl", -3.4, "a"), Entry("Na2Cl", -2.68, "b"), Entry("NaCl3", -2.4, "c")])]
    )
    journal.close()
    competing.merge(tmp_path, crystals)
    # The hull of Na2Cl is at -2.7, that of NaCl3 at -2.6.
    assert [one.formula for one in read_table(tmp_path / COMPETING_PHASES).entries] == ["Na2Cl", "NaCl"]


def test_shards_need_the_data_set_and_have_a_number(tmp_path):
    with pytest.raises(MiadError, match="no data set yet"):
        step.run(out=tmp_path, shard="2/2")
    with pytest.raises(MiadError, match="no data set yet"):
        step.run(out=tmp_path, merge=True)
    for odd in ("3/2", "0/2", "1", "a/b"):
        with pytest.raises(MiadError, match="no part of a whole"):
            step.run(out=tmp_path, shard=odd)


def test_one_command_searches_and_merges(tmp_path, halite):
    crystals, asked = halite
    for split, part in zip(("train", "val", "test"), ([crystals[0]], [crystals[1]], []), strict=True):
        write_crystals(tmp_path / f"prototypes_{split}.jsonl.gz", part)
    step.run(out=tmp_path, workers=1, shard="1/2")
    assert not (tmp_path / COMPETING_PHASES).exists()
    step.run(out=tmp_path, merge=True)
    assert [one.formula for one in read_table(tmp_path / COMPETING_PHASES).entries] == ["NaCl"]
    assert asked == ["Cl-Na"]


def test_a_search_goes_on_from_what_ships(tmp_path, monkeypatch):
    """Of systems that were searched nothing is searched again, and the tables that ship come out of the searches."""
    place = files("miad.prototypes")
    lines = gzip.decompress((place / SEARCHES).read_bytes()).decode().splitlines()[1:]
    monkeypatch.setattr(competing, "lots", lambda crystals, seed: [[json.loads(line)["system"]] for line in lines])
    step.run(out=tmp_path, workers=1, go_on=True)
    for name in (COMPETING_PHASES, SYSTEMS):
        made, shipped = (gzip.decompress((folder / name).read_bytes()) for folder in (tmp_path, place))
        assert made == shipped
    assert (tmp_path / "competing-1-of-1.jsonl").read_text().count("\n") == 1
