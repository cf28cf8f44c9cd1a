"""Soundness: each fault is named, and a crystal without any passes."""

import dataclasses

import numpy as np
import pytest

from miad.core.sound import NOT_FINITE, fault, finite, foreign_elements, is_broken, is_decoded, is_relaxed, sound
from tests.builders.crystals import caesium_chloride, rock_salt

SALT = rock_salt("a")
LIMITS = {"min_volume": 0.1}


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


NUMBERS = ("energy_per_atom", "initial_energy_per_atom", "rms_displacement", "volume_change", "e_above_hull")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_gate_fails_a_crystal_with_a_number_that_is_not_finite(name: str, value: float) -> None:
    passed = sound(SALT.replace(**{name: value}), "read")
    assert (passed.failure.step, passed.num_atoms) == ("read", 0)
    assert passed.failure.reason == f"its {name} is {value}, no finite number"


def test_the_gate_looks_at_every_number_of_a_crystal() -> None:
    numbers = {field.name for field in dataclasses.fields(SALT) if "float" in str(field.type)}
    assert numbers == set(NUMBERS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lattice": np.diag([5.64, np.nan, 5.64])}, NOT_FINITE),
        ({"frac_coords": np.full((8, 3), np.inf)}, NOT_FINITE),
        ({"lattice": np.zeros((3, 3))}, "a volume of 0"),
        ({"atomic_numbers": np.full(8, 119)}, "Z=119"),
    ],
)
def test_the_gate_fails_a_crystal_that_is_none(changes: dict, said: str) -> None:
    assert said in sound(SALT.replace(**changes), "dataset").failure.reason


def test_the_gate_passes_what_is_sound_and_what_failed_before() -> None:
    assert sound(SALT, "read") is SALT
    failed = SALT.failed("relax", "exploded").replace(energy_per_atom=np.nan)
    assert sound(failed, "read") is failed


def test_a_step_after_reading_keeps_the_atoms() -> None:
    assert sound(SALT.replace(energy_per_atom=np.nan), "relax").num_atoms == SALT.num_atoms


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *[("-1.5", -1.5), (3, 3.0), ("1e3", 1000.0)],
        *[(odd, None) for odd in ("nan", "inf", 10**400, None, "high", [], True, "")],
    ],
)
def test_a_number_of_a_file_is_finite_or_none(value, number) -> None:
    assert finite(value) == number
