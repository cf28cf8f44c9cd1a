"""The vasp step: DFT double relaxation of one chunk of the queue, continued where an earlier job ended."""

import json
import logging
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miad.config.sections import Vasp
from miad.core.crystal import Crystal, read_crystals
from miad.core.errors import MiadError
from miad.core.files import file_name, write_text
from miad.core.sound import fault
from miad.dft.calculation import Calculation, plain_entry, write_calculations
from miad.dft.comparable import sound
from miad.dft.replay import replayed
from miad.dft.vasp.archive import corrections, notes, pack
from miad.dft.vasp.attempts import attempts, vain_start
from miad.dft.vasp.ending import Ending, OutOfTime, ParserFailed, StageFailed, traceback_file
from miad.dft.vasp.flow import STAGES, stages, use_potcars
from miad.dft.vasp.hours import core_hours
from miad.dft.vasp.site import problems, without_potcar
from miad.dft.vasp.stage import run_stage
from miad.dft.vasp.store import open_store, task_document
from miad.machine import slurm
from miad.machine.owners import locked
from miad.machine.progress import track

if TYPE_CHECKING:
    from jobflow import JobStore

log = logging.getLogger("miad")
KEY = "key"  # in the folder of a crystal: id of its last job, by which the calculation is recognised
FAILED = "failed.json"  # in the same folder: why a stage failed for good, and under what settings
_LOCKED = "It is probably a job of an earlier run: wait for it, or cancel it, and run again."
# If any of these changes, a crystal that failed for good is tried again.
_MATTERS = ("command", "gamma_command", "potcars", "functional", "parallel", "max_errors", "max_attempts", "scratch")


def run(settings: Vasp, *, queue: Path, calculations: Path, folder: Path, chunk: int) -> None:
    """Calculate one chunk of the queue; finished stages are never repeated, unfinished ones go on where they were.

    Args:
        settings: section vasp of config.yaml.
        queue: crystals chosen for DFT, JSON lines.
        calculations: JSON lines to write, one calculation per crystal of the chunk, failed ones included
        folder: where calculations, their archives and the job store live; what is finished there is kept
        chunk: which of vasp.num_chunks chunks, from 0

    Raises:
        MiadError: VASP or a pseudopotential is missing, the walltime ended, or the first crystals all failed alike
            through no fault of theirs; running again goes on.
    """
    crystals = read_crystals(queue)[chunk :: settings.num_chunks]
    if settings.replay is not None or not crystals:
        write_calculations(calculations, [] if settings.replay is None else replayed(crystals, Path(settings.replay)))
        return
    folder = folder.resolve()  # jobs change into folders of their own
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that VASP does not outlive us
    deadline = _deadline(settings)
    use_potcars(settings)
    _check(settings, [one for one in crystals if fault(one) is None])
    done: list[Calculation] = []
    for crystal in track(crystals, what="crystals calculated"):
        try:
            lock = folder / "locks" / f"{file_name(crystal.crystal_id)}.lock"
            with locked(lock, what=f"the calculation of {crystal.crystal_id}", remedy=_LOCKED):
                done.append(calculate(crystal, settings, folder, deadline))
            _check_started(done, min(settings.max_alike, len(crystals)), folder / "work")
            _check_parsed(done, settings.max_alike, folder / "work")
        except OutOfTime:
            raise MiadError(
                f"the walltime ends with {len(done)} of {len(crystals)} crystals of chunk {chunk} finished. Run the"
                " workflow again (retries in the profile does so): it goes on in the middle of the stage."
            ) from None
    write_calculations(calculations, done)


def calculate(crystal: Crystal, settings: Vasp, folder: Path, deadline: float | None) -> Calculation:
    """The calculation of one crystal, from the store as far as it was finished before.

    Raises:
        OutOfTime: the walltime ends first.
    """
    if reason := fault(crystal):  # the symmetry of a cell that is no number is not asked for: spglib ends the program
        return Calculation(crystal.crystal_id, failure=f"inputs: {reason}")
    unknown = without_potcar(settings, crystal.chemical_system.split("-"))
    if unknown:
        reason = f"inputs: {settings.functional} has no pseudopotential of MPRelaxSet for {unknown[0]}"
        return Calculation(crystal.crystal_id, failure=reason)
    name = file_name(crystal.crystal_id)
    work, archive = folder / "work" / name, folder / "archive" / f"{name}.tar.gz"
    try:
        store = open_store(settings, folder / "store" / f"{name}.json")
        try:
            static = _static_document(crystal, settings, work, store, deadline)
        finally:
            store.close()
    except StageFailed as error:
        spent, found = core_hours(work), corrections(work)
        known: dict[str, Any] = {"corrections": found, "core_hours": spent, "source": f"work/{name}"}
        return Calculation(crystal.crystal_id, failure=str(error), **known)
    try:
        if work.exists():
            pack(work, archive, static, settings.keep_wavefunctions)
        return sound(as_calculation(crystal.crystal_id, static, archive), "static")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = f"parse: static: the task document is not as expected ({type(error).__name__}: {error})"
        return Calculation(crystal.crystal_id, failure=reason, source=f"work/{name}")


def _static_document(
    crystal: Crystal, settings: Vasp, work: Path, store: "JobStore", deadline: float | None
) -> dict[str, Any]:
    """The task document of the static stage, after the stages that were not finished before."""
    jobs = dict(zip(STAGES, stages(crystal, settings), strict=True))
    waiting = [stage for stage in STAGES if task_document(store, jobs[stage].uuid) is None]
    clear_others(work, jobs["static"].uuid)
    if waiting and any(not (work / stage).is_dir() for stage in STAGES if stage not in waiting):
        log.warning("%s: a stage in the job store has no files here to go on from; it is calculated again", work)
        waiting = list(STAGES)
    if waiting:
        write_text(work / KEY, jobs["static"].uuid)
        _check_failed_before(work, settings, waiting[0])
    previous = None
    for stage in STAGES:
        if stage in waiting:
            try:
                run_stage(jobs[stage], work / stage, previous, settings, store, deadline)
            except ParserFailed as error:
                place = traceback_file(work / stage)
                where = f"outputs and traceback are kept in {place.parent.name}/{place.name}"
                raise ParserFailed(f"parse: {stage}: {error}; {where}; run again once the parser is mended") from error
            except StageFailed as error:
                reason = f"{stage}: {error}"
                write_text(
                    work / FAILED, json.dumps({"reason": reason, "settings": _relevant(settings)}, allow_nan=False)
                )
                raise StageFailed(reason) from error
        previous = work / stage
    document = task_document(store, jobs["static"].uuid)
    assert document is not None
    return document


def as_calculation(identity: str, static: dict[str, Any], archive: Path) -> Calculation:
    """The calculation, from the task document of its static stage and the notes in its archive."""
    last = static["calcs_reversed"][0]
    potcars = [spec["titel"] for spec in last["input"]["potcar_spec"]]
    parameters = static["entry"]["parameters"]
    return Calculation(
        crystal_id=identity,
        entry=plain_entry(identity, static["structure"], static["output"]["energy"], parameters, potcars),
        vasp_version=last["vasp_version"],
        potcars=potcars,
        # A job store may be shared by several folders of results, the archive is in the one that calculated.
        source=f"archive/{archive.name}" if archive.is_file() else "job store",
        **notes(archive),
    )


def clear_others(work: Path, key: str) -> None:
    """Remove a calculation that was begun under the same id for another structure or with other pseudopotentials."""
    shutil.rmtree(work.with_name(f".done-{work.name}"), ignore_errors=True)
    if work.exists() and (not (work / KEY).is_file() or (work / KEY).read_text(encoding="utf-8") != key):
        log.warning("%s was begun for another structure or with other pseudopotentials: it is removed", work)
        shutil.rmtree(work)


def _check_failed_before(work: Path, settings: Vasp, stage: str) -> None:
    """Clear away a stage that failed for good under other settings, so that it is tried again."""
    path = work / FAILED
    if not path.is_file():
        return
    record = json.loads(path.read_text(encoding="utf-8"))
    if record["settings"] == _relevant(settings):
        raise StageFailed(record["reason"])
    log.info("%s failed under other settings (%s); it is tried again", work.name, record["reason"])
    for place in (work / stage, *attempts(work / stage)):
        shutil.rmtree(place, ignore_errors=True)
    path.unlink()


def _relevant(settings: Vasp) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in _MATTERS}


def _deadline(settings: Vasp) -> float | None:
    """`time.monotonic()` at the end of the walltime, which is vasp.walltime or else the limit of the Slurm job."""
    end = time.time() + 60 * settings.walltime if settings.walltime is not None else slurm.end_of_job()
    if end is None:
        return None
    left = end - time.time()
    if left <= settings.walltime_buffer:
        raise MiadError(
            f"the job has {max(left, 0.0) / 60:.0f} minutes left, but vasp.walltime_buffer keeps"
            f" {settings.walltime_buffer / 60:.0f} for its end: no stage can start. Ask for a longer job (runtime of"
            " rule vasp in the profile, vasp.walltime) or make the buffer smaller."
        )
    return time.monotonic() + left


def _check_started(done: list[Calculation], num_first: int, work: Path) -> None:
    """Stop where VASP does not run at all; its crystals are forgotten, so that a mended site tries them again."""
    if len(done) != num_first:
        return
    folders = [work / file_name(one.crystal_id) for one in done]
    said = [vain_start(folder / STAGES[0]) for folder in folders]
    if None in said:
        return
    for folder in folders:
        shutil.rmtree(folder)
    raise MiadError(
        f"VASP wrote no output for any of the first {len(done)} crystals. It said: {said[-1] or 'nothing'}. See whether"
        " vasp.command runs on this node (module, licence, launcher, memory), then run the workflow again."
    )


def _check_parsed(done: list[Calculation], num_first: int, work: Path) -> None:
    """Stop where a parser fails alike on crystal after crystal and none came out right; nothing is lost by it."""
    if len(done) < num_first or any(one.entry is not None for one in done):
        return
    last = [_parser_error(work / file_name(one.crystal_id)) for one in done[-num_first:]]
    if None in last or len(set(last)) > 1:
        return
    raise MiadError(
        f"the parser of VASP's outputs fails alike on {num_first} crystals and none came out right ({last[0]}). Mend"
        f" it: see the tracebacks in {work}, and the versions of pymatgen, emmet-core and atomate2. Then run the"
        " workflow again: the outputs are parsed again, VASP is not run for them."
    )


def _parser_error(work: Path) -> str | None:
    """Type and place of the error of Python that ended the last attempt at a crystal, if one did."""
    return next((where for stage in STAGES if (where := Ending.of(work / stage).where)), None)


def _check(settings: Vasp, crystals: list[Crystal]) -> None:
    """Refuse at once a site where every crystal would fail."""
    elements = set[str]().union(*(crystal.chemical_system.split("-") for crystal in crystals))
    found = problems(settings, elements.difference(without_potcar(settings, elements)))
    if found:
        raise MiadError(" ".join(found) + " `miad doctor` checks all of this.")
