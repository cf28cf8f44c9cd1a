"""The viewer's program may stand in the page, and takes crystals as it says."""

import logging
from importlib import metadata

import numpy as np

from miad.core.crystal import Crystal
from miad.report.page import viewer


def test_crystals_have_cartesian_coordinates_and_a_cell_of_rows():
    lattice = np.array([[3.0, 0, 0], [1.0, 4.0, 0], [0.5, 0.25, 5.0]])
    crystal = Crystal("skewed", lattice, np.array([[0.0, 0, 0], [0.5, 0.5, 0.2]]), np.array([11, 17]))
    found = viewer.structure(crystal)
    assert (found["size"], found["names"]) == (2, ["Na", "Cl"])
    # Half of the first row, half of the second, a fifth of the third.
    assert (found["x"][1], found["y"][1], found["z"][1]) == (2.1, 2.05, 1.0)
    assert found["cell"] == [3.0, 0, 0, 1.0, 4.0, 0, 0.5, 0.25, 5.0]


def test_script_ends_within_the_library_are_defused():
    text = viewer.library()
    assert len(text) > 1_000_000 and "</script" not in text.lower() and "<!--" not in text


def test_another_version_than_the_checked_one_is_told(monkeypatch, caplog):
    with caplog.at_level(logging.WARNING):
        assert viewer.version() == metadata.version(viewer.PACKAGE)  # the pinned one is the checked one
    assert not caplog.records
    monkeypatch.setattr(viewer.metadata, "version", lambda name: "1.10.0")
    assert viewer.version() == "1.10.0" and "not with 1.10.0" in caplog.text
