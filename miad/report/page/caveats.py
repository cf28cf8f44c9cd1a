"""Caveats of the figures of all runs, the gravest first."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from miad.dft.calculation import DFT
from miad.report.outcomes import Outcome

FEW_SAMPLES = 1000  # below, an interval of a rate of 10 % is more than 3.7 percentage points wide
MANY_FAILURES = 0.05  # share of attempted samples


@dataclass(frozen=True)
class Caveat:
    """One warning.

    Attributes:
        what: in a few words.
        why: what it means for the figures, with the numbers.
        files: where the numbers are from.
    """

    what: str
    why: str
    files: tuple[str, ...]


def caveats(outcomes: list[Outcome]) -> list[Caveat]:
    """Warnings that apply, each kind once, with the runs that it applies to."""
    kinds: tuple[tuple[str, Callable[[Outcome], bool], Callable[[list[Outcome]], str]], ...] = (
        ("Stand-in energies", lambda one: one.is_stand_in, _stand_in),
        ("A small hull", lambda one: one.run.sections["hull"]["source"] == "dataset", _own_hull),
        ("Energy frames differ", _has_other_frame, _frames),
        ("Not DFT", lambda one: one.kind != DFT and not one.is_stand_in, _potential),
        ("Few samples", lambda one: one.counts["attempted"] < FEW_SAMPLES, _few_samples),
        ("Gaps in the hull", lambda one: one.judged["reasons"]["no hull"] > 0, _hull_gaps),
        ("Doubtful pseudopotentials", lambda one: bool(_doubts(one)), _doubtful),
        ("Not converged", lambda one: _slow(one) > 0, _not_converged),
        ("Many failures", lambda one: _lost(one)[0] > MANY_FAILURES * _lost(one)[1], _failures),
        ("Only a part was sent to DFT", lambda one: _num_sent(one) < one.counts["attempted"], _not_sent),
    )
    found = []
    for what, applies, why in kinds:
        if concerned := [one for one in outcomes if applies(one)]:
            found.append(Caveat(what, why(concerned), _files(concerned)))
    return found + _source(outcomes)


def _files(outcomes: list[Outcome]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.file for one in outcomes))


def _source(outcomes: list[Outcome]) -> list[Caveat]:
    """Results of a source that no commit holds, or of several."""
    commits = dict.fromkeys(one.record["versions"].get("commit") or "unknown" for one in outcomes)
    if len(commits) == 1 and not any(commit == "unknown" or commit.endswith("+") for commit in commits):
        return []
    why = f"Commits of miad that made the results: {', '.join(commits)}. A plus means changes that were not committed,"
    why += " unknown a copy outside a repository; several commits are not one program."
    return [Caveat("Source of the program", why, _files(outcomes))]


def _stand_in(outcomes: list[Outcome]) -> str:
    return f"{_names(outcomes)}: the energies come from a stand-in program for tests. They mean nothing."


def _own_hull(outcomes: list[Outcome]) -> str:
    """A hull of the data set itself knows few competing phases."""
    record = outcomes[0].record
    return (
        f"{_names(outcomes)}: the hull is made of {record['hull_source']} ({record['hull']}), not of the"
        " Materials Project. Few phases compete there, so stable means less than in the published rows; compare runs"
        " on this hull with each other only."
    )


def _has_other_frame(one: Outcome) -> bool:
    return (one.record.get("energy_frame") or one.record["hull_energy_frame"]) != one.record["hull_energy_frame"]


def _frames(outcomes: list[Outcome]) -> str:
    frames = "; ".join(
        f"{one.run.name}: energies are {one.record['energy_frame']}, the hull is {one.record['hull_energy_frame']}"
        for one in outcomes
    )
    return f"{frames}. Heights above the hull are off by the corrections."


def _potential(outcomes: list[Outcome]) -> str:
    calculators = ", ".join(dict.fromkeys(one.kind for one in outcomes))
    return (
        f"Energies by {calculators}, a machine-learned potential, err by tens of meV/atom, about the distance that"
        " decides whether a crystal is stable. In the paper S.U.N. falls from 12.9 % (CHGNet) to 8.2 % (DFT)."
    )


def _few_samples(outcomes: list[Outcome]) -> str:
    one = max(outcomes, key=lambda one: (one.rate("sun").high or 0) - (one.rate("sun").low or 0))
    rate = one.rate("sun")
    spread = (
        "" if rate.value is None else f" S.U.N. of {one.run.name} lies within {rate.low:.1f} and {rate.high:.1f} %."
    )
    samples = {one.run.name: f"{one.run.name} {one.counts['attempted']}" for one in outcomes}
    return f"{', '.join(samples.values())} samples; the published rows have 10,000.{spread}"


def _hull_gaps(outcomes: list[Outcome]) -> str:
    counts = _counted((one, one.judged["reasons"]["no hull"], one.counts["relaxed"]) for one in outcomes)
    return f"{counts} relaxed samples hold an element that the hull has no entry for; they count as not S.U.N."


def _doubts(one: Outcome) -> list[list[str]]:
    """Known problems of pseudopotentials, of each S.U.N. crystal by DFT that has some."""
    flags = one.record.get("flags") or {}
    verdicts = one.flags() if flags else {}
    return [reasons for identity, reasons in flags.items() if verdicts.get(identity, {}).get("sun")]


def _doubtful(outcomes: list[Outcome]) -> str:
    counts = _counted((one, len(_doubts(one)), one.counts["sun"]) for one in outcomes)
    reasons = "; ".join(sorted({reason for one in outcomes for found in _doubts(one) for reason in found}))
    return f"{counts} S.U.N. crystals by DFT are flagged ({reasons}); which ones, candidates.csv says."


def _slow(one: Outcome) -> int:
    """Relaxations that ran out of steps; none where that is not known."""
    converged = one.counts["converged"]
    return 0 if converged is None else one.counts["relaxed"] - converged


def _not_converged(outcomes: list[Outcome]) -> str:
    counts = _counted((one, _slow(one), one.counts["relaxed"]) for one in outcomes)
    return f"{counts} relaxations ran out of steps; their energies are upper bounds, so stability is a lower one."


def _num_sent(one: Outcome) -> int:
    """Samples whose energy was to be calculated: all, but for DFT on a part of them."""
    sent = one.record.get("num_sent")
    return one.counts["attempted"] if sent is None else sent


def _lost(one: Outcome) -> tuple[int, int]:
    """Failed samples, and of how many; what was never sent to DFT has not failed there."""
    return _num_sent(one) - one.counts["relaxed"], _num_sent(one)


def _failures(outcomes: list[Outcome]) -> str:
    counts = _counted((one, *_lost(one)) for one in outcomes)
    return f"{counts} samples gave no crystal, or could not be relaxed."


def _not_sent(outcomes: list[Outcome]) -> str:
    """Rates of DFT over samples of which most never saw DFT."""
    sent = "; ".join(
        f"{one.run.name}: {_num_sent(one)} of {one.counts['attempted']} samples, {one.not_sent}" for one in outcomes
    )
    known = "Known crystals and duplicates are not sent: rates that need them are left blank unless they are estimated."
    return f"{sent}. {known}"


def _counted(parts: Iterable[tuple[Outcome, int, int]]) -> str:
    return ", ".join(f"{one.run.name}: {part} of {whole}" for one, part, whole in parts)


def _names(outcomes: list[Outcome]) -> str:
    return ", ".join(dict.fromkeys(one.run.name for one in outcomes))
