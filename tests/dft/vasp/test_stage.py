"""Continuation of a stage that was killed, and the meaning of its errors."""

import errno
import json

import pytest
from pymatgen.io.vasp.sets import MPRelaxSet

from miad.dft.vasp.attempts import attempts, contcar_of, crashes, set_aside
from miad.dft.vasp.ending import ENDING, Ending, custodian_errors
from miad.dft.vasp.stage import _run
from tests.builders.vasp_stand_in.chain import SENT


def test_attempts_are_set_aside_in_order(tmp_path):
    folder = tmp_path / "relax_1"
    assert set_aside(folder) is None
    for count in range(1, 12):
        assert set_aside(folder) == tmp_path / f"relax_1.{count}"
    assert [path.suffix for path in attempts(folder)] == [f".{count}" for count in range(1, 12)]


def test_only_crashes_and_kills_count(tmp_path):
    folder = tmp_path / "relax_1"
    kinds = {1: "walltime", 2: "crashed", 3: "stopped", 4: None}
    for number, kind in kinds.items():
        attempt = tmp_path / f"relax_1.{number}"
        attempt.mkdir()
        if kind:
            (attempt / ENDING).write_text(json.dumps({"kind": kind, "reason": "why"}))
    assert [path.suffix for path in crashes(folder)] == [".2", ".4"]
    assert [Ending.of(path).reason for path in crashes(folder)] == [
        "why",
        "killed from outside, perhaps for lack of memory",
    ]


@pytest.mark.parametrize("text", ["", "Na\n1.0\n 1.0 0.0", "garbage\n" * 9])
def test_a_torn_contcar_is_no_start(tmp_path, text):
    (tmp_path / "CONTCAR").write_text(text)
    assert contcar_of(tmp_path) is None


def test_an_attempt_goes_on_with_the_moments_that_it_began_with(tmp_path):
    SENT["FeO"].to(str(tmp_path / "CONTCAR"), fmt="poscar")
    (tmp_path / "INCAR").write_text("ISPIN = 2\nMAGMOM = 1*3.6 1*0.1\n")
    assert MPRelaxSet(contcar_of(tmp_path)).incar["MAGMOM"] == [3.6, 0.1]
    (tmp_path / "INCAR").write_text("ISPIN = 2\n")
    assert MPRelaxSet(contcar_of(tmp_path)).incar["MAGMOM"] == [5, 0.6]


def test_a_full_disk_is_not_the_crystals_fault(tmp_path):
    class Job:
        def run(self, store) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "relax_1").mkdir()
    with pytest.raises(OSError, match="No space"):
        _run(Job(), tmp_path / "relax_1", None)
    assert set_aside(tmp_path / "relax_1") == tmp_path / "relax_1.1" and crashes(tmp_path / "relax_1") == []


def test_files_of_a_killed_attempt_come_back_from_scratch(tmp_path):
    scratch, folder = tmp_path / "scratch", tmp_path / "relax_1"
    scratch.mkdir()
    folder.mkdir()
    (folder / "scratch_link").symlink_to(scratch)
    SENT["NaCl"].to(str(scratch / "CONTCAR"), fmt="poscar")
    (scratch / "WAVECAR").write_text("wavefunctions")
    (scratch / "CHGCAR").touch()
    aside = set_aside(folder)
    assert aside == tmp_path / "relax_1.1" and contcar_of(aside) == SENT["NaCl"]
    # What VASP can start from is at hand; an empty file is not.
    assert sorted(path.name for path in folder.iterdir()) == ["WAVECAR"]
    assert not scratch.exists()


def test_wavefunctions_without_a_structure_are_left(tmp_path):
    folder = tmp_path / "relax_1"
    folder.mkdir()
    (folder / "WAVECAR").write_text("wavefunctions")
    set_aside(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("left", ["", '[{"corrections": [{'])
def test_what_custodian_was_killed_over_says_nothing(left, tmp_path):
    """It stands in an attempt that was set aside: it must not stop the crystal once that has finished."""
    (tmp_path / "custodian.json").write_text(left)
    assert custodian_errors(tmp_path) == []
    seen = [{"corrections": [{"handler": {"@class": "VaspErrorHandler"}, "errors": ["zbrent", "brmix"]}]}]
    (tmp_path / "custodian.json").write_text(json.dumps(seen))
    assert custodian_errors(tmp_path) == ["VaspErrorHandler: zbrent, brmix"]
