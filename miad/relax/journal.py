"""A journal of finished crystals beside an output that is not whole yet, from which a killed run continues."""

import json
from pathlib import Path
from typing import IO

from miad.core.crystal import Crystal, from_line, to_line


class Journal:
    """Finished crystals, one flushed line each, under a first line with all that they depend on.

    A journal made by anything else is started anew, and a torn last line is dropped.

    Args:
        output: the file that the crystals are meant for; the journal lies beside it, hidden.
        key: everything that the crystals depend on, JSON types only.
    """

    def __init__(self, output: Path, key: dict) -> None:
        output = Path(output)
        self.path = output.parent / f".{output.name}.journal"
        self._header = json.dumps(key, sort_keys=True)
        self._file: IO[str] | None = None

    def open(self) -> dict[str, Crystal]:
        """Read what is finished, by id, and get ready to add to it."""
        finished = self._read()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Rewritten whole, so that the next line never joins a torn one; renamed, so that a kill here loses nothing.
        renewed = self.path.with_name(self.path.name + ".new")
        lines = [self._header, *(to_line(crystal) for crystal in finished.values())]
        renewed.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        renewed.replace(self.path)
        self._file = self.path.open("a", encoding="utf-8")
        return finished

    def add(self, crystal: Crystal) -> None:
        """Write one finished crystal through to the file."""
        if self._file is None:
            raise ValueError("the journal is not open")
        self._file.write(to_line(crystal) + "\n")
        self._file.flush()

    def close(self, *, is_done: bool) -> None:
        """Close the journal, and remove it once its crystals are in the output."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if is_done:
            self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Crystal]:
        if not self.path.is_file():
            return {}
        header, *lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        if header != self._header:
            return {}
        finished = {}
        for line in lines[:-1]:  # what follows the last newline is torn, or nothing
            try:
                crystal = from_line(line)
            except (ValueError, TypeError):
                continue
            finished[crystal.crystal_id] = crystal
        return finished
