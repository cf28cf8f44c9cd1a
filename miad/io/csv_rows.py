"""Reading CSV files of any size row by row: plain, gzipped, or inside a zip."""

import contextlib
import csv
import io
import itertools
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from miad.core.errors import MiadError
from miad.core.files import Unpacked, open_text

MAX_FIELD = 1 << 24  # characters; a longer field is a quote that was never closed
_BROKEN = (csv.Error, UnicodeDecodeError, EOFError, OSError, RuntimeError, zlib.error, zipfile.BadZipFile)
BEYOND = "\0beyond the header"  # key of the fields that a row has too many
DELIMITERS = ",;\t|"


def _reader(text: IO[str], wanted: Collection[str]) -> csv.DictReader:
    """Rows of a table whose delimiter is told by its header, or by the line `sep=;` that Excel writes before it."""
    first = text.readline(MAX_FIELD)
    told = re.match(r"sep=(.)\s*$", first)
    if told:
        first = text.readline(MAX_FIELD)

    def names(delimiter: str) -> list[str]:
        return next(csv.reader([first], delimiter=delimiter, skipinitialspace=True), [])

    # The first of the best: a comma where nothing tells.
    best = max(DELIMITERS, key=lambda one: (len(set(wanted) & set(names(one))), len(names(one))))
    lines = itertools.chain([first], text)
    return csv.DictReader(lines, restkey=BEYOND, delimiter=told[1] if told else best, skipinitialspace=True)


@dataclass(frozen=True)
class Table:
    """A CSV file with a header.

    Attributes:
        path: the file; a zip is read in place, nothing of it is ever unpacked to disk.
        member: file name of the table inside, if `path` is a zip; the folders in the zip do not matter.
    """

    path: Path
    member: str

    def rows(
        self, columns: Collection[str], optional: Collection[str] | None = (), limit: int | None = None
    ) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield (row, {column: text}); the first row below the header is row 0.

        Args:
            columns: the columns to read; all must be there.
            optional: columns that are read as empty text if they are not there; None: whatever columns there are.
            limit: read only so many rows.

        Raises:
            MiadError: missing or empty file, no such column, torn or undecodable; names the file and the row.
        """
        row = -1
        before = csv.field_size_limit(MAX_FIELD)
        try:
            with self._open() as text:
                reader = _reader(text, columns)
                header = self._checked(reader.fieldnames, columns)
                names = header if optional is None else (*columns, *optional)
                for row, record in enumerate(reader):
                    if row == limit:
                        return
                    if any(record.get(BEYOND, ())):
                        raise csv.Error("it has more fields than the header; text with a delimiter in it needs quotes")
                    yield row, {column: record.get(column) or "" for column in names}
        except _BROKEN as error:
            what = f"broken after row {row} ({type(error).__name__}: {error})"
            raise MiadError(f"{self.path} is {what}. Get the file again, or repair it.") from error
        finally:
            csv.field_size_limit(before)
        if row < 0:
            raise MiadError(f"{self.path} has a header but no rows. Give a file with crystals.")

    def header(self, wanted: Collection[str]) -> list[str]:
        """The names of the columns; the delimiter is told by the `wanted` ones, of which any may be there or not.

        Raises:
            MiadError: as for `rows`, or a name stands twice, so that one column would hide the other.
        """
        before = csv.field_size_limit(MAX_FIELD)
        try:
            with self._open() as text:
                header = list(self._checked(_reader(text, wanted).fieldnames, ()))
        except _BROKEN as error:
            raise MiadError(f"{self.path} cannot be read ({type(error).__name__}: {error}). Get it again.") from error
        finally:
            csv.field_size_limit(before)
        if twice := sorted(name for name, count in Counter(map(str.lower, header)).items() if name and count > 1):
            raise MiadError(f"{self.path} has several columns {', '.join(twice)}. Keep or rename one of each.")
        return header

    def _checked(self, header: Collection[str] | None, columns: Collection[str]) -> Collection[str]:
        if not header:
            raise MiadError(f"{self.path} is empty. Give a CSV file with a header and a column `cif`.")
        if missing := sorted(set(columns) - set(header)):
            raise MiadError(
                f"{self.path} has no column {', '.join(missing)}; it has {', '.join(map(str, header))}."
                " Rename the column in the file, or correct energy_column and exclude under dataset in config.yaml."
            )
        return header

    @contextlib.contextmanager
    def _open(self) -> Iterator[IO[str]]:
        """The text of the table, a byte order mark skipped."""
        with contextlib.ExitStack() as stack:
            if self.path.is_file() and zipfile.is_zipfile(self.path):
                archive = stack.enter_context(zipfile.ZipFile(self.path))
                raw: Any = stack.enter_context(archive.open(self._find(archive)))
            else:
                # open_text tells gzip from plain, and has the message for a missing file.
                raw = stack.enter_context(open_text(self.path)).buffer
            yield stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""))

    def _find(self, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
        files = [info for info in archive.infolist() if not info.filename.startswith("__MACOSX/")]
        found = [info for info in files if PurePosixPath(info.filename).name == self.member]
        if len(found) != 1:
            names = ", ".join(info.filename for info in files[:10])
            raise MiadError(f"{self.path} holds {len(found)} files named {self.member}, expected one; it has {names}.")
        if found[0].file_size > Unpacked.limit(self.path.stat().st_size):
            said = f"{self.member} unpacks to more than {Unpacked.RATIO} times its size"
            raise MiadError(f"{self.path}: {said}. Refused: no table does.")
        return found[0]
