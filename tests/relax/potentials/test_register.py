"""The potentials: their labels and their energy frames."""

import dataclasses

import pytest

from miad.config.resolve import read_settings
from miad.config.sections import Relax
from miad.core.errors import MiadError
from miad.relax.potentials.chgnet import Chgnet
from miad.relax.potentials.register import POTENTIALS, check, potential
from tests.builders import ROOT


def test_label_names_version_and_weights():
    assert Chgnet().label.startswith("CHGNet 0.3.0 (chgnet 0.")
    assert "sha256:d14ab7c0f093efe6" in Chgnet().label


def test_chgnet_energies_are_corrected_already():
    assert Chgnet().native_frame == Chgnet().energy_frame == "mp2020"


def test_unknown_potential_is_an_error_that_lists_the_known():
    with pytest.raises(MiadError, match="chgnet"):
        potential("chgnte")


def test_every_potential_says_its_frame():
    for name in POTENTIALS:
        assert potential(name).native_frame in ("mp2020", "uncorrected")


def test_a_potential_without_its_files_is_refused_before_it_is_needed(tmp_path):
    relax = read_settings(str(ROOT / "config.yaml"), Relax)
    check(relax, "chgnet")
    absent = {"eqv2": {"checkpoint": str(tmp_path / "absent.pt")}}
    with pytest.raises(MiadError, match="absent"):
        check(dataclasses.replace(relax, potentials=absent), "eqv2")
