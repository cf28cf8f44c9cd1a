"""Reading CSV files of any size row by row: plain, gzipped, or inside a zip."""

import contextlib
import csv
import io
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from miad.core.errors import MiadError
from miad.core.files import open_text

MAX_FIELD = 1 << 24  # characters; a longer field is a quote that was never closed
MAX_MEMBER = 16 << 30  # bytes of an unpacked member of a zip
_BROKEN = (csv.Error, UnicodeDecodeError, EOFError, OSError, RuntimeError, zlib.error, zipfile.BadZipFile)


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
                reader = csv.DictReader(text)
                header = self._checked(reader.fieldnames, columns)
                names = header if optional is None else (*columns, *optional)
                for row, record in enumerate(reader):
                    if row == limit:
                        return
                    yield row, {column: record.get(column) or "" for column in names}
        except _BROKEN as error:
            what = f"broken after row {row} ({type(error).__name__}: {error})"
            raise MiadError(f"{self.path} is {what}. Get the file again, or repair it.") from error
        finally:
            csv.field_size_limit(before)
        if row < 0:
            raise MiadError(f"{self.path} has a header but no rows. Give a file with crystals.")

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
        if found[0].file_size > MAX_MEMBER:
            raise MiadError(f"{self.path}: {self.member} unpacks to more than {MAX_MEMBER >> 30} GiB. Refused.")
        return found[0]
