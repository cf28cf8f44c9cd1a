"""Validity by hand, and fingerprints that do not depend on the cell."""

import gzip

import numpy as np
import pytest
from pymatgen.core import Element

from miad.core.crystal import Crystal
from miad.metrics import fingerprints
from miad.metrics.fingerprints import describe, describe_all, structure_fingerprint
from tests.builders.crystals import caesium_chloride, disguises, rock_salt


def pair(distance: float, cell: float = 6.0) -> Crystal:
    """Na and Cl so far apart (Å) in a cubic cell."""
    return Crystal("p", np.eye(3) * cell, np.array([[0, 0, 0], [distance / cell, 0, 0]]), np.array([11, 17]))


def structural_validity(crystal: Crystal, *, self_images: bool = False) -> bool:
    return describe(crystal).is_structure_valid(self_images=self_images)


def test_atoms_closer_than_half_an_angstrom_are_invalid() -> None:
    assert not structural_validity(pair(0.499))
    assert structural_validity(pair(0.501))
    assert not structural_validity(pair(5.6))  # also across the border of the cell


def test_an_atom_and_its_own_images_are_a_pair_only_if_asked_for() -> None:
    """The published scripts set the diagonal of the distance matrix to a large number, and so leave them out."""
    flat = pair(3.0).replace(lattice=np.diag([6.0, 6.0, 0.45]))
    assert structural_validity(flat) and not structural_validity(flat, self_images=True)
    assert structural_validity(pair(3.0), self_images=True)
    lone = Crystal("lone", np.diag([4.0, 4.0, 0.4]), np.zeros((1, 3)), np.array([2]))
    one = describe(lone)
    assert (one.distance, one.image_distance) == (None, pytest.approx(0.4))
    assert structural_validity(lone) and not structural_validity(lone, self_images=True)


def test_distances_and_volume_are_those_of_the_crystal() -> None:
    one = describe(rock_salt("a", a=5.64))
    assert one.distance == pytest.approx(5.64 / 2) and one.image_distance == pytest.approx(5.64)
    assert one.volume == pytest.approx(5.64**3) and one.density == pytest.approx(2.16, abs=0.01)


def test_flat_cells_are_invalid() -> None:
    flat = describe(pair(3.0).replace(lattice=np.diag([6.0, 6.0, 0.002])))
    assert not flat.is_structure_valid(self_images=False) and not flat.has_fingerprints
    assert flat.fault == flat.fingerprint_fault == "the cell has a volume of 0.072 Å³"
    assert flat.is_composition_valid and flat.volume == pytest.approx(0.072)


def test_the_structure_fingerprint_is_that_of_the_crystal_not_of_the_cell() -> None:
    fingerprints = [structure_fingerprint(one) for one in disguises(rock_salt("a"))]
    assert all(np.allclose(one, fingerprints[0], atol=1e-3) for one in fingerprints)
    assert fingerprints[0].shape == (61,)
    assert np.linalg.norm(structure_fingerprint(caesium_chloride("b")) - fingerprints[0]) > 0.4


@pytest.mark.parametrize("symbol", ["Bk", "Cf", "Es", "Fm", "Lr", "Rf", "Og"])
def test_an_element_without_a_radius_has_no_structure_fingerprint(symbol: str) -> None:
    one = describe(caesium_chloride("oxide").replace(atomic_numbers=np.array([Element(symbol).Z, 8])))
    assert one.fingerprint_fault == f"CrystalNN knows no radius of {symbol}"
    assert one.is_structure_valid(self_images=True) and one.num_elements == 2 and one.density > 0
    assert one.structure is None and not one.is_valid(self_images=False)  # as in CDVAE's script


@pytest.mark.parametrize("symbol", ["He", "Ne", "Ar", "Kr", "Xe", "Rn", "Pm", "At", "Fr", "Cm"])
def test_elements_without_an_electronegativity_have_fingerprints(symbol: str) -> None:
    with_oxygen = caesium_chloride("oxide").replace(atomic_numbers=np.array([Element(symbol).Z, 8]))
    lone = Crystal("lone", np.eye(3) * 30, np.zeros((1, 3)), np.array([Element(symbol).Z]))
    for crystal in (with_oxygen, lone):
        one = describe(crystal)
        assert one.has_fingerprints and one.fingerprint_fault is None
    assert one.is_valid(self_images=True)  # one-element crystals have a valid composition


@pytest.mark.parametrize("numbers", [[0, 8], [119, 8]])
def test_what_is_no_element_is_a_reason_and_no_crash(numbers: list[int]) -> None:
    one = describe(caesium_chloride("x").replace(atomic_numbers=np.array(numbers)))
    assert "which is no element" in one.fault
    assert not (one.is_composition_valid or one.is_structure_valid(self_images=False) or one.has_fingerprints)


def test_any_error_of_a_featurizer_is_a_reason(monkeypatch) -> None:
    def broken(crystal: Crystal) -> np.ndarray:
        raise KeyError("no such\nthing " * 100)

    monkeypatch.setattr(fingerprints, "structure_fingerprint", broken)
    one = describe(rock_salt("a"))
    assert one.fingerprint_fault.startswith("broken: KeyError: ") and len(one.fingerprint_fault) < 300
    assert one.structure is None and one.is_structure_valid(self_images=False)


def test_a_failed_sample_is_neither_valid_nor_covered() -> None:
    one = describe(rock_salt("a").failed("sample", "no real atom is left"))
    assert one.fault == "sample: no real atom is left"
    assert not one.is_valid(self_images=False) and not one.is_composition_valid and one.structure is None


def test_descriptions_survive_the_disk(tmp_path) -> None:
    path = tmp_path / "test.metrics.jsonl.gz"
    crystals = [rock_salt("a"), caesium_chloride("b"), rock_salt("x").failed("sample", "broken")]
    fresh = describe_all(crystals[:2], 1, path)
    assert len(gzip.decompress(path.read_bytes()).splitlines()) == 2
    for one, kept in zip(fresh, describe_all(crystals[:2], 1, path), strict=True):
        assert np.array_equal(one.structure, kept.structure)
        assert np.array_equal(one.composition, kept.composition, equal_nan=True)
        same = ("fault", "distance", "image_distance", "volume", "density", "num_elements", "composition_fault")
        assert [getattr(one, name) for name in same] == [getattr(kept, name) for name in same]


def test_a_crystal_that_cannot_be_described_has_a_reason_and_is_tried_again(tmp_path, monkeypatch) -> None:
    def odd(crystal: Crystal):
        if crystal.crystal_id == "b":
            raise RecursionError("too deep")
        return describe(crystal)

    path = tmp_path / "test.metrics.jsonl.gz"
    crystals = [rock_salt("a"), caesium_chloride("b")]
    with monkeypatch.context() as patch:
        patch.setattr(fingerprints, "describe", odd)
        fine, lost = describe_all(crystals, 1, path)
    assert fine.fault is None and lost.fault.startswith("RecursionError: too deep")
    assert not lost.has_fingerprints and not lost.is_valid(self_images=False)
    assert len(gzip.decompress(path.read_bytes()).splitlines()) == 1
    assert describe_all(crystals, 1, path)[1].fault is None


def test_descriptions_of_another_matminer_are_made_anew(tmp_path, monkeypatch) -> None:
    path = tmp_path / "test.metrics.jsonl.gz"
    for _ in range(2):
        describe_all([rock_salt("a")], 1, path)
    monkeypatch.setattr(fingerprints, "versions", lambda: {"matminer": "0.0"})
    describe_all([rock_salt("a")], 1, path)
    assert len(gzip.decompress(path.read_bytes()).splitlines()) == 2


def test_atoms_that_are_nowhere_are_invalid() -> None:
    nowhere = describe(pair(3.0).replace(frac_coords=np.full((2, 3), np.nan)))
    assert not nowhere.is_structure_valid(self_images=False) and "finite" in nowhere.fault
