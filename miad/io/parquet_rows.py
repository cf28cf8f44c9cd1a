"""Reading Parquet files batch by batch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from miad.core.errors import MiadError
from miad.core.files import Unpacked, refuse_stand_in

BATCH = 256  # rows in memory at a time


def header(path: Path) -> list[str]:
    """The names of the columns; a MiadError if the file is no Parquet."""
    return list(_open(path).schema_arrow.names)


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows, with values as JSON would have them; a MiadError if the file is damaged."""
    file = _open(path)
    try:
        for batch in file.iter_batches(batch_size=BATCH):
            yield from batch.to_pylist()
    except (OSError, ValueError, NotImplementedError, MemoryError) as error:  # pyarrow's own errors are of these kinds
        raise MiadError(f"{path} is damaged ({type(error).__name__}: {str(error)[:150]}). Get it again.") from error


def _open(path: Path) -> Any:
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
