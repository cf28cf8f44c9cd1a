"""What a reader has to know before trusting the figures of a run: warnings, the gravest first."""

from dataclasses import dataclass

from miad.dft.calculation import NOT_DFT
from miad.report.compare import Outcome
from miad.report.tables import kind_of

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
    """All that applies, each kind once, with the runs that it applies to."""
    kinds = (_stand_in, _own_hull, _frames, _potential, _few_samples, _hull_gaps)
    others = (_flagged, _not_converged, _failures, _not_sent, _source)
    return [found for kind in kinds + others if (found := kind(outcomes)) is not None]


def _caveat(what: str, why: str, outcomes: list[Outcome]) -> Caveat:
    return Caveat(what, why, tuple(dict.fromkeys(one.file for one in outcomes)))


def _stand_in(outcomes: list[Outcome]) -> Caveat | None:
    """Energies of a program that only stands in for VASP."""
    found = [one for one in outcomes if _is_stand_in(one)]
    if not found:
        return None
    why = f"{_names(found)}: the energies come from a stand-in program for tests. They mean nothing."
    return _caveat("Stand-in energies", why, found)


def _is_stand_in(one: Outcome) -> bool:
    return NOT_DFT in f"{one.record['calculator']} {one.record['hull']}"


def _own_hull(outcomes: list[Outcome]) -> Caveat | None:
    """A hull of the data set itself knows few competing phases."""
    found = [one for one in outcomes if "crystals of the data set" in (one.record.get("hull_source") or "")]
    if not found:
        return None
    why = (
        f"{_names(found)}: the hull is made of {found[0].record['hull_source']} ({found[0].record['hull']}), not of the"
        " Materials Project. Few phases compete there, so stable means less than in the published rows; compare runs"
        " on this hull with each other only."
    )
    return _caveat("A small hull", why, found)


def _frames(outcomes: list[Outcome]) -> Caveat | None:
    """Energies of another frame than the hull, compared as they are."""
    found = [
        one
        for one in outcomes
        if one.record.get("energy_frame") and one.record["energy_frame"] != one.record["hull_energy_frame"]
    ]
    if not found:
        return None
    why = "; ".join(
        f"{one.run.name}: energies are {one.record['energy_frame']}, the hull is {one.record['hull_energy_frame']}"
        for one in found
    )
    return _caveat("Energy frames differ", f"{why}. Heights above the hull are off by the corrections.", found)


def _potential(outcomes: list[Outcome]) -> Caveat | None:
    found = [one for one in outcomes if kind_of(one.calculator) != "DFT" and not _is_stand_in(one)]
    if not found:
        return None
    calculators = ", ".join(dict.fromkeys(kind_of(one.calculator) for one in found))
    why = (
        f"Energies by {calculators}, a machine-learned potential, err by tens of meV/atom, about the distance that"
        " decides whether a crystal is stable. In the paper S.U.N. falls from 12.9 % (CHGNet) to 8.2 % (DFT)."
    )
    return _caveat("Not DFT", why, found)


def _few_samples(outcomes: list[Outcome]) -> Caveat | None:
    found = [one for one in outcomes if one.counts["attempted"] < FEW_SAMPLES]
    if not found:
        return None
    one = max(found, key=lambda one: (one.rate("sun").high or 0) - (one.rate("sun").low or 0))
    rate = one.rate("sun")
    spread = (
        "" if rate.value is None else f" S.U.N. of {one.run.name} lies within {rate.low:.1f} and {rate.high:.1f} %."
    )
    why = f"{_names(found, 'attempted')} samples; the published rows have 10,000.{spread}"
    return _caveat("Few samples", why, found)


def _hull_gaps(outcomes: list[Outcome]) -> Caveat | None:
    found = [one for one in outcomes if _ends(one)["no hull"]]
    if not found:
        return None
    counts = ", ".join(f"{one.run.name}: {_ends(one)['no hull']} of {one.counts['relaxed']}" for one in found)
    why = f"{counts} relaxed samples hold an element that the hull has no entry for; they count as not S.U.N."
    return _caveat("Gaps in the hull", why, found)


def _flagged(outcomes: list[Outcome]) -> Caveat | None:
    """S.U.N. crystals whose DFT energies are from pseudopotentials with known problems."""
    found = []
    for one in outcomes:
        flags = one.record.get("flags")
        verdicts = one.flags() if flags else {}
        texts = [flags[identity] for identity, verdict in verdicts.items() if identity in flags and verdict["sun"]]
        if texts:
            found.append((one, texts))
    if not found:
        return None
    counts = ", ".join(f"{one.run.name}: {len(texts)} of {one.counts['sun']}" for one, texts in found)
    reasons = "; ".join(sorted({reason for _, texts in found for text in texts for reason in text.split("; ")}))
    why = f"{counts} S.U.N. crystals by DFT are flagged ({reasons}); which ones, candidates.csv says."
    return _caveat("Doubtful pseudopotentials", why, [one for one, _ in found])


def _not_converged(outcomes: list[Outcome]) -> Caveat | None:
    known = [one for one in outcomes if one.counts["converged"] is not None]
    found = [one for one in known if one.counts["converged"] < one.counts["relaxed"]]
    if not found:
        return None
    counts = ", ".join(
        f"{one.run.name}: {one.counts['relaxed'] - one.counts['converged']} of {one.counts['relaxed']}" for one in found
    )
    why = f"{counts} relaxations ran out of steps; their energies are upper bounds, so stability is a lower one."
    return _caveat("Not converged", why, found)


def _failures(outcomes: list[Outcome]) -> Caveat | None:
    def lost(one: Outcome) -> tuple[int, int]:
        """Failed samples, and of how many; what was never sent to DFT has not failed there."""
        if "num_sent" in one.record:
            return one.record["num_sent"] - one.counts["relaxed"], one.record["num_sent"]
        return sum(_ends(one)[reason] for reason in ("not decoded", "not relaxed")), one.counts["attempted"]

    found = [one for one in outcomes if lost(one)[0] > MANY_FAILURES * lost(one)[1]]
    if not found:
        return None
    counts = ", ".join("{}: {} of {}".format(one.run.name, *lost(one)) for one in found)
    return _caveat("Many failures", f"{counts} samples gave no crystal, or could not be relaxed.", found)


def _not_sent(outcomes: list[Outcome]) -> Caveat | None:
    """Rates of DFT over samples of which most never saw DFT."""
    found = [one for one in outcomes if one.record.get("num_sent", one.counts["attempted"]) < one.counts["attempted"]]
    if not found:
        return None
    why = "; ".join(
        f"{one.run.name}: {one.record['num_sent']} of {one.counts['attempted']} samples, {one.record['not_sent']}"
        for one in found
    )
    known = "Known crystals and duplicates are not sent: rates that need them are left blank unless they are estimated."
    return _caveat("Only a part was sent to DFT", f"{why}. {known}", found)


def _source(outcomes: list[Outcome]) -> Caveat | None:
    """Results of a source that no commit holds, or of several."""
    commits = dict.fromkeys(one.record["versions"].get("commit") or "unknown" for one in outcomes)
    if len(commits) == 1 and not next(iter(commits)).endswith("+") and "unknown" not in commits:
        return None
    why = f"Made by {', '.join(commits)}: a plus means changes that were not committed; several are not one program."
    return _caveat("Source of the program", why, outcomes)


def _ends(one: Outcome) -> dict[str, int]:
    return one.record["protocols"][one.record["headline"]]["reasons"]


def _names(outcomes: list[Outcome], count: str | None = None) -> str:
    parts = {one.run.name: f" {one.counts[count]}" if count else "" for one in outcomes}
    return ", ".join(f"{name}{number}" for name, number in parts.items())
