"""One stage of a calculation: start it, continue it after a kill, and name the reason if it failed."""

import copy
import dataclasses
import gzip
import json
import logging
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miad.config.sections import Vasp
from miad.core.errors import MiadError
from miad.core.files import is_out_of_space, open_text, write_text
from miad.core.redact import shown
from miad.dft.vasp.flow import STAGES, run_options
from miad.machine.os_processes import nothing_left, stop_leftovers

if TYPE_CHECKING:
    from jobflow import Job, JobStore
    from pymatgen.core import Structure

log = logging.getLogger("miad")
SCRATCH = "scratch_link"  # custodian's link to the folder that it calculates in
ENDING = "stopped.json"  # in the folder of an attempt: its Ending; absent if it was killed
WAVEFUNCTIONS = ("WAVECAR", "CHGCAR")  # what VASP can start from


@dataclass(frozen=True)
class Ending:
    """The end of an attempt; the defaults are those of one that was killed.

    Attributes:
        kind: `walltime` or `stopped` for an orderly end, `crashed` or `killed` if another attempt is worth it, `failed`
            if it is not.
        reason: in words.
    """

    kind: str = "killed"
    reason: str = "killed from outside, perhaps for lack of memory"

    def write(self, attempt: Path) -> None:
        """Keep it in the folder of the attempt."""
        write_text(attempt / ENDING, json.dumps(dataclasses.asdict(self)))

    @classmethod
    def of(cls, attempt: Path) -> "Ending":
        """The ending that was kept in the folder of an attempt."""
        try:
            return cls(**json.loads((attempt / ENDING).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # killed before it could be written
            return cls()


class StageFailed(Exception):
    """The stage failed for good; the message is the reason."""


class OutOfTime(Exception):
    """The walltime ends; the stage goes on in the next job."""


def run_stage(
    job: "Job", folder: Path, previous: Path | None, settings: Vasp, store: "JobStore", deadline: float | None
) -> None:
    """Run a stage until its task document is in the store.

    Args:
        job: one of `miad.dft.vasp.flow.stages`.
        folder: where to calculate; an earlier attempt found there is set aside and continued from its CONTCAR.
        deadline: `time.monotonic()` at the end of the walltime; None: no limit.

    Raises:
        StageFailed: custodian gave up, or the stage crashed too often.
        OutOfTime: the walltime ends first.
    """
    while True:
        aside = set_aside(folder)
        tried = crashes(folder)
        if len(tried) >= settings.max_attempts:
            raise StageFailed(f"{Ending.of(tried[-1]).reason}; gave up after {len(tried)} attempts")
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left < settings.walltime_buffer:
            raise OutOfTime
        attempt = prepared(job, folder, aside, previous, run_options(settings, left))
        error = _run(attempt, folder, store)
        if error is None:
            return
        ending = _ending(folder, error)
        log.info("%s: %s", folder, ending.reason)
        ending.write(folder)
        if ending.kind == "walltime":
            raise OutOfTime
        if ending.kind == "failed":
            raise StageFailed(ending.reason)


def _run(job: "Job", folder: Path, store: "JobStore") -> Exception | None:
    """Run a job in its folder; an error that ends this attempt only is returned, and no process of it survives."""
    from monty.os import cd

    try:
        with nothing_left(folder), cd(folder):
            job.run(store)
    except (KeyboardInterrupt, SystemExit):
        Ending("stopped", "stopped from outside").write(folder)
        raise
    except Exception as error:  # custodian's verdicts, parsers, full disks: all of them end this attempt only
        if is_out_of_space(error):  # not the crystal's fault: the command line says what to do
            with suppress(OSError):
                Ending("stopped", "no space was left").write(folder)
            raise
        return error
    return None


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
        there = [name for name in lacking if _has_content(previous / name)]
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


def set_aside(folder: Path) -> Path | None:
    """Make room for a new attempt; the folder of the last one, if any.

    What is worth keeping of an unfinished attempt, its wavefunctions, moves to the new folder.
    """
    earlier = attempts(folder)
    aside = earlier[-1] if earlier else None
    if folder.exists():
        stop_leftovers(folder)
        aside = folder.with_name(f"{folder.name}.{len(earlier) + 1}")
        folder.rename(aside)
    folder.mkdir(parents=True)
    if aside is not None:
        _fetch_from_scratch(aside)
        for name in WAVEFUNCTIONS:
            if (aside / name).is_file() and _has_content(aside / name) and contcar_of(aside) is not None:
                (aside / name).rename(folder / name)
    return aside


def _fetch_from_scratch(attempt: Path) -> None:
    """Move the files of a killed attempt here from custodian's scratch folder, if that is on this machine."""
    scratch = _calculated_in(attempt)
    if scratch == attempt:
        return
    for path in scratch.iterdir():
        if path.is_file():
            shutil.move(path, attempt / path.name)
    (attempt / SCRATCH).unlink()
    shutil.rmtree(scratch, ignore_errors=True)


def attempts(folder: Path) -> list[Path]:
    """Folders of the earlier attempts at a stage, oldest first."""
    numbered = [path for path in folder.parent.glob(f"{folder.name}.*") if path.suffix[1:].isdigit()]
    return sorted(numbered, key=lambda path: int(path.suffix[1:]))


def all_attempts(work: Path) -> list[tuple[str, Path]]:
    """(stage, folder) of every attempt at every stage of a crystal, in order; the last one of each may be absent."""
    return [(stage, folder) for stage in STAGES for folder in (*attempts(work / stage), work / stage)]


def crashes(folder: Path) -> list[Path]:
    """The earlier attempts that were not ended in an orderly way."""
    return [path for path in attempts(folder) if Ending.of(path).kind not in ("walltime", "stopped")]


def vain_start(folder: Path) -> str | None:
    """The end of VASP's stderr, if all attempts at a stage crashed before VASP wrote an OUTCAR; else None."""
    tried = attempts(folder)
    if (folder / ENDING).is_file():
        tried.append(folder)
    if not tried or any(Ending.of(one).kind != "crashed" or _has_content(one / "OUTCAR") for one in tried):
        return None
    path = tried[-1] / "std_err.txt"
    return path.read_text(encoding="utf-8", errors="replace")[-300:].strip() if path.is_file() else ""


def contcar_of(attempt: Path) -> "Structure | None":
    """The last structure that an unfinished attempt wrote whole, if any, with the moments that the attempt began with.

    CONTCAR has none: without them a second relaxation would begin from the sets' moments, not from those of the first.
    """
    from pymatgen.io.vasp.inputs import Incar, Poscar

    try:
        structure = Poscar.from_file(attempt / "CONTCAR", check_for_potcar=False).structure
    except (OSError, ValueError, IndexError):  # absent, empty, or torn
        return None
    moments = Incar.from_file(attempt / "INCAR").get("MAGMOM") if (attempt / "INCAR").is_file() else None
    if moments is not None and len(moments) == len(structure):
        structure.add_site_property("magmom", moments)
    return structure


def _ending(folder: Path, error: Exception) -> Ending:
    """The ending of an attempt that an error ended."""
    from custodian.custodian import ReturnCodeError, ValidationError
    from custodian.vasp.handlers import WalltimeHandler

    if isinstance(getattr(error, "handler", None), WalltimeHandler):
        return Ending("walltime", "stopped at the end of the walltime")
    if isinstance(error, ValidationError):
        return Ending("crashed", f"custodian: {type(error.validator).__name__} found the outputs unusable")
    if isinstance(error, ReturnCodeError):
        return Ending("crashed", f"custodian: {error}")
    seen = ", ".join(custodian_errors(folder))
    if type(error).__module__.startswith("custodian"):
        summary = "no cure" if not str(error).startswith("Max") else str(error).rstrip(".").lower()
        return Ending("failed", f"custodian: {summary}; {seen or 'no error named'}")
    if "not successful" in str(error):
        return Ending("failed", f"not converged within NELM and NSW; {seen or 'no correction'}")
    # A handler or a parser that met broken files.
    return Ending("crashed", f"{type(error).__name__}: {shown(str(error))[:300]}")


def custodian_errors(folder: Path) -> list[str]:
    """Errors that custodian found in an attempt, e.g. `VaspErrorHandler: zbrent`, in order."""
    plain = folder / "custodian.json"
    try:
        with open_text(plain if plain.is_file() else folder / "custodian.json.gz") as text:
            corrections = [one for run in json.load(text) for one in run["corrections"]]
    except (EOFError, ValueError, MiadError):  # absent, or killed while custodian wrote it
        return []
    return [f"{one['handler']['@class']}: {', '.join(one['errors'])}" for one in corrections]


def _calculated_in(folder: Path) -> Path:
    """The folder that VASP works in: custodian's scratch folder, while it is there."""
    link = folder / SCRATCH
    return link.resolve() if link.is_dir() else folder


def _has_content(path: Path) -> bool:
    """True if a file is there, plain or gzipped, and not empty."""
    packed = path.with_name(path.name + ".gz")
    if packed.is_file():
        with gzip.open(packed) as content:
            return bool(content.read(1))
    return path.is_file() and path.stat().st_size > 0
