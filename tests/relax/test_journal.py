"""The journal from which a killed run continues."""

import numpy as np
import pytest

from miad.core.crystal import Crystal
from miad.relax.journal import Journal


def crystal(name: str) -> Crystal:
    """A crystal of that id."""
    return Crystal(name, np.eye(3), np.zeros((1, 3)), np.array([1]), energy_per_atom=-1.5)


def test_finished_crystals_are_found_again(tmp_path):
    first = Journal(tmp_path / "out.jsonl", {"fmax": 0.1})
    assert first.finished == {}
    first.add(crystal("a"))
    again = Journal(tmp_path / "out.jsonl", {"fmax": 0.1}).finished  # `first` was never closed: it was killed
    assert list(again) == ["a"] and again["a"].energy_per_atom == -1.5


def test_torn_last_line_is_dropped_and_does_not_spoil_the_next(tmp_path):
    journal = Journal(tmp_path / "out.jsonl", {})
    journal.add(crystal("a"))
    with journal.path.open("a") as file:
        file.write('{"crystal_id":"b","latt')
    second = Journal(tmp_path / "out.jsonl", {})
    assert list(second.finished) == ["a"]
    second.add(crystal("c"))
    assert list(Journal(tmp_path / "out.jsonl", {}).finished) == ["a", "c"]


def test_journal_of_other_settings_is_not_reused(tmp_path):
    journal = Journal(tmp_path / "out.jsonl", {"fmax": 0.1})
    journal.add(crystal("a"))
    assert Journal(tmp_path / "out.jsonl", {"fmax": 0.2}).finished == {}


def test_is_hidden_beside_the_output_and_gone_when_done(tmp_path):
    journal = Journal(tmp_path / "out.jsonl", {})
    assert journal.path == tmp_path / ".out.jsonl.journal"
    with pytest.raises(KeyboardInterrupt), journal:
        raise KeyboardInterrupt
    assert journal.path.exists()
    with Journal(tmp_path / "out.jsonl", {}):
        assert journal.path.exists()
    assert not journal.path.exists()
