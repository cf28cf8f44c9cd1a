"""Soundness: each fault is named, and a crystal without any passes."""

import numpy as np
import pytest

from miad.core.sound import fault, foreign_elements, is_broken, is_decoded, is_relaxed
from tests.builders.crystals import caesium_chloride, rock_salt

SALT = rock_salt("a")
LIMITS = {"min_volume": 0.1, "min_fill": 1e-6, "min_distance": 0.5}


def test_sound_crystals_have_no_fault() -> None:
    assert fault(SALT, **LIMITS) is None
    assert fault(SALT.replace(lattice=-SALT.lattice), **LIMITS) is None  # left-handed
    assert fault(caesium_chloride("needle").replace(lattice=np.diag([0.6, 0.6, 500.0])), **LIMITS) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frac_coords": np.zeros((0, 3)), "atomic_numbers": np.zeros(0, dtype=int)}, "no atoms"),
        ({"lattice": np.diag([5.0, np.nan, 5.0])}, "not a finite number"),
        ({"frac_coords": np.full((8, 3), np.inf)}, "not a finite number"),
        ({"atomic_numbers": np.array([11] * 7 + [119])}, "Z=119, which is no element"),
        ({"atomic_numbers": np.array([11] * 7 + [0])}, "Z=0, which is no element"),
        ({"lattice": np.diag([5.0, 5.0, 0.0])}, "volume of 0 Å³"),
        ({"lattice": np.diag([6.0, 6.0, 0.002])}, "volume of 0.072 Å³"),
        ({"lattice": np.array([[1e4, 0, 0], [0, 1e4, 0], [1e4, 0, 1e-3]])}, "flat"),
        ({"lattice": np.eye(3) * 0.7}, "closer than 0.5 Å (0.350 Å)"),
    ],
)
def test_each_fault_is_named(changes: dict, said: str) -> None:
    assert said in fault(SALT.replace(**changes), **LIMITS)


def test_without_limits_only_what_is_no_crystal_is_a_fault() -> None:
    assert fault(SALT.replace(lattice=np.diag([6.0, 6.0, 0.002]))) is None
    assert fault(SALT.replace(lattice=np.diag([6.0, 6.0, 0.0]))) is not None


def test_elements_that_are_not_known_are_named() -> None:
    assert foreign_elements(SALT) == [] and foreign_elements(SALT, {17}) == ["Na"]
    assert foreign_elements(SALT.replace(atomic_numbers=np.array([11] * 6 + [86, 200])), {11}) == ["Rn", "Z=200"]


def test_how_far_a_sample_came() -> None:
    fine = SALT.replace(energy_per_atom=-3.0)
    assert is_decoded(fine) and is_relaxed(fine)
    assert not is_decoded(fine.failed("sample", "x")) and not is_decoded(fine.failed("read", "x"))
    assert is_decoded(fine.failed("relax", "x")) and not is_relaxed(fine.failed("relax", "x"))
    assert is_broken(fine.failed("relax", "x")) and not is_broken(fine)
    assert is_relaxed(fine.failed("hull", "no entry with Tc")) and not is_broken(fine.failed("hull", "x"))
    assert not is_relaxed(fine.replace(energy_per_atom=None))
