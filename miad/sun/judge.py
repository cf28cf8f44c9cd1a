"""Verdicts on samples under one protocol, where each sample ends, and the counts and rates of the table."""

from dataclasses import dataclass

from miad.config.sections import Protocol
from miad.core.crystal import Crystal
from miad.core.statistics import Rate, wilson
from miad.sun.matching.groups import Verdicts

# The columns of counts, in the order of the table; every attempted sample is in `attempted`.
COUNTS = (
    "attempted",
    "decoded",
    "relaxed",
    "converged",
    "on_hull",
    "stable",
    "metastable",
    "unique",
    "novel",
    "unique_novel",
    "msun",
    "sun",
)
# Each rate is one count over another: joint counts, never a product of rates.
RATES = {
    "metastable": ("metastable", "attempted"),
    "unique_novel_among_metastable": ("msun", "metastable"),
    "msun": ("msun", "attempted"),
    "stable": ("stable", "attempted"),
    "unique_novel_among_stable": ("sun", "stable"),
    "sun": ("sun", "attempted"),
}
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
BEFORE_RELAXATION = ("sample", "read", "dataset")  # steps whose failures mean that there is no crystal


@dataclass(frozen=True)
class Judged:
    """One attempted sample under one protocol; the defaults describe a failed attempt.

    Attributes:
        crystal: the relaxed crystal, or what is left of it.
        is_decoded, is_relaxed, is_converged: how far it came.
        e_above_hull: eV/atom, None if unknown.
        is_stable, is_metastable: below the limits of the protocol.
        is_compared: whether uniqueness and novelty could be judged.
        is_unique: it represents its duplicates.
        is_novel: it matches no known crystal.
        may_count: nothing else bars it from being S.U.N.: one element only, not converged.
        group: id of the first of its duplicates.
        known_as: id of the known crystal that it matches.
        reason: where it ended, one of REASONS.
    """

    crystal: Crystal
    is_decoded: bool = False
    is_relaxed: bool = False
    is_converged: bool = False
    e_above_hull: float | None = None
    is_stable: bool = False
    is_metastable: bool = False
    is_compared: bool = False
    is_unique: bool = False
    is_novel: bool = False
    may_count: bool = True
    group: str | None = None
    known_as: str | None = None
    reason: str = "not decoded"

    @property
    def is_msun(self) -> bool:
        """Metastable, unique and novel, and allowed to count."""
        return self.is_metastable and self.is_unique and self.is_novel and self.may_count

    @property
    def is_sun(self) -> bool:
        """Stable, unique and novel, and allowed to count."""
        return self.is_stable and self.is_unique and self.is_novel and self.may_count


def is_decoded(crystal: Crystal) -> bool:
    """Whether there is a crystal at all: nothing failed before the relaxation."""
    lost = crystal.failure is not None and crystal.failure.step in BEFORE_RELAXATION
    return not lost and crystal.num_atoms > 0


def is_broken(crystal: Crystal) -> bool:
    """Whether a step failed on the crystal itself; that a hull lacks its elements says nothing about it."""
    return crystal.failure is not None and crystal.failure.step != "hull"


def is_relaxed(crystal: Crystal) -> bool:
    """Whether the relaxation gave a crystal and its energy."""
    return is_decoded(crystal) and not is_broken(crystal) and crystal.energy_per_atom is not None


def judge(
    crystals: list[Crystal], energies: list[float | None], verdicts: Verdicts, protocol: Protocol
) -> list[Judged]:
    """Every attempted sample under one protocol.

    Args:
        crystals: relaxed crystals, failed ones included, in sample order.
        energies: energy above the hull of each, eV/atom; None if unknown.
        verdicts: duplicates and known crystals under the protocol's rule.
        protocol: the choices.

    Returns:
        One record per crystal, in the same order.
    """
    representatives = _representatives(crystals, energies, verdicts, protocol)
    return [
        _judge_one(crystal, energy, verdicts, protocol, representatives)
        for crystal, energy in zip(crystals, energies, strict=True)
    ]


def _representatives(
    crystals: list[Crystal], energies: list[float | None], verdicts: Verdicts, protocol: Protocol
) -> set[str]:
    """Ids of the unique crystals, one of each group of duplicates."""
    best: dict[str, tuple[bool, float, int, str]] = {}
    for order, (crystal, energy) in enumerate(zip(crystals, energies, strict=True)):
        group = verdicts.group.get(crystal.crystal_id)
        if group is None:
            continue
        by_energy = protocol.representative == "lowest_energy" and energy is not None
        # What cannot count stands for nothing that can; crystals without energy come last; ties go to the earlier one.
        is_barred = by_energy and protocol.converged_only and crystal.converged is False
        rank = (is_barred, energy if by_energy else float("inf"), order, crystal.crystal_id)
        best[group] = min(best.get(group, rank), rank)
    return {identity for *_, identity in best.values()}


def _judge_one(
    crystal: Crystal, energy: float | None, verdicts: Verdicts, protocol: Protocol, representatives: set[str]
) -> Judged:
    identity = crystal.crystal_id
    relaxed = is_relaxed(crystal)
    energy = energy if relaxed else None
    compared = identity in verdicts.group
    is_element = len(set(crystal.atomic_numbers.tolist())) == 1
    judged = Judged(
        crystal=crystal,
        is_decoded=is_decoded(crystal),
        is_relaxed=relaxed,
        is_converged=relaxed and crystal.converged is not False,
        e_above_hull=energy,
        is_stable=protocol.is_below(energy, protocol.stable_below),
        is_metastable=protocol.is_below(energy, protocol.metastable_below),
        is_compared=compared,
        is_unique=identity in representatives,
        is_novel=compared and identity not in verdicts.known_as,
        may_count=(protocol.elements_count or not is_element)
        and not (protocol.converged_only and crystal.converged is False),
        group=verdicts.group.get(identity),
        known_as=verdicts.known_as.get(identity),
    )
    return Judged(**{**vars(judged), "reason": _terminal(judged, protocol, is_element)})


def _terminal(judged: Judged, protocol: Protocol, is_element: bool) -> str:
    """Where a sample ended: the first of REASONS that applies."""
    ends = {
        "not decoded": not judged.is_decoded,
        "not relaxed": not judged.is_relaxed,
        "not converged": protocol.converged_only and not judged.is_converged,
        "no hull": judged.e_above_hull is None,
        "incomparable": not judged.is_compared,
        "one element": is_element and not protocol.elements_count,
        "not stable": not judged.is_stable,
        "duplicate": not judged.is_unique,
        "known": not judged.is_novel,
        "sun": True,
    }
    return next(reason for reason in REASONS if ends[reason])


def count(judged: list[Judged]) -> dict[str, int | None]:
    """The counts of the table, in the order of COUNTS; `converged` is None if that is known of no relaxed crystal."""
    flags = {
        "decoded": "is_decoded",
        "relaxed": "is_relaxed",
        "converged": "is_converged",
        "stable": "is_stable",
        "metastable": "is_metastable",
        "unique": "is_unique",
        "novel": "is_novel",
        "msun": "is_msun",
        "sun": "is_sun",
    }
    counts = {name: sum(getattr(one, flag) for one in judged) for name, flag in flags.items()}
    counts["attempted"] = len(judged)
    counts["on_hull"] = sum(one.e_above_hull is not None for one in judged)
    counts["unique_novel"] = sum(one.is_unique and one.is_novel for one in judged)
    relaxed = [one.crystal for one in judged if one.is_relaxed]
    if relaxed and all(crystal.converged is None for crystal in relaxed):
        counts["converged"] = None  # of crystals that came with energies; to say that all did would be a guess
    return {name: counts[name] for name in COUNTS}


def rates(counts: dict[str, int | None]) -> dict[str, Rate]:
    """The rates of the table in percent, each with its 95 % interval."""
    return {name: wilson(counts[part], counts[whole]).percent() for name, (part, whole) in RATES.items()}
