"""The Crystal and its JSON lines: nothing is lost, nothing is guessed."""

import dataclasses
import json

import numpy as np
import pytest
from pymatgen.core import DummySpecies, Lattice, Structure

from miad.core.crystal import Crystal, Failure, from_line, read_crystals, to_line, write_crystals
from miad.core.errors import MiadError

NACL = Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def crystal(crystal_id: str = "run-000-00001", **known) -> Crystal:
    return Crystal.from_structure(crystal_id, NACL, **known)


def fields(one: Crystal) -> dict:
    return {
        field.name: value.tolist() if isinstance(value := getattr(one, field.name), np.ndarray) else value
        for field in dataclasses.fields(one)
    }


def test_a_line_keeps_every_field_to_the_last_digit():
    full = Crystal(
        crystal_id="run-003-00017",
        lattice=np.random.default_rng(0).normal(size=(3, 3)) * 7,
        frac_coords=np.random.default_rng(1).random((4, 3)),
        atomic_numbers=np.array([0, 1, 99, 8]),
        source_id="mp-007", energy_per_atom=-1 / 3, calculator="chgnet 0.3.0", energy_frame="mp2020",
        initial_energy_per_atom=0.1 + 0.2, num_steps=0, rms_displacement=1e-300, volume_change=-0.0, converged=False,
        e_above_hull=0.0, is_unique=True, is_novel=False, failure=Failure("relax", "“quoted”: it broke"),
    )  # fmt: skip
    line = to_line(full)
    assert "\n" not in line
    assert fields(from_line(line)) == fields(full)


def test_unknown_stays_unknown_and_false_zero_and_empty_stay_known():
    bare = from_line(to_line(crystal()))
    assert bare.energy_per_atom is None and bare.converged is None and bare.failure is None
    known = from_line(to_line(crystal(converged=False, num_steps=0, source_id="", e_above_hull=0.0)))
    assert known.converged is False and known.num_steps == 0 and known.source_id == "" and known.e_above_hull == 0.0


def test_not_a_number_becomes_not_known_and_the_line_stays_json():
    line = to_line(crystal(energy_per_atom=float("nan"), e_above_hull=np.float32("inf"), num_steps=np.int64(3)))
    json.loads(line, parse_constant=pytest.fail)
    read = from_line(line)
    assert read.energy_per_atom is None and read.e_above_hull is None and read.num_steps == 3


def test_a_sample_that_diverged_keeps_its_line():
    diverged = crystal().replace(lattice=np.full((3, 3), np.nan), frac_coords=np.full((2, 3), np.inf))
    read = from_line(to_line(diverged.failed("sample", "not finite")))
    assert np.isnan(read.lattice).all() and np.isnan(read.frac_coords).all()
    assert read.failure == Failure("sample", "not finite")


def test_a_sample_without_atoms_keeps_its_line():
    empty = Crystal("run-000-00000", np.eye(3), np.empty((0, 3)), np.empty(0, dtype=int))
    read = from_line(to_line(empty))
    assert read.num_atoms == 0 and read.frac_coords.shape == (0, 3)


def test_ids_with_leading_zeros_and_files_of_both_kinds(tmp_path):
    crystals = [crystal(name) for name in ("007", "7", "0x7", "1e5", "null", "é-1")]
    for name in ("c.jsonl", "c.jsonl.gz"):
        write_crystals(tmp_path / name, crystals)
        assert [one.crystal_id for one in read_crystals(tmp_path / name)] == ["007", "7", "0x7", "1e5", "null", "é-1"]
    before = (tmp_path / "c.jsonl.gz").read_bytes()
    write_crystals(tmp_path / "c.jsonl.gz", iter(crystals))
    assert (tmp_path / "c.jsonl.gz").read_bytes() == before
    write_crystals(tmp_path / "none.jsonl", [])
    assert read_crystals(tmp_path / "none.jsonl") == []


def test_an_id_that_occurs_twice_is_named_with_both_lines(tmp_path):
    write_crystals(tmp_path / "c.jsonl", [crystal("a"), crystal("b"), crystal("a")])
    with pytest.raises(MiadError, match=r"c\.jsonl, line 3: the id a was already on line 1"):
        read_crystals(tmp_path / "c.jsonl")


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line[: len(line) // 2],
        lambda line: "",
        lambda line: "[]",
        lambda line: "null",
        lambda line: line.replace('"lattice"', '"cell"'),
        lambda line: line.replace("[11,17]", "[11]"),
        lambda line: line.replace("[[4.0,0.0,0.0],", "[[4.0,0.0],"),
        lambda line: line.replace("[11,17]", '["Na","Cl"]'),
    ],
)
def test_a_torn_or_foreign_line_is_named_with_the_remedy(tmp_path, change):
    line = to_line(crystal("b"))
    assert change(line) != line
    (tmp_path / "c.jsonl").write_text(to_line(crystal("a")) + "\n" + change(line) + "\n")
    with pytest.raises(MiadError, match=r"c\.jsonl, line 2 is not a crystal.*rerun the step.*`miad read`"):
        read_crystals(tmp_path / "c.jsonl")


def test_the_first_failure_is_the_one_that_counts():
    once = crystal().failed("sample", "no atoms")
    assert once.failure == Failure("sample", "no atoms") and str(once.failure) == "sample: no atoms"
    assert once.failed("relax", "exploded").failure == once.failure


def test_a_line_written_before_failures_had_two_fields_is_read():
    old = json.dumps({**json.loads(to_line(crystal())), "failure": "hull: no entries of Cl-Na: that add up"})
    assert from_line(old).failure == Failure("hull", "no entries of Cl-Na: that add up")


def test_a_crystal_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        crystal().failure = "x"
    one = crystal()
    assert one.replace(num_steps=3).num_steps == 3 and one.num_steps is None


def test_geometry_and_chemistry_follow_their_definitions():
    doubled = Crystal.from_structure("a", NACL * (2, 1, 1))
    assert doubled.num_atoms == 4
    assert doubled.volume == pytest.approx(2 * 4.0**3)
    assert doubled.reduced_formula == "NaCl" == crystal().reduced_formula
    assert doubled.chemical_system == "Cl-Na" and doubled.element_counts == {"Na": 2, "Cl": 2}
    assert doubled.structure == NACL * (2, 1, 1)
    left_handed = crystal().replace(lattice=-4.0 * np.eye(3))
    assert left_handed.volume == pytest.approx(64.0)


def test_coordinates_are_brought_into_the_cell():
    moved = Structure(NACL.lattice, ["Na", "Cl"], [[-1e-17, 1.0, -0.25], [2.5, -3.5, 0.999]])
    frac_coords = Crystal.from_structure("a", moved).frac_coords
    np.testing.assert_allclose(frac_coords, [[0, 0, 0.75], [0.5, 0.5, 0.999]], atol=1e-12)
    assert ((frac_coords >= 0) & (frac_coords < 1)).all()


def test_charged_species_count_as_their_elements():
    assert Crystal.from_structure("a", NACL.copy().add_oxidation_state_by_guess()).atomic_numbers.tolist() == [11, 17]


def test_partly_occupied_sites_are_refused():
    alloy = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(MiadError, match="it has partly occupied sites"):
        Crystal.from_structure("a", alloy)


def test_sites_that_hold_no_element_are_refused():
    with pytest.raises(MiadError, match=r"contains X, which is not an element.*1 to 99"):
        Crystal.from_structure("a", Structure(Lattice.cubic(3.6), [DummySpecies("X")], [[0, 0, 0]]))


def test_a_reason_is_one_printable_line_under_300_characters():
    failure = crystal().failed("read", "first words\nof \ud800 many " + "x" * 5000 + " then the remedy").failure
    assert failure.reason.startswith("first words of \\ud800 many") and failure.reason.endswith("then the remedy")
    assert len(str(failure)) < 300
    assert from_line(to_line(crystal().replace(failure=failure))).failure == failure


def test_what_failed_may_have_any_atoms_and_numbers():
    odd = crystal().replace(atomic_numbers=np.array([0, 119]), lattice=np.eye(3) * 1e200)
    assert from_line(to_line(odd.failed("sample", "odd"))).num_atoms == 2
    with pytest.raises(ValueError, match="no element"):
        from_line(to_line(odd))
