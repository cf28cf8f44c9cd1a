"""Trainings of the toy network for the tests: made, started as commands, and compared."""

import dataclasses
import json
import sys
from pathlib import Path

from miad.config.sections import Train
from miad.train import checkpoint
from miad.train import step as train


def flags(folder: Path) -> dict[str, Path]:
    return {"model": folder / "model.safetensors", "losses": folder / "losses.csv"}


def fit(settings: Train, data: dict[str, Path], folder: Path) -> Path:
    train.run(settings, **data, **flags(folder))
    return folder


def command(settings: Train, data: dict[str, Path], folder: Path, launcher: tuple = ("-m", "miad")) -> list[str]:
    files = {**data, **flags(folder)}
    return [sys.executable, *launcher, "train", "--settings", json.dumps(dataclasses.asdict(settings))] + [
        word for name, path in files.items() for word in (f"--{name}", str(path))
    ]


def curve(folder: Path) -> list[list[str]]:
    """The loss curve as written, without the time it took; the names of the columns come first."""
    rows = [line.split(",") for line in (folder / "losses.csv").read_text().splitlines()]
    assert rows[0][2] == "seconds"
    return [row[:2] + row[3:] for row in rows]


def assert_same(one: Path, other: Path) -> None:
    """Bit for bit the same curve and weights."""
    assert curve(one) == curve(other)
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def state(folder: Path, name: str = checkpoint.LAST) -> tuple[checkpoint.Progress, dict]:
    found = checkpoint.load(folder / "checkpoints" / name)
    assert found is not None
    return found
