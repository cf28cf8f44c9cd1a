"""config.yaml as it is shipped, to be changed."""

from miad.config.resolve import read_config
from tests.builders import ROOT


def shipped() -> dict:
    """config.yaml without ablations."""
    return {**read_config(ROOT / "config.yaml"), "ablations": {}}


def put(config: dict, *path_and_value) -> dict:
    """The config with a value at a path of keys, changed in place."""
    *parents, key, setting = path_and_value
    block = config
    for parent in parents:
        block = block.setdefault(parent, {})
    block[key] = setting
    return config
