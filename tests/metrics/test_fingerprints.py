"""Validity by hand, and fingerprints that do not depend on the cell."""

import gzip
import itertools

import numpy as np
import pytest
import smact
from smact.screening import pauling_test

from miad.core.crystal import Crystal
from miad.metrics.fingerprints import (
    compositional_validity,
    describe,
    describe_all,
    structural_validity,
    structure_fingerprint,
)
from tests.builders.crystals import caesium_chloride, disguises, rock_salt


def pair(distance: float, cell: float = 6.0) -> Crystal:
    """Na and Cl so far apart (Å) in a cubic cell."""
    return Crystal("p", np.eye(3) * cell, np.array([[0, 0, 0], [distance / cell, 0, 0]]), np.array([11, 17]))


def test_atoms_closer_than_half_an_angstrom_are_invalid() -> None:
    assert not structural_validity(pair(0.499))
    assert structural_validity(pair(0.501))
    # also across the border of the cell, and of an atom with its own image
    assert not structural_validity(pair(5.6))
    assert not structural_validity(pair(0.2, cell=0.45))


def test_flat_cells_are_invalid() -> None:
    assert not structural_validity(pair(3.0).replace(lattice=np.diag([6.0, 6.0, 0.002])))


@pytest.mark.parametrize(
    ("elements", "counts", "expected"),
    [
        (("Cl", "Na"), (1, 1), True),
        (("Cl", "Na"), (2, 1), False),  # Na has no state above +1
        (("Al", "O"), (2, 3), True),
        (("Al", "Ni"), (1, 1), True),  # an alloy
        (("Xe",), (1,), True),
        (("Ar", "Na"), (1, 1), False),  # no oxidation states of argon
    ],
)
def test_compositions_by_hand(elements: tuple, counts: tuple, expected: bool) -> None:
    assert compositional_validity(elements, counts) is expected


def every_choice(elements: tuple[str, ...], counts: tuple[int, ...]) -> bool:
    """CDVAE's definition: some choice of oxidation states is neutral and in the order of electronegativity."""
    known = [smact.Element(element) for element in elements]
    values = [element.pauling_eneg for element in known]
    choices = itertools.product(*(element.oxidation_states_smact14 or [] for element in known))
    neutral = (states for states in choices if np.dot(states, counts) == 0)
    return any(None in values or pauling_test(states, values) for states in neutral)


def test_the_verdict_is_that_of_trying_every_choice_of_oxidation_states() -> None:
    generator = np.random.default_rng(0)
    symbols = sorted(set(smact.ordered_elements(1, 94)))
    verdicts = []
    for _ in range(600):
        elements = tuple(generator.choice(symbols, generator.integers(2, 5), replace=False).tolist())
        if not set(elements) <= set(smact.metals):
            counts = tuple(generator.integers(1, 5, len(elements)).tolist())
            verdicts.append(compositional_validity(elements, counts))
            assert verdicts[-1] == every_choice(elements, counts), (elements, counts)
    assert 50 < sum(verdicts) < len(verdicts) - 50


def test_many_elements_are_judged_at_once() -> None:
    # 10¹⁰ choices, none of them neutral: an untrained model makes such samples
    elements = ("As", "Bi", "Fe", "Hf", "I", "Mn", "Nb", "Pa", "Si", "Sm", "Ti", "V", "W", "Os")
    assert not compositional_validity(elements, (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 101))


def test_the_structure_fingerprint_is_that_of_the_crystal_not_of_the_cell() -> None:
    fingerprints = [structure_fingerprint(one) for one in disguises(rock_salt("a"))]
    assert all(np.allclose(one, fingerprints[0], atol=1e-3) for one in fingerprints)
    assert fingerprints[0].shape == (61,)
    assert np.linalg.norm(structure_fingerprint(caesium_chloride("b")) - fingerprints[0]) > 0.4


def test_an_element_without_a_radius_has_no_structure_fingerprint() -> None:
    berkelium = caesium_chloride("BkBe").replace(atomic_numbers=np.array([97, 4]))
    assert structure_fingerprint(berkelium) is None


def test_a_failed_sample_is_neither_valid_nor_covered() -> None:
    one = describe(rock_salt("a").failed("sample", "no real atom is left"))
    assert not one.is_valid and one.structure is None


def test_descriptions_survive_the_disk(tmp_path) -> None:
    path = tmp_path / "test.described.jsonl.gz"
    crystals = [rock_salt("a"), caesium_chloride("b"), rock_salt("x").failed("sample", "broken")]
    fresh = describe_all(crystals[:2], 1, path)
    assert len(gzip.decompress(path.read_bytes()).splitlines()) == 2
    for one, kept in zip(fresh, describe_all(crystals[:2], 1, path), strict=True):
        assert np.array_equal(one.structure, kept.structure)
        assert np.array_equal(one.composition, kept.composition, equal_nan=True)
        assert (one.density, one.num_elements, one.is_valid) == (kept.density, kept.num_elements, kept.is_valid)


def test_atoms_that_are_nowhere_are_invalid() -> None:
    assert not structural_validity(pair(3.0).replace(frac_coords=np.full((2, 3), np.nan)))
