"""One stage of a calculation: start it, continue it after a kill, and name the reason if it failed."""

import copy
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miad.config.sections import Vasp
from miad.core.files import is_out_of_space
from miad.dft.vasp.attempts import WAVEFUNCTIONS, contcar_of, crashes, has_content, set_aside
from miad.dft.vasp.ending import (
    ENDING,
    UP_TO_VASP,
    Ending,
    OutOfTime,
    ParserFailed,
    StageFailed,
    ending_of,
    keep_traceback,
    traceback_file,
)
from miad.dft.vasp.flow import run_options
from miad.machine.os_processes import nothing_left

if TYPE_CHECKING:
    from jobflow import Job, JobStore

log = logging.getLogger("miad")
HUNG = Ending("hung", "VASP did not stop as the walltime ended: it hangs, or a step takes longer than walltime_buffer")


def run_stage(
    job: "Job", folder: Path, previous: Path | None, settings: Vasp, store: "JobStore", deadline: float | None
) -> None:
    """Run a stage until its task document is in the store.

    Args:
        job: one of `miad.dft.vasp.flow.stages`.
        folder: where to calculate; an earlier attempt found there is set aside and continued from its CONTCAR. If VASP
            had finished there and only the parser failed, the outputs are parsed again and VASP is not run.
        deadline: `time.monotonic()` at the end of the walltime; None: no limit.

    Raises:
        StageFailed: custodian gave up, or the stage crashed too often.
        ParserFailed: VASP finished, but what it wrote cannot be parsed; or a handler failed twice in the same line.
        OutOfTime: the walltime ends first.
    """

    def left() -> float | None:
        return None if deadline is None else deadline - time.monotonic()

    def is_late() -> bool:
        return (seconds := left()) is not None and seconds <= settings.walltime_buffer / 2

    if Ending.of(folder).kind == "unparsed":
        log.info("%s: VASP has finished here; its outputs are parsed again", folder)
        if _end(folder, _run(job, folder, store, without=_without_vasp()), before=Ending()):
            return
    while True:
        aside = set_aside(folder)
        tried = crashes(folder)
        before = Ending.of(tried[-1]) if tried else Ending()
        if len(tried) >= settings.max_attempts:
            raise StageFailed(f"{before.reason}; gave up after {len(tried)} attempts")
        if (seconds := left()) is not None and seconds < settings.walltime_buffer:
            raise OutOfTime
        attempt = prepared(job, folder, aside, previous, run_options(settings, seconds))
        if _end(folder, _run(attempt, folder, store, is_late), before):
            return


def _end(folder: Path, error: Exception | None, before: Ending) -> bool:
    """True if an attempt finished, False if another one is worth it; `before` is the ending of the last crash."""
    if error is None:
        (folder / ENDING).unlink(missing_ok=True)
        traceback_file(folder).unlink(missing_ok=True)
        return True
    ending = ending_of(folder, error, has_progress=contcar_of(folder) is not None)
    log.info("%s: %s", folder, ending.reason)
    ending.write(folder)
    if ending.where:
        keep_traceback(folder, error)
    if ending.kind == "walltime":
        raise OutOfTime
    if ending.kind == "failed":
        raise StageFailed(ending.reason)
    if ending.kind == "unparsed" or (ending.where and ending.where == before.where):
        raise ParserFailed(ending.reason)
    return False


def _run(
    job: "Job",
    folder: Path,
    store: "JobStore",
    is_late: Callable[[], bool] = lambda: False,
    without: AbstractContextManager[Any] | None = None,
) -> Exception | None:
    """Run a job in its folder; an error that ends this attempt only is returned, and no process of it survives.

    Args:
        is_late: whether VASP was long asked to stop for the end of the walltime.
        without: what of the job is left out.
    """
    from monty.os import cd

    try:
        with nothing_left(folder), cd(folder), without or nullcontext():
            job.run(store)
    except (KeyboardInterrupt, SystemExit):
        if without is None:  # else VASP has finished here, as is noted
            (HUNG if is_late() else Ending("stopped", "stopped from outside")).write(folder)
        raise
    except Exception as error:  # custodian's verdicts, parsers, full disks: all of them end this attempt only
        if is_out_of_space(error):  # not the crystal's fault: the command line says what to do
            if without is None:
                with suppress(OSError):
                    Ending("stopped", "no space was left").write(folder)
            raise
        return error
    return None


def _without_vasp() -> AbstractContextManager[Any]:
    """Jobs of atomate2 only parse what lies in their folder: they neither write inputs nor run VASP."""
    from unittest.mock import patch

    def nothing(*arguments: Any, **keywords: Any) -> None:
        pass

    left_out: dict[str, Any] = dict.fromkeys(UP_TO_VASP, nothing)
    return patch.multiple("atomate2.vasp.jobs.base", **left_out)


def prepared(job: "Job", folder: Path, aside: Path | None, previous: Path | None, options: dict[str, Any]) -> "Job":
    """A copy of the job that starts from the CONTCAR and k-points of the attempt that was set aside, and from the
    wavefunctions of that attempt or of the previous stage."""
    from pymatgen.io.vasp.inputs import Kpoints

    job = copy.deepcopy(job)
    maker: Any = job.maker
    maker.run_vasp_kwargs = options
    if previous is not None:
        job.function_kwargs["prev_dir"] = str(previous.resolve())
        lacking = [name for name in WAVEFUNCTIONS if not (folder / name).exists()]
        there = [name for name in lacking if has_content(previous / name)]
        if there != lacking:
            log.warning("%s: %s has no %s; VASP starts from atoms", folder, previous, set(lacking) - set(there))
        maker.copy_vasp_kwargs = {"additional_vasp_files": there}
    if aside is not None and (structure := contcar_of(aside)) is not None:
        log.info("%s goes on from the CONTCAR of %s", folder, aside)
        job.function_args, job.function_kwargs = (), {**job.function_kwargs, "structure": structure}
        if (aside / "KPOINTS").is_file():
            # The cell has changed a little; the grid must be that of the wavefunctions.
            maker.input_set_generator.user_kpoints_settings = Kpoints.from_file(aside / "KPOINTS")
    return job
