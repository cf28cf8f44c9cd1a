"""Verdicts on samples under one protocol, and the counts and rates of the table."""

from collections.abc import Mapping

from miad.config.sections import Protocol
from miad.core.crystal import Crystal
from miad.core.sound import is_decoded, is_relaxed
from miad.core.statistics import Rate, wilson
from miad.sun.matching.groups import Matches
from miad.sun.verdict import REASONS, Verdict

# Each rate is one count over another: joint counts, never a product of rates.
RATES = {
    "metastable": ("metastable", "attempted"),
    "unique_novel_among_metastable": ("msun", "metastable"),
    "msun": ("msun", "attempted"),
    "stable": ("stable", "attempted"),
    "unique_novel_among_stable": ("sun", "stable"),
    "sun": ("sun", "attempted"),
}


def judge(
    crystals: list[Crystal],
    energies: list[float | None],
    matches: Matches,
    protocol: Protocol,
    labels: Mapping[str, str] | None = None,
) -> list[Verdict]:
    """Verdicts on all samples under one protocol, in their order.

    Args:
        crystals: relaxed crystals, failed ones included, in sample order.
        energies: energy above the hull of each, eV/atom; None if unknown.
        matches: duplicates and known crystals under the protocol's rule.
        protocol: the choices.
        labels: {id of a known crystal: how it is named to people}; its id, where it has none.
    """
    representatives = _representatives(crystals, energies, matches, protocol)
    return [
        _judge_one(crystal, energy if is_relaxed(crystal) else None, matches, protocol, representatives, labels or {})
        for crystal, energy in zip(crystals, energies, strict=True)
    ]


def _representatives(
    crystals: list[Crystal], energies: list[float | None], matches: Matches, protocol: Protocol
) -> set[str]:
    """Ids of the unique crystals, one of each group of duplicates."""
    best: dict[str, tuple[bool, float, int, str]] = {}
    for order, (crystal, energy) in enumerate(zip(crystals, energies, strict=True)):
        group = matches.group.get(crystal.crystal_id)
        if group is None:
            continue
        height = energy if protocol.representative == "lowest_energy" else None
        # What cannot count stands for nothing that can; crystals without energy come last; ties go to the earlier one.
        is_barred = height is not None and protocol.converged_only and crystal.converged is False
        rank = (is_barred, float("inf") if height is None else height, order, crystal.crystal_id)
        best[group] = min(best.get(group, rank), rank)
    return {identity for *_, identity in best.values()}


def _judge_one(
    crystal: Crystal,
    energy: float | None,
    matches: Matches,
    protocol: Protocol,
    representatives: set[str],
    labels: Mapping[str, str],
) -> Verdict:
    identity, twin = crystal.crystal_id, matches.known_as.get(crystal.crystal_id)
    is_compared = identity in matches.group
    is_unique, is_novel = identity in representatives, is_compared and twin is None
    is_stable, is_metastable = (
        protocol.is_below(energy, limit) for limit in (protocol.stable_below, protocol.metastable_below)
    )
    is_element = not protocol.elements_count and len(set(crystal.atomic_numbers.tolist())) == 1
    is_unfinished = protocol.converged_only and crystal.converged is False
    may_count = is_unique and is_novel and not is_element and not is_unfinished
    ends = {
        "not decoded": not is_decoded(crystal),
        "not relaxed": not is_relaxed(crystal),
        "not converged": is_unfinished,
        "no hull": energy is None,
        "incomparable": not is_compared,
        "one element": is_element,
        "not stable": not is_stable,
        "duplicate": not is_unique,
        "known": not is_novel,
        "sun": True,
    }
    return Verdict(
        reason=next(reason for reason in REASONS if ends[reason]),
        is_stable=is_stable,
        is_metastable=is_metastable,
        is_unique=is_unique if is_compared else None,
        is_novel=is_novel if is_compared else None,
        is_sun=is_stable and may_count,
        is_msun=is_metastable and may_count,
        group=matches.group.get(identity),
        known_as=None if twin is None else labels.get(twin, twin),
    )


def count(crystals: list[Crystal], energies: list[float | None], verdicts: list[Verdict]) -> dict[str, int | None]:
    """The counts of the table, in its order; `converged` is None if that is known of no relaxed crystal."""
    relaxed = [crystal.converged for crystal in crystals if is_relaxed(crystal)]
    # Of crystals that came with energies nobody knows; to say that all converged would be a guess.
    is_unknown = bool(relaxed) and all(converged is None for converged in relaxed)
    on_hull = (is_relaxed(one) and energy is not None for one, energy in zip(crystals, energies, strict=True))

    def of(*names: str) -> dict[str, int]:
        return {name: sum(bool(getattr(one, f"is_{name}")) for one in verdicts) for name in names}

    return {
        "attempted": len(crystals),
        "decoded": sum(map(is_decoded, crystals)),
        "relaxed": len(relaxed),
        "converged": None if is_unknown else sum(converged is not False for converged in relaxed),
        "on_hull": sum(on_hull),
        **of("stable", "metastable", "unique", "novel"),
        "unique_novel": sum(bool(one.is_unique and one.is_novel) for one in verdicts),
        **of("msun", "sun"),
    }


COUNTS = tuple(count([], [], []))  # the columns of counts; every attempted sample is in `attempted`


def rates(counts: dict[str, int | None]) -> dict[str, Rate]:
    """The rates of the table in percent, each with its 95 % interval."""
    return {name: wilson(counts[part] or 0, counts[whole] or 0).percent() for name, (part, whole) in RATES.items()}
