"""JSON in files: written without NaN and infinity, which JSON does not have; read, or refused with the reason."""

import errno
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from miad.core.errors import MiadError
from miad.core.files import DAMAGED, open_text, text_lines, write_text

log = logging.getLogger("miad")

Made = TypeVar("Made")
COMPACT: dict[str, Any] = {"ensure_ascii": False, "separators": (",", ":")}  # style of the long files


def as_json(value: Any, **style: Any) -> str:
    """A value as JSON, in a style of `json.dumps`; a ValueError if it holds NaN or infinity."""
    return json.dumps(value, allow_nan=False, **style)


def write_json(path: Path, record: Any) -> None:
    """Write a record that people may want to read."""
    write_text(path, as_json(record, indent=1) + "\n")


def read_json(path: Path, remedy: str) -> Any:
    """What a JSON file, plain or gzipped, holds; a MiadError with the remedy, a sentence, if it is none."""
    with open_text(path) as text:
        try:
            return json.load(text)
        except (*DAMAGED, ValueError, RecursionError) as error:
            raise MiadError(f"{path} is damaged, or not JSON ({error}). {remedy}") from error


def read_lines(path: Path, make: Callable[[str], Made], otherwise: str, remedy: str) -> Iterator[tuple[int, Made]]:
    """What `make` makes of each line of a file, with the number of the line.

    Raises:
        MiadError: `make` fails on a line: `otherwise` says what it is not, the remedy, a sentence, what to do.
    """
    for number, line in text_lines(path):
        try:
            made = make(line)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise MiadError(f"{path}, line {number} {otherwise} ({error}). {remedy}") from error
        yield number, made


def read_cache(path: Path | None, make: Callable[..., Made]) -> dict[str, Made]:
    """Records by key, `make(*values)`, from what `write_cache` wrote, if anything; a MiadError if a line is damaged."""

    def kept(line: str) -> tuple[str, Made]:
        key, *values = json.loads(line)
        return key, make(*values)

    if path is None or not Path(path).exists():
        return {}
    return dict(one for _, one in read_lines(path, kept, "is damaged", "Delete the file; it is made anew."))


def write_cache(path: Path, kept: Mapping[str, Sequence[Any]]) -> None:
    """Write {key: values} as JSON lines `[key, *values]`; where the folder is read-only a warning takes its place."""
    try:
        write_text(path, "".join(as_json([key, *values]) + "\n" for key, values in sorted(kept.items())))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        log.warning("%s cannot be written; what it would keep is worked out anew each time", path)
