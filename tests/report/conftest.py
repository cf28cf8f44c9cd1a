"""Tables that tests of this folder share."""

from pathlib import Path

import pytest

from miad.report import compare
from tests.builders.outcomes import judged, settings


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    judged(tmp_path, "miad", range(200), range(100))
    judged(tmp_path, "big", range(300), range(150))
    judged(tmp_path, "quick", range(210), range(110), samples_of="miad")
    judged(tmp_path, "both", range(10), range(5))
    config = settings(
        big={"mirage": {"num_atoms": 20}},
        quick={"relax": {"max_steps": 10}},
        both={"mirage": {"num_atoms": 20, "mask_loss": False}},
    )
    compare.run(results=tmp_path, out=tmp_path / "tables", runs=config)
    return tmp_path / "tables"
