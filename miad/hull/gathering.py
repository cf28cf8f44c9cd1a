"""Entries of one file: each checked on its own, what cannot be read counted and bounded, repeated ones made one."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from miad.core.errors import MiadError
from miad.core.unreadable import tally
from miad.hull.convex import ROUND_OFF, Entry, checked

T = TypeVar("T")


def gathered(
    path: Path, records: Iterable[tuple[str, T]], make: Callable[[T], Entry], max_share: float
) -> tuple[list[Entry], list[str]]:
    """The entries of a file that can be read, and notes of those that are left out.

    Args:
        path: the file.
        records: its records, each with a name for messages such as `row 3`.
        make: gives the entry of a record, or raises a MiadError with the reason why there is none.
        max_share: of the records that may be unreadable.

    Raises:
        MiadError: more are unreadable, or one id has several energies.
    """
    entries: list[tuple[str, Entry]] = []
    failures = []
    for name, record in records:
        try:
            entries.append((name, checked(make(record))))
        except MiadError as error:
            failures.append((name, str(error)))
    found = tally(path, "entries", "are left out of the hull", failures, len(entries) + len(failures))
    found.check(max_share, "Correct them, or leave them out.")
    kept, notes = _each_once(path, entries), [str(found)] if failures else []
    if repeated := len(entries) - len(kept):
        notes.append(f"{path}: {repeated} entries repeat others of the same id and count once")
    return kept, notes


def _each_once(path: Path, entries: list[tuple[str, Entry]]) -> list[Entry]:
    """The entries without those that repeat one of the same id; a MiadError if they differ from it."""
    first: dict[str, tuple[str, Entry]] = {}
    kept = []
    for name, entry in entries:
        if entry.entry_id is not None:
            other, before = first.setdefault(entry.entry_id, (name, entry))
            is_same = (
                entry.formula == before.formula and abs(entry.energy_per_atom - before.energy_per_atom) < ROUND_OFF
            )
            if not is_same:
                raise MiadError(
                    f"{path}: the id {entry.entry_id} is that of {other}, {_told(before)}, and of {name},"
                    f" {_told(entry)}. Keep one of them, or give each an id of its own."
                )
            if before is not entry:
                continue
        kept.append(entry)
    return kept


def _told(entry: Entry) -> str:
    return f"{entry.formula} at {entry.energy_per_atom:.6f} eV/atom"
