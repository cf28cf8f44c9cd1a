"""The card of the built-in data set agrees with the shipped crystals."""

from collections import Counter
from importlib.resources import files

import pytest

from miad.core.crystal import Crystal, read_crystals
from miad.prototypes.candidates import NUM_CANDIDATES
from miad.prototypes.step import card

FOLDER = files("miad.prototypes")


@pytest.fixture(scope="module")
def kept() -> dict[str, list[Crystal]]:
    """The shipped crystals, by split."""
    return {name: read_crystals(FOLDER / f"prototypes_{name}.jsonl.gz") for name in ("train", "val", "test")}


@pytest.fixture(scope="module")
def shipped() -> str:
    return (FOLDER / "prototypes.md").read_text(encoding="utf-8")


def test_the_shipped_card_is_the_one_of_the_shipped_crystals(kept, shipped):
    written = card(kept, NUM_CANDIDATES, seed=0)
    lines = [[line for line in text.splitlines() if not line.startswith("Made with ")] for text in (written, shipped)]
    assert lines[0] == lines[1]


def test_card_tells_the_counts(kept, shipped):
    crystals = [crystal for part in kept.values() for crystal in part]
    assert f"{len(crystals)} crystals" in shipped
    kinds = Counter(crystal.source_id.split(":")[0] for crystal in crystals)
    for kind, count in kinds.items():
        row = [line for line in shipped.splitlines() if line.startswith(f"| {kind} |")]
        assert len(row) == 1 and row[0].endswith(f"| {count} |"), kind
