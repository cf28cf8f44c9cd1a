"""Reduced cells depend on the crystal alone, and survive the disk."""

import numpy as np
import pytest

from miad.core.errors import MiadError
from miad.core.sound import fault
from miad.sun.matching.reduced import content_key, read_reduced, reduce, write_reduced
from tests.builders.crystals import caesium_chloride, rock_salt


def test_reduction_finds_the_primitive_cell() -> None:
    assert reduce(rock_salt("a")).num_atoms == 2
    assert reduce(caesium_chloride("b")).num_atoms == 2


def test_the_key_tells_the_content_not_the_id() -> None:
    crystal = rock_salt("a")
    assert content_key(crystal) == content_key(rock_salt("b"))
    assert content_key(crystal) != content_key(rock_salt("a", a=5.65))
    assert content_key(crystal) != content_key(rock_salt("a", anion=35))


def test_reduced_cells_come_back_bit_by_bit(tmp_path) -> None:
    cell = reduce(rock_salt("a", a=5.6402))
    path = tmp_path / "reduced.jsonl.gz"
    write_reduced(path, {"key": cell})
    again = read_reduced(path)["key"]
    assert np.array_equal(again.lattice, cell.lattice) and np.array_equal(again.frac_coords, cell.frac_coords)
    assert read_reduced(tmp_path / "absent.jsonl.gz") == {} == read_reduced(None)


def test_a_damaged_file_is_named(tmp_path) -> None:
    (tmp_path / "odd.jsonl").write_text('["key", 1]\n')
    with pytest.raises(MiadError, match=r"odd\.jsonl, line 1"):
        read_reduced(tmp_path / "odd.jsonl")


def test_degenerate_cells_have_no_reduced_one() -> None:
    flat = rock_salt("flat").replace(lattice=np.diag([5.0, 5.0, 0.0]))
    needle = caesium_chloride("needle").replace(lattice=np.diag([0.5, 0.5, 500.0]))
    assert fault(flat) and reduce(flat) is None
    assert not fault(needle) and reduce(needle) is None
