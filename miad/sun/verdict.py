"""S.U.N. of one sample under one protocol, and verdicts.jsonl, from which every later step reads it."""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from miad.core.files import write_text
from miad.core.json_text import COMPACT, as_json, read_lines

# Where a sample ends; the first that applies, in this order. A crystal that passes all ends as `sun`.
REASONS = (
    "not decoded",
    "not relaxed",
    "not converged",
    "no hull",
    "incomparable",
    "one element",
    "not stable",
    "duplicate",
    "known",
    "sun",
)


@dataclass(frozen=True)
class Verdict:
    """One attempted sample under one protocol.

    Attributes:
        reason: where it ended, one of REASONS.
        is_stable, is_metastable: below the limits of the protocol.
        is_unique: it represents its duplicates; None if it could not be compared.
        is_novel: it matches no known crystal; None if it could not be compared.
        is_sun: stable, unique and novel, and not barred (a crystal of one element, or not converged).
        is_msun: the same for metastable.
        group: id of the first of its duplicates.
        known_as: the known crystal that it matches: `mp-1234 (train-0-17)`, its own id where it has one, and ours.
    """

    reason: str
    is_stable: bool
    is_metastable: bool
    is_unique: bool | None
    is_novel: bool | None
    is_sun: bool
    is_msun: bool
    group: str | None = None
    known_as: str | None = None


@dataclass(frozen=True)
class SampleVerdicts:
    """One attempted sample under every protocol.

    Attributes:
        crystal_id: of the sample.
        e_above_hull: eV/atom, None if unknown.
        decomposition: {reduced formula: share of the atoms} of the competing phases.
        protocols: {name of the protocol: verdict}.
        num_rivals: entries of the hull with exactly its elements; None if unknown.
    """

    crystal_id: str
    e_above_hull: float | None
    decomposition: dict[str, float]
    protocols: dict[str, Verdict]
    num_rivals: int | None = None


def write_verdicts(path: Path, samples: Iterable[SampleVerdicts]) -> None:
    """Write verdicts as JSON lines."""
    write_text(path, "".join(as_json(dataclasses.asdict(one), **COMPACT) + "\n" for one in samples))


def read_verdicts(path: Path) -> dict[str, SampleVerdicts]:
    """{crystal_id: verdicts of the sample} in the order of the file; a MiadError names a line that is damaged."""
    found = read_lines(path, _sample, "holds no verdicts", "Delete the file and run sun again.")
    return {sample.crystal_id: sample for _, sample in found}


def _sample(line: str) -> SampleVerdicts:
    record = json.loads(line)
    protocols = {name: Verdict(**verdict) for name, verdict in record.pop("protocols").items()}
    return SampleVerdicts(**record, protocols=protocols)
