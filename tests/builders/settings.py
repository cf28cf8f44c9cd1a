"""Settings of the steps as a config gives them, small and with one worker."""

import dataclasses

from miad.config.resolve import read_config
from miad.config.sections import Dataset, Hull, Metrics, Protocol, Sun, from_record
from tests.builders import ROOT

# The shipped protocols: what is counted here is what users get.
PROTOCOLS = read_config(ROOT / "config.yaml")["sun"]["protocols"]
STRICT = PROTOCOLS["strict"]


def protocol(name: str = "strict", **changes) -> Protocol:
    """A shipped protocol with some choices changed."""
    return from_record(Protocol, {**PROTOCOLS[name], **changes})


def dataset_settings() -> Dataset:
    return Dataset(
        seed=0,
        name="toy",
        files={},
        checksums={},
        max_crystals=None,
        exclude={},
        energy_column=None,
        energy_kind="total",
        energy_frame=None,
        unreadable="stop",
        split=[0.6, 0.2, 0.2],
    )


def hull_settings(**changes) -> Hull:
    chosen = {"source": "dataset", "checksum": None, "energy_frame": None, "references": None, "missing": "report"}
    return Hull(**{"dataset": dataset_settings(), **chosen, **changes})


def sun_settings(names=tuple(PROTOCOLS), headline="strict", missing="report") -> Sun:
    protocols = {name: protocol(name) for name in names}
    return Sun(seed=0, hull=hull_settings(missing=missing), protocol=headline, protocols=protocols, workers=1)


def metrics_settings(dataset: str = "toy", **changes) -> Metrics:
    named = dataclasses.replace(dataset_settings(), name=dataset)
    chosen = {"enabled": True, "cutoffs": None, "scaler": "cdvae", "self_images": False, "workers": 1, **changes}
    return Metrics(seed=0, dataset=named, **chosen)
