"""Scalers of magpie features: CDVAE's, one of the user, and that of a set of crystals."""

import json
from pathlib import Path

import numpy as np
import pytest

from miad.core.errors import MiadError
from miad.metrics.fingerprints import Description
from miad.metrics.scaler import SHIPPED, chosen_scaler, read_scaler


def test_the_scaler_of_cdvae_ships_with_its_licence() -> None:
    (mean, deviation), name = chosen_scaler("cdvae", [])
    assert name == "cdvae" and mean.shape == deviation.shape == (132,)
    # The first features are the least, largest, … mean atomic number; the last is the mode of the space groups.
    assert (mean[0], deviation[0]) == (21.194441759304013, 16.35781741152948)
    assert (mean[-1], deviation[-1]) == (136.4664572257129, 85.980205895116)
    licence = SHIPPED.with_name("LICENCES.md").read_text(encoding="utf-8")
    assert "Copyright (c) 2021 Tian Xie, Xiang Fu" in licence and "The SMACT Developers" in licence
    assert licence.count("THE SOFTWARE IS PROVIDED") == 2


def test_the_shipped_numbers_are_those_of_the_copy_at_hand(real_data: Path) -> None:
    for ours, theirs in zip(read_scaler(SHIPPED), read_scaler(real_data / "cdvae_magpie_scaler.json"), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "record", [{}, {"means": [1.0] * 132}, {"means": [1.0], "stds": [1.0]}, {"means": [float("nan")] * 132}, []]
)
def test_an_odd_scaler_is_named(tmp_path: Path, record: object) -> None:
    (tmp_path / "s.json").write_text(json.dumps(record))
    with pytest.raises(MiadError, match=r"s\.json is no scaler .* means and stds"):
        chosen_scaler(str(tmp_path / "s.json"), [])


def test_a_test_split_without_features_gives_no_scaler() -> None:
    with pytest.raises(MiadError, match=r"metrics\.scaler: cdvae"):
        chosen_scaler(None, [Description()])
    (mean, deviation), name = chosen_scaler(None, [Description(composition=np.full(132, 2.0)), Description()])
    assert (mean[0], deviation[0]) == (2.0, 0.0) and "test split" in name
