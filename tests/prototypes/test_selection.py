"""The sifting of the candidates."""

import numpy as np
import pytest

from miad.core.crystal import Crystal
from miad.prototypes import selection


def copper(name: str, energy: float, edge: float = 3.6) -> Crystal:
    """Copper with a made-up energy."""
    lattice = edge / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0.0]])
    known = {"energy_per_atom": energy, "energy_frame": "mp2020", "calculator": "test", "converged": True}
    return Crystal(name, lattice, np.zeros((1, 3)), np.array([29]), source_id="fcc:Cu", **known)


def test_the_lowest_of_equal_crystals_is_kept():
    kept = selection.without_duplicates([copper("a", -1.0), copper("b", -1.2, 3.62), copper("c", -1.1)], workers=1)
    assert [crystal.crystal_id for crystal in kept] == ["b"]


def test_failed_unconverged_and_collapsed_are_dropped():
    assert selection.is_sane(copper("a", -1.0))
    assert not selection.is_sane(copper("a", -1.0).failed("relax", "…"))
    assert not selection.is_sane(copper("a", -1.0).replace(converged=False))
    salt = copper("a", -1.0).replace(atomic_numbers=np.array([29, 17]), frac_coords=np.array([[0, 0, 0], [0.5] * 3]))
    assert not selection.is_sane(salt)  # two atoms in the volume of one
    assert selection.is_sane(salt.replace(lattice=salt.lattice * 1.5))


def test_split_is_disjoint_complete_and_60_20_20():
    parts = selection.split([copper(f"{index}", -1.0) for index in range(100)], seed=0)
    assert {name: len(part) for name, part in parts.items()} == {"train": 60, "val": 20, "test": 20}
    assert len({crystal.crystal_id for part in parts.values() for crystal in part}) == 100


def test_only_what_is_near_the_hull_of_all_sane_candidates_is_selected():
    """By hand: copper at -1.0 eV/atom, and in two stretched cells 0.05 and 0.2 eV/atom above it."""
    stretched = np.diag([1.0, 1.0, 1.4])
    near, far = (copper(name, energy).replace(source_id="x:Cu") for name, energy in (("near", -0.95), ("far", -0.8)))
    near, far = near.replace(lattice=near.lattice @ stretched), far.replace(lattice=far.lattice @ stretched**2)
    failed = copper("failed", -9.0).failed("relax", "…")  # lowest of all, had it relaxed
    parts = selection.select([copper("a", -1.0), near, far, failed, copper("b", -0.99, 3.61)], seed=0, workers=1)
    kept = sorted((one for part in parts.values() for one in part), key=lambda one: one.crystal_id)
    assert [one.crystal_id for one in kept] == ["proto-00000", "proto-00001"]
    assert [one.energy_per_atom for one in kept] == [-1.0, -0.95]
    assert [one.e_above_hull for one in kept] == pytest.approx([0.0, 0.05])


def test_a_compound_without_its_elements_has_no_hull():
    salt = copper("a", -1.0).replace(atomic_numbers=np.array([29, 17]), frac_coords=np.array([[0, 0, 0], [0.5] * 3]))
    with pytest.raises(ValueError, match="no pure Cl"):
        selection.energies_above_hull([copper("b", -1.0), salt])
