"""Reading tables of any size row by row: CSV, plain, gzipped or inside a zip, and Parquet."""

import contextlib
import csv
import io
import itertools
import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from miad.core.errors import MiadError
from miad.core.files import DAMAGED, Unpacked, is_hidden, open_text, refuse_stand_in

MAX_FIELD = 1 << 24  # characters; a longer field is a quote that was never closed
BEYOND = "\0beyond the header"  # key of the fields that a row has too many
DELIMITERS = ",;\t|"
BATCH = 256  # rows of a Parquet file in memory at a time


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
        with self._reading(columns) as reader:
            header = self._checked(reader.fieldnames, columns)
            names = header if optional is None else (*columns, *optional)
            for row, record in enumerate(reader):
                if row == limit:
                    return
                if any(record.get(BEYOND, ())):
                    raise csv.Error("it has more fields than the header; text with a delimiter in it needs quotes")
                yield row, {column: record.get(column) or "" for column in names}
        if row < 0:
            raise MiadError(f"{self.path} has no rows, only a header. Give the whole table.")

    def header(self, wanted: Collection[str]) -> list[str]:
        """The names of the columns; the delimiter is told by the `wanted` ones, of which any may be there or not.

        Raises:
            MiadError: as for `rows`, or a name stands twice, so that one column would hide the other.
        """
        with self._reading(wanted) as reader:
            header = list(self._checked(reader.fieldnames, ()))
        if twice := sorted(name for name, count in Counter(map(str.lower, header)).items() if name and count > 1):
            raise MiadError(f"{self.path} has several columns {', '.join(twice)}. Keep or rename one of each.")
        return header

    def _checked(self, header: Collection[str] | None, columns: Collection[str]) -> Collection[str]:
        if not header:
            raise MiadError(f"{self.path} is empty. Give a CSV file with a header.")
        if missing := sorted(set(columns) - set(header)):
            raise MiadError(
                f"{self.path} has no column {', '.join(missing)}; it has {', '.join(map(str, header))}."
                " Rename the column in the file, or correct energy_column and exclude under dataset in config.yaml."
            )
        return header

    @contextlib.contextmanager
    def _reading(self, wanted: Collection[str]) -> Iterator[csv.DictReader]:
        """The rows; a MiadError names the line after which the file is damaged."""
        before, reader = csv.field_size_limit(MAX_FIELD), None
        try:
            with self._open() as text:
                reader = _reader(text, wanted)
                yield reader
        except DAMAGED as error:
            what = f"broken after line {reader.line_num if reader else 0} ({type(error).__name__}: {error})"
            raise MiadError(f"{self.path} is {what}. Get the file again, or repair it.") from error
        finally:
            csv.field_size_limit(before)

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
        files = [info for info in archive.infolist() if not is_hidden(PurePosixPath(info.filename))]
        found = [info for info in files if PurePosixPath(info.filename).name == self.member]
        if len(found) != 1:
            names = ", ".join(info.filename for info in files[:10])
            raise MiadError(f"{self.path} holds {len(found)} files named {self.member}, expected one; it has {names}.")
        if found[0].file_size > Unpacked.limit(self.path.stat().st_size):
            said = f"{self.member} unpacks to more than {Unpacked.RATIO} times its size"
            raise MiadError(f"{self.path}: {said}. Refused: no table does.")
        return found[0]


def parquet_header(path: Path) -> list[str]:
    """The names of the columns of a Parquet file; a MiadError if it is none."""
    return list(_parquet(path).schema_arrow.names)


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, with values as JSON would have them; a MiadError if it is damaged."""
    file = _parquet(path)
    try:
        for batch in file.iter_batches(batch_size=BATCH):
            yield from batch.to_pylist()
    except (OSError, ValueError, NotImplementedError, MemoryError) as error:  # pyarrow's own errors are of these kinds
        raise MiadError(f"{path} is damaged ({type(error).__name__}: {str(error)[:150]}). Get it again.") from error


def _parquet(path: Path) -> Any:
    import pyarrow.parquet

    refuse_stand_in(path)
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (OSError, ValueError, NotImplementedError) as error:
        raise MiadError(f"{path} is no Parquet file, or torn ({str(error)[:150]}). Get it again.") from error
    # A value that repeats is stored once, so that rows are bounded apart from bytes.
    groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
    if max(file.metadata.num_rows, sum(one.total_byte_size for one in groups)) > Unpacked.limit(path.stat().st_size):
        raise MiadError(f"{path} unpacks to more than {Unpacked.RATIO} times its size. Refused: no table does.")
    return file
