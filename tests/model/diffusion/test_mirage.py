"""Infusion and reduction at their edges."""

import numpy as np
import pytest
import torch

from miad.core.crystal import from_line, to_line
from miad.model.diffusion.mirage import circular_mean, infuse, reduce

CELL = 4 * np.eye(3)


def sample(lattice=CELL, frac_coords=None, species=(0, 5, 0, 8)):
    places = np.full((len(species), 3), 0.25) if frac_coords is None else frac_coords
    return reduce("r-000-00000", lattice.astype(np.float32), places.astype(np.float32), np.array(species))


def test_an_unknown_place_for_mirage_atoms_is_refused():
    with pytest.raises(ValueError, match="uniform or center, not centre"):
        infuse(torch.rand(1, 2, 3), torch.tensor([[1, 0]]), torch.rand(1, 2, 3), "centre")


def test_the_circular_mean_moves_with_the_crystal():
    places = torch.rand(1, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counted = torch.tensor([[[1], [1], [1], [0]]]).bool()
    shift = torch.tensor([0.4, 0.7, 0.95], dtype=torch.float64)
    gap = circular_mean((places + shift) % 1, counted) - circular_mean(places, counted) - shift
    assert (gap - gap.round()).abs().max() < 1e-12
    lone = circular_mean(places, torch.tensor([[[0], [0], [0], [1]]]).bool())
    assert torch.allclose(lone[0, 0], places[0, 3])


def test_reduction_keeps_the_real_atoms_in_order():
    places = np.arange(12).reshape(4, 3) / 12
    found = sample(frac_coords=places)
    assert found.failure is None and found.atomic_numbers.tolist() == [5, 8]
    assert np.allclose(found.frac_coords, places[[1, 3]], atol=1e-7)


def test_coordinates_rounded_up_to_one_are_zero():
    places = torch.remainder(torch.full((4, 3), -1e-9), 1.0).numpy()
    assert places.max() == 1.0  # what single precision makes of a tiny negative number
    assert sample(frac_coords=places).frac_coords.max() == 0.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["lattice", "frac_coords"])
def test_what_is_no_number_is_a_failed_sample_that_can_be_written(where, value):
    broken = {"lattice": CELL.copy(), "frac_coords": np.full((4, 3), 0.5)}
    broken[where][1, 2] = value
    found = sample(**broken)
    assert str(found.failure) == "sample: a lattice vector or coordinate is not a finite number"
    assert from_line(to_line(found)).failure == found.failure


def test_flat_cells_fail_and_left_handed_ones_do_not():
    assert "volume of" in sample(np.array([[4, 0, 0], [0, 4, 0], [4, 4, 1e-4]])).failure.reason
    assert sample(-CELL).failure is None
