"""Records: small files of JSON by which processes tell others of themselves.

Whoever may write to a folder may have put anything in the place of one: what is read from it is checked.
"""

import dataclasses
import json
import os
import stat
from pathlib import Path
from typing import Any, TypeVar

Kind = TypeVar("Kind")
MOST_BYTES = 1 << 16  # that a record may have; those that are written have less than a thousand
MOST = 1 << 53  # that a number of items may be; any more is no number of anything
NUM_PIDS = 1 << 31  # ids of processes are below it on every system
LATEST = 1e11  # seconds since 1970, in the year 5138; a time that is none cannot be told to people


def read_record(path: Path) -> Any:
    """Content of a JSON file; None if there is none, or if it is too large, torn, a link, or no regular file.

    It never waits: neither for a pipe, nor for a device without an end.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with open(handle, "rb") as file:
            is_regular = stat.S_ISREG(os.fstat(handle).st_mode)
            content = file.read(MOST_BYTES + 1) if is_regular else None
        return None if content is None or len(content) > MOST_BYTES else json.loads(content)
    except (OSError, ValueError, RecursionError):
        return None


def made(kind: type[Kind], known: Any) -> Kind | None:
    """A dataclass from a dict of exactly its fields, whose values are still to be checked; None if it is none."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # a dataclass, see above
    return kind(**known) if isinstance(known, dict) and known.keys() == names else None


def are_words(*values: Any) -> bool:
    """Whether values are texts that can be printed, without commands to a terminal."""
    return all(isinstance(value, str) and value.isprintable() for value in values)


def are_whole(*values: Any, below: int = MOST) -> bool:
    """Whether values are integers from 0 up to, and without, `below`; neither true nor false is one."""
    return all(type(value) is int and 0 <= value < below for value in values)


def are_times(*values: Any) -> bool:
    """Whether values are seconds, since 1970 or of a duration, from 0 up to LATEST; not so infinity and NaN."""
    return all(type(value) in (int, float) and 0 <= value < LATEST for value in values)
