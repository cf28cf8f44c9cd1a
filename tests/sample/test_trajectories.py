"""Statistics of the snapshots of a generation, on trajectories short enough to count by hand."""

import numpy as np
import pytest

from miad.core.errors import MiadError
from miad.sample import trajectories
from miad.sample.trajectories import Trajectory, joined, read, real_atoms, settled, turnover
from tests.builders.finished import TIMES, samples, write_trajectories


@pytest.fixture
def one(tmp_path) -> Trajectory:
    write_trajectories(tmp_path / "t.safetensors", samples("miad")[:4])
    return read(tmp_path / "t.safetensors")


def test_real_atoms_are_those_that_are_no_mirage(one):
    assert [(row["time"], row["mean"]) for row in real_atoms(one)] == list(zip(TIMES, [3, 4, 3, 2, 2], strict=True))
    assert all(row["low"] == row["mean"] == row["high"] for row in real_atoms(one))  # all crystals are alike


def test_atoms_appear_vanish_and_change_their_type(one):
    rows = {row["time"]: row for row in turnover(one)}
    assert (rows[30]["appeared"], rows[30]["vanished"], rows[30]["changed"]) == (1, 0, 1)
    assert (rows[20]["appeared"], rows[20]["vanished"], rows[20]["changed"]) == (0, 1, 0)
    assert (rows[10]["appeared"], rows[10]["vanished"], rows[10]["changed"]) == (0, 1, 0)
    assert (
        sum(row["appeared"] - row["vanished"] for row in rows.values()) == 2 - 3
    )  # three at the start, two in the end


def test_types_settle_once_they_stay_as_they_end(one):
    rows = {row["time"]: row for row in settled(one)}
    assert [rows[time]["real"] for time in TIMES] == [0.5, 1, 1, 1, 1]
    # Two places end as mirage: one is left at t = 20, the other, mirage at first, is real in between and left at 10.
    assert [rows[time]["mirage"] for time in TIMES] == [0, 0, 0.5, 1, 1]


def test_shards_are_joined_whatever_their_width():
    def part(crystals: int, atoms: int, times=(2, 1, 0)) -> Trajectory:
        size = (len(times), crystals, atoms)
        return Trajectory(np.array(times), np.ones((*size[:2], 3, 3)), np.ones((*size, 3)), np.ones(size, dtype=int))

    both = joined([part(3, 4), part(2, 6), part(5, 4, times=(9, 0))])
    assert both.species.shape == (3, 5, 6) and both.frac_coords.shape == (3, 5, 6, 3)
    assert both.species.sum() == 3 * (3 * 4 + 2 * 6)
    assert joined([]) is None


def test_snapshots_of_one_crystal_hold_its_real_atoms(one):
    frames = one.crystals(2)
    assert [frame.num_atoms for frame in frames] == [3, 4, 3, 2, 2]
    assert frames[-1].reduced_formula == samples("miad")[2].reduced_formula


def test_nothing_recorded_is_none_and_damage_is_named(tmp_path):
    from safetensors.numpy import save_file

    save_file({"times": np.zeros(0, dtype=int)}, tmp_path / "none.safetensors")
    assert read(tmp_path / "none.safetensors") is None
    (tmp_path / "odd.safetensors").write_bytes(b"odd")
    with pytest.raises(MiadError, match=r"odd\.safetensors holds no snapshots"):
        trajectories.read(tmp_path / "odd.safetensors")
