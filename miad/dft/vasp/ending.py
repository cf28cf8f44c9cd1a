"""The end of an attempt at a stage: how it ended, why, and whether another one is worth it."""

import dataclasses
import json
import traceback
from dataclasses import dataclass
from pathlib import Path

from miad.core.crystal import shortened
from miad.core.errors import MiadError
from miad.core.files import open_text, write_text
from miad.core.redact import shown

ENDING = "stopped.json"  # in the folder of an attempt: its Ending; absent if it was killed, or finished
# What a job of atomate2 calls up to the end of VASP; an error that passed through none of them came after it.
UP_TO_VASP = ("copy_vasp_outputs", "write_vasp_input_set", "run_vasp")  # of atomate2.vasp.jobs.base; seen in 0.1.5


@dataclass(frozen=True)
class Ending:
    """The end of an attempt; the defaults are those of one that was killed.

    Attributes:
        kind: `walltime` or `stopped` for an orderly end, `crashed`, `hung` or `killed` if another attempt is worth it,
            `failed` if it is not, `unparsed` if VASP finished and only the parser failed.
        reason: in words.
        where: type of the error and line of code, if a program of Python failed, by which like errors are told.
    """

    kind: str = "killed"
    reason: str = "killed from outside, perhaps for lack of memory"
    where: str = ""

    def write(self, attempt: Path) -> None:
        """Keep it in the folder of the attempt."""
        write_text(attempt / ENDING, json.dumps(dataclasses.asdict(self), allow_nan=False))

    @classmethod
    def of(cls, attempt: Path) -> "Ending":
        """The ending that was kept in the folder of an attempt."""
        try:
            return cls(**json.loads((attempt / ENDING).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # killed before it could be written
            return cls()


class StageFailed(Exception):
    """The stage failed for good; the message is the reason."""


class ParserFailed(StageFailed):
    """A parser failed on the stage, which says nothing about the crystal; a later run tries again."""


class OutOfTime(Exception):
    """The walltime ends; the stage goes on in the next job."""


def ending_of(folder: Path, error: Exception, *, has_progress: bool) -> Ending:
    """The ending of an attempt that an error ended.

    Args:
        has_progress: whether a later attempt can go on from an ionic step of this one.
    """
    from custodian.custodian import ReturnCodeError, ValidationError
    from custodian.vasp.handlers import WalltimeHandler

    if isinstance(getattr(error, "handler", None), WalltimeHandler):
        if has_progress:
            return Ending("walltime", "stopped at the end of the walltime")
        return Ending("hung", "no ionic step came to its end before the walltime did")
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
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    where = type(error).__name__ + (f" in {Path(last.filename).name}, line {last.lineno}" if last else "")
    is_after = _has_run(folder) and not any(frame.name in UP_TO_VASP for frame in frames)
    return Ending("unparsed" if is_after else "crashed", shortened(f"{where}: {shown(str(error))}", 200), where)


def traceback_file(folder: Path) -> Path:
    """Where the traceback of an error of Python at a stage is kept: beside the folder of the stage."""
    return folder.with_name(f"{folder.name}.traceback.txt")


def keep_traceback(folder: Path, error: Exception) -> None:
    """Write the traceback of an error at a stage."""
    write_text(traceback_file(folder), "".join(traceback.format_exception(error)))


def _has_run(folder: Path) -> bool:
    """Whether custodian has run VASP in a folder."""
    return any((folder / name).is_file() for name in ("custodian.json", "custodian.json.gz"))


def custodian_errors(folder: Path) -> list[str]:
    """Errors that custodian found in an attempt, e.g. `VaspErrorHandler: zbrent`, in order."""
    plain = folder / "custodian.json"
    try:
        with open_text(plain if plain.is_file() else folder / "custodian.json.gz") as text:
            corrections = [one for run in json.load(text) for one in run["corrections"]]
    except (EOFError, ValueError, MiadError):  # absent, or killed while custodian wrote it
        return []
    return [f"{one['handler']['@class']}: {', '.join(one['errors'])}" for one in corrections]
