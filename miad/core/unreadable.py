"""What of an input cannot be read: counted, told with its commonest reasons, and bounded.

Every reader of crystals, rows, entries and calculations makes a `Tally` and reports it. Samples that cannot be read are
failed attempts; references (known crystals, data sets, hulls) leave them out, and may miss no more than
`unreadable.max_share`: a crystal that is missing there would make others novel or stable.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from miad.core.crystal import Crystal
from miad.core.errors import MiadError
from miad.core.sound import BEFORE_RELAXATION, is_broken

log = logging.getLogger("miad")
TOLD = 3  # reasons in a message
LONGEST = 120  # characters of a reason in a message
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")  # what differs between reasons of one kind


@dataclass(frozen=True)
class Tally:
    """Readable and unreadable parts of one input.

    Attributes:
        where: the file, as the user named it.
        what: its parts in the plural: crystals, rows, entries, calculations.
        fate: what happens to those that failed, e.g. `do not count as known`.
        total: number of parts.
        unread: number of those that cannot be read; `failed` ones may also have failed later, e.g. in a relaxation.
        kinds: (number, reason, example) of those that failed, the commonest first.
    """

    where: str
    what: str
    fate: str
    total: int
    unread: int
    kinds: list[tuple[int, str, str]]

    @property
    def failed(self) -> int:
        """Number of parts that failed."""
        return sum(number for number, _, _ in self.kinds)

    def __str__(self) -> str:
        """One line for people: file, counts and the commonest reasons."""
        return f"{self.where}: {self.failed} of {self.total} {self.what} failed and {self.fate}: {self.reasons}"

    @property
    def reasons(self) -> str:
        """The commonest reasons, each with its number and an example."""
        told = [f"{number} × {reason[:LONGEST]} (e.g. {name})" for number, reason, name in self.kinds[:TOLD]]
        rest = sum(number for number, _, _ in self.kinds[TOLD:])
        return "; ".join([*told, *([f"{rest} for other reasons"] if rest else [])])

    def report(self, max_share: float | None, remedy: str) -> None:
        """Say what failed, or refuse the input as `check` does."""
        self.check(max_share, remedy)
        if self.kinds:
            log.warning("%s", self)

    def check(self, max_share: float | None, remedy: str) -> None:
        """Refuse an input of which too little is left.

        Args:
            max_share: of a reference; None where the failed ones stay in the count, as samples do.
            remedy: a sentence.

        Raises:
            MiadError: nothing is left, or more than `max_share` cannot be read.
        """
        if self.kinds and self.failed == self.total:
            _, reason, name = self.kinds[0]
            example = f"none of its {self.total} {self.what} can be read, e.g. {name}: {reason}"
            more = f" All reasons: {self.reasons}." if len(self.kinds) > 1 else ""
            raise MiadError(f"{self.where}: {example}.{more} {remedy}")
        if max_share is not None and self.unread > max_share * self.total:
            raise MiadError(
                f"{self.where}: {self.unread} of {self.total} {self.what} cannot be read, more than {max_share:.3g} of"
                f" them: {self.reasons}. {remedy} Or raise unreadable.max_share in config.yaml (of `miad evaluate`:"
                " --max-unreadable)."
            )


def tally(
    where: Path | str, what: str, fate: str, failures: Iterable[tuple[str, str]], total: int, unread: int | None = None
) -> Tally:
    """Count the failures (name, reason); reasons that differ in the name, numbers or quoted words are of one kind."""
    kinds: dict[str, tuple[int, str, str]] = {}
    for name, reason in failures:
        kind = _VALUES.sub("…", re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", reason))
        number, reason, name = kinds.get(kind, (0, reason, name))
        kinds[kind] = number + 1, reason, name
    ordered = sorted(kinds.values(), key=lambda kind: -kind[0])
    failed = sum(number for number, _, _ in ordered)
    return Tally(str(where), what, fate, total, failed if unread is None else unread, ordered)


def of_crystals(where: Path | str, crystals: list[Crystal], fate: str, step: str | None = None) -> Tally:
    """The tally of crystals by their failures, or by those of one step."""
    broken = [(one, one.failure) for one in crystals if one.failure is not None and is_broken(one)]
    broken = [(one, failure) for one, failure in broken if step in (None, failure.step)]
    failures = [(one.source_id or one.crystal_id, str(failure)) for one, failure in broken]
    unread = sum(failure.step in BEFORE_RELAXATION for _, failure in broken)
    return tally(where, "crystals", fate, failures, len(crystals), unread)
