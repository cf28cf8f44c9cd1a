"""A journal of finished crystals beside an output that is not whole yet, from which a killed run continues."""

import contextlib
from pathlib import Path

from miad.core.crystal import Crystal, from_line, to_line
from miad.core.files import write_text
from miad.core.json_text import as_json


class Journal:
    """Finished crystals, one flushed line each, under a first line with all that they depend on.

    A journal made by anything else is started anew, and a torn last line is dropped. At the end of a `with` block
    without an error, when its crystals are in the output, it is removed.

    Attributes:
        path: of the journal, a hidden file beside the output.
        finished: {crystal_id: crystal} of those that an earlier run has finished.

    Args:
        output: the file that the crystals are meant for.
        key: all that they depend on, JSON types only.
    """

    def __init__(self, output: Path, key: dict) -> None:
        output = Path(output)
        self.path = output.parent / f".{output.name}.journal"
        header = as_json(key, sort_keys=True)
        self.finished = self._read(header)
        # Rewritten whole, so that the next line never joins a torn one.
        write_text(self.path, "".join(line + "\n" for line in (header, *map(to_line, self.finished.values()))))
        self._file = self.path.open("a", encoding="utf-8")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None:
            self.path.unlink(missing_ok=True)

    def add(self, crystal: Crystal) -> None:
        """Write one finished crystal through to the file."""
        self.finished[crystal.crystal_id] = crystal
        self._file.write(to_line(crystal) + "\n")
        self._file.flush()

    def _read(self, header: str) -> dict[str, Crystal]:
        if not self.path.is_file():
            return {}
        first, *lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        finished = {}
        for line in lines[:-1] if first == header else ():  # what follows the last newline is torn, or nothing
            with contextlib.suppress(ValueError, TypeError):
                crystal = from_line(line)
                finished[crystal.crystal_id] = crystal
        return finished
