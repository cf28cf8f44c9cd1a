"""The meaning of errors that end an attempt at a stage."""

import pytest
from custodian.vasp.handlers import WalltimeHandler

from miad.dft.vasp.attempts import crashes, set_aside
from miad.dft.vasp.ending import Ending, ParserFailed, ending_of
from miad.dft.vasp.stage import _end, _run


class Job:
    """A job that ends as it is told, where atomate2 would run VASP."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def run(self, store) -> None:
        self.run_vasp()

    def run_vasp(self) -> None:
        raise self.error


class Parsing(Job):
    """A job that fails after VASP has run."""

    def run(self, store) -> None:
        raise self.error


def at_the_end_of_the_walltime() -> RuntimeError:
    error = RuntimeError("stopped")
    error.handler = WalltimeHandler()
    return error


def test_a_walltime_without_an_ionic_step_counts_as_an_attempt(tmp_path):
    """It would be tried for ever: each job would begin where the one before did."""
    folder = tmp_path / "relax_1"
    for has_progress, kind in ((True, "walltime"), (False, "hung")):
        set_aside(folder)
        ending = ending_of(folder, at_the_end_of_the_walltime(), has_progress=has_progress)
        assert ending.kind == kind
        ending.write(folder)
    set_aside(folder)
    assert [path.name for path in crashes(folder)] == ["relax_1.2"]


@pytest.mark.parametrize(("is_late", "kind"), [(True, "hung"), (False, "stopped")])
def test_a_calculation_that_hangs_until_the_job_is_ended_counts_as_an_attempt(is_late, kind, tmp_path):
    folder = tmp_path / "relax_1"
    set_aside(folder)
    with pytest.raises(SystemExit):
        _run(Job(SystemExit(143)), folder, None, lambda: is_late)
    assert Ending.of(folder).kind == kind
    set_aside(folder)
    assert len(crashes(folder)) == is_late


def test_an_error_before_the_end_of_vasp_is_no_parsers_fault(tmp_path):
    (tmp_path / "custodian.json").write_text("[]")
    error = _run(Job(ValueError("broken file")), tmp_path, None)
    ending = ending_of(tmp_path, error, has_progress=True)
    assert ending.kind == "crashed" and ending.where.startswith("ValueError in test_ending.py, line ")


def test_an_error_after_vasp_is_the_parsers(tmp_path):
    error = _run(Parsing(ValueError("a key of another version")), tmp_path, None)
    assert ending_of(tmp_path, error, has_progress=True).kind == "crashed"  # nothing says that VASP has run
    (tmp_path / "custodian.json").write_text("[]")
    assert ending_of(tmp_path, error, has_progress=True).kind == "unparsed"


def test_a_stop_while_outputs_are_parsed_again_does_not_undo_what_vasp_did(tmp_path):
    from contextlib import nullcontext

    Ending("unparsed", "why", "where").write(tmp_path)
    with pytest.raises(SystemExit):
        _run(Parsing(SystemExit(143)), tmp_path, None, without=nullcontext())
    assert Ending.of(tmp_path).kind == "unparsed"


def test_a_handler_that_fails_twice_in_one_line_is_not_tried_a_third_time(tmp_path):
    folder = tmp_path / "relax_1"
    set_aside(folder)
    assert not _end(folder, _run(Job(ValueError("1")), folder, None), before=Ending())
    before = Ending.of(folder)
    set_aside(folder)
    assert not _end(folder, _run(Job(KeyError("2")), folder, None), before)
    with pytest.raises(ParserFailed, match="ValueError in"):
        _end(folder, _run(Job(ValueError("2")), folder, None), before)
