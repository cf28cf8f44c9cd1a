"""Settings of the steps as a config gives them, small and with one worker."""

import dataclasses

from miad.config.resolve import read_config
from miad.config.sections import Dataset, Hull, Metrics, Sun
from miad.sun.protocols import read_protocols
from tests.builders import ROOT

# The shipped protocols: what is counted here is what users get.
PROTOCOLS = read_config(ROOT / "config.yaml")["sun"]["protocols"]
STRICT = PROTOCOLS["strict"]


def dataset_settings() -> Dataset:
    return Dataset(0, "toy", {}, {}, None, {}, None, "total", None, "stop", [0.6, 0.2, 0.2])


def hull_settings(**changes) -> Hull:
    chosen = {"source": "dataset", "checksum": None, "energy_frame": None, "references": None, "missing": "report"}
    return Hull(dataset=dataset_settings(), **{**chosen, **changes})


def sun_settings(protocols=PROTOCOLS, protocol="strict", missing="report") -> Sun:
    return Sun(seed=0, hull=hull_settings(missing=missing), protocol=protocol, protocols=read_protocols(protocols), workers=1)


def metrics_settings(dataset: str = "toy", cutoffs: str | None = None) -> Metrics:
    named = dataclasses.replace(dataset_settings(), name=dataset)
    return Metrics(seed=0, dataset=named, enabled=True, cutoffs=cutoffs, scaler=None, workers=1)
