"""Mean and deviation by which magpie features are scaled before their distances are taken."""

import json
from pathlib import Path

import numpy as np

from miad.core.errors import MiadError
from miad.metrics.fingerprints import Description

Scaler = tuple[np.ndarray, np.ndarray]  # mean and deviation of the magpie features, (132,) each
CDVAE = "cdvae"  # value of metrics.scaler: the numbers that the published figures were made with
SHIPPED = Path(__file__).with_name("cdvae_scaler.json")
NUM_FEATURES = 132


def chosen_scaler(name: str | None, test: list[Description]) -> tuple[Scaler, str]:
    """The scaler that metrics.scaler names, and where it is from: CDVAE's, a file, or the test split (None).

    Raises:
        MiadError: the file is no scaler, or no crystal of the test split has magpie features.
    """
    if name is None:
        return scaler_of(test), "mean and deviation of the test split"
    return read_scaler(SHIPPED if name == CDVAE else Path(name)), name


def scaler_of(described: list[Description]) -> Scaler:
    """Mean and deviation of the magpie features of a set of crystals, NaN left out."""
    features = np.array([one.composition for one in described if one.composition is not None])
    if not len(features):
        raise MiadError(
            "No crystal of the test split has magpie features to take a scaler from. Set metrics.scaler: cdvae, or give"
            " --test crystals that can be read."
        )
    return np.nanmean(features, axis=0), np.nanstd(features, axis=0)


def read_scaler(path: Path) -> Scaler:
    """Mean and deviation of the magpie features, from JSON with the keys means and stds; a MiadError if it is not."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        mean, deviation = (np.array(record[key], dtype=float) for key in ("means", "stds"))
        if not mean.shape == deviation.shape == (NUM_FEATURES,) or not np.isfinite([mean, deviation]).all():
            raise ValueError(f"each must hold {NUM_FEATURES} finite numbers")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MiadError(
            f"{path} is no scaler ({error!r}); it needs the lists means and stds. Correct metrics.scaler."
        ) from error
    return mean, deviation
