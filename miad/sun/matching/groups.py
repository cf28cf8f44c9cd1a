"""Duplicates and known crystals by pymatgen's StructureMatcher at its defaults, each structure reduced once.

Only crystals of equal reduced formula can match, so they are compared within groups of it. StructureMatcher reduces
both structures anew in every comparison; here each is reduced once (the reduced training set is kept on disk) and
the same comparison is made of the reduced ones, with the same verdicts.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from miad.core.crystal import Crystal
from miad.machine.pool import Lost, doing, in_order
from miad.machine.progress import track
from miad.sun.matching.comparisons import Comparisons
from miad.sun.matching.disordered import DisorderedComparisons
from miad.sun.matching.reduced import content_key, read_reduced, reduce, write_reduced

log = logging.getLogger("miad")
# miad.sun.matching.screen may have to be compiled, which takes seconds, and then takes microseconds a pair,
# StructureMatcher milliseconds: with fewer pairs of equal formula than this it would not pay (benchmarks/RESULTS.md).
SCREEN_FROM = 10_000
DISORDERED = "sample_first_disordered"
FEW = 300  # crystals; so many are done sooner than other processes have started
TRIES = 4  # of a formula, each without another crystal whose comparison killed its worker or took too long


class Rule(NamedTuple):
    """Rule by which duplicates are found.

    Attributes:
        match: `either` direction of StructureMatcher (it is not symmetric); `sample_first`: fit(sample, reference), and
            fit(later sample, earlier one) as in MatterGen; `sample_first_rms`: get_rms_dist(sample, reference) is not
            None, and of (earlier sample, later one) as in FlowMM; `sample_first_disordered`: as `sample_first`, and
            elements that can replace each other may be swapped, as in MatterGen by default.
        duplicates: `components` (connected components of the matches: no order matters), `first_seen` (a sample is a
            duplicate if it matches an earlier one that is none), `every_earlier` (if it matches any earlier one), or
            `dropped` (if a sample that is none matches it, a later one too, as in FlowMM).
    """

    match: str
    duplicates: str

    @property
    def is_later_first(self) -> bool:
        """Whether StructureMatcher is asked with the later of two samples as its first structure."""
        return self.match in ("sample_first", DISORDERED)


@dataclass
class Matches:
    """Duplicates and known crystals under one rule, by crystal_id of the sample.

    Attributes:
        group: the first member of the duplicates that a sample belongs to (itself, if there is no other); a sample
            that cannot be compared is absent.
        known_as: the reference that it matches; samples that match none are absent.
    """

    group: dict[str, str] = field(default_factory=dict)
    known_as: dict[str, str] = field(default_factory=dict)

    def update(self, other: "Matches") -> None:
        """Add the matches of other samples."""
        self.group.update(other.group)
        self.known_as.update(other.known_as)


@dataclass(frozen=True)
class Group:
    """The samples and references of one reduced formula, in their order."""

    samples: list[Crystal]
    references: list[Crystal]

    @property
    def num_pairs(self) -> int:
        """Number of pairs to compare."""
        n = len(self.samples)
        return n * (n - 1) // 2 + n * len(self.references)

    def parts(self) -> list["Group"]:
        """The same by number of atoms: others cannot match."""
        sizes = dict.fromkeys(sample.num_atoms for sample in self.samples)
        both = (self.samples, self.references)
        return [Group(*([one for one in ones if one.num_atoms == size] for ones in both)) for size in sizes]


def compare(
    samples: list[Crystal],
    references: list[Crystal],
    rules: Iterable[Rule],
    *,
    workers: int | None = None,
    reduced_path: Path | None = None,
) -> dict[Rule, Matches]:
    """Duplicates among samples, and samples that are among the references, under each rule.

    Args:
        samples: crystals to judge, in the order in which they were drawn; ids are unique.
        references: crystals that count as known, e.g. the training set.
        rules: to apply; comparisons are shared between rules.
        workers: processes; None for all cores that this process may use.
        reduced_path: JSON lines of reduced references, read and extended; None keeps nothing.
    """
    rules = list(dict.fromkeys(rules))
    total = {rule: Matches() for rule in rules}
    groups = _groups(samples, references)
    is_screened = sum(group.num_pairs for group in groups) >= SCREEN_FROM
    cached = read_reduced(reduced_path)
    fresh: dict[str, Crystal] = {}
    for _ in range(TRIES):
        lost = []
        for result in _results(groups, cached, partial(_work, rules, is_screened), workers):
            if isinstance(result, Lost):
                lost.append(result)
                continue
            found, new = result
            fresh.update(new)
            for rule, part in found.items():
                total[rule].update(part)
        groups = [group for one in lost if (group := _without_culprit(one)).samples]
        if not groups:
            break
    for group in groups:
        names = [one.crystal_id for one in group.samples]
        log.warning("%d crystals of one formula cannot be compared after %d tries: %s", len(names), TRIES, names[:9])
    if reduced_path is not None and fresh:
        write_reduced(reduced_path, {**cached, **fresh})
    return total


def _groups(samples: list[Crystal], references: list[Crystal]) -> list[Group]:
    groups: dict[str, Group] = {}
    for sample in samples:
        groups.setdefault(sample.reduced_formula, Group([], [])).samples.append(sample)
    for reference in references:
        formula = reference.reduced_formula
        if formula in groups:
            groups[formula].references.append(reference)
    return list(groups.values())


def _results(groups: list[Group], cached: dict[str, Crystal], work: Callable, workers: int | None) -> Iterator[Any]:
    """Results of `work` of all groups, the most pairs first, each with what is reduced already."""
    tasks = []
    for group in sorted(groups, key=lambda group: -group.num_pairs):
        keys = [content_key(reference) for reference in group.references]
        tasks.append((group, {key: cached[key] for key in keys if key in cached}))
    few = len(groups) if sum(len(one.samples) + len(one.references) for one in groups) < FEW else 0
    results = in_order(work, tasks, few=few, chunk=1, workers=workers)
    return track(results, what="formulas compared", total=len(tasks))


def _without_culprit(lost: Lost) -> Group:
    """A group whose comparison failed, without the crystal that was in hand: the sample, if it was a pair with one."""
    (group, _), names = lost.item, lost.part.split("\n")
    named = [one for one in (*group.references, *group.samples) if one.crystal_id in names]
    culprits = named[-1:] or group.samples
    for one in culprits:
        log.warning("%s cannot be compared (%s): %s", one.crystal_id, " with ".join(names), lost.reason)
    samples, references = ([one for one in ones if one not in culprits] for ones in (group.samples, group.references))
    return Group(samples, references)


def _work(
    rules: list[Rule], is_screened: bool, task: tuple[Group, dict[str, Crystal]]
) -> tuple[dict[Rule, Matches], dict[str, Crystal]]:
    """Reduce and compare a group; also returns the references that were not reduced before."""
    group, cached = task
    fresh: dict[str, Crystal] = {}
    references = []
    for reference in group.references:
        key = content_key(reference)
        cell = cached.get(key) or fresh.get(key) or _reduced(reference)
        if cell is None:
            continue
        if key not in cached:
            fresh[key] = cell
        references.append(cell.replace(crystal_id=reference.crystal_id))
    samples = [cell for cell in map(_reduced, group.samples) if cell is not None]
    return compare_group(Group(samples, references), rules, is_screened), fresh


def _reduced(crystal: Crystal) -> Crystal | None:
    doing(crystal.crystal_id)
    return reduce(crystal)


def compare_group(group: Group, rules: Iterable[Rule], is_screened: bool = False) -> dict[Rule, Matches]:
    """All matches of the samples of one formula; the crystals are reduced ones."""
    found = {rule: Matches() for rule in rules}
    disordered = [rule for rule in found if rule.match == DISORDERED]
    if ordered := [rule for rule in found if rule.match != DISORDERED]:
        for part in group.parts():
            comparisons = Comparisons(part.samples + part.references, is_screened)
            for rule in ordered:
                found[rule].update(_matches(part, rule, comparisons))
    if disordered:
        alloys = DisorderedComparisons(group.samples + group.references)
        for rule in disordered:
            found[rule].update(_matches(group, rule, alloys))
    return found


def _matches(group: Group, rule: Rule, comparisons: Comparisons) -> Matches:
    """Matches of the samples of a group, which come first among the compared cells, under one rule."""
    matches, samples = Matches(), group.samples
    references = range(len(samples), len(comparisons.cells))
    tell = {"components": _components, "dropped": _dropped}.get(rule.duplicates, _first_come)
    labels = tell(len(samples), rule, comparisons)
    for number, sample in enumerate(samples):
        matches.group[sample.crystal_id] = samples[labels[number]].crystal_id
        twin = comparisons.first_match(rule.match, references, number, is_turned=True)
        if twin is not None:
            matches.known_as[sample.crystal_id] = comparisons.cells[twin].crystal_id
    return matches


def _first_come(num_samples: int, rule: Rule, comparisons: Comparisons) -> list[int]:
    """For each sample the earlier one that it repeats, or that one's first, or itself."""
    asked: list[int] = []
    labels: list[int] = []
    for later in range(num_samples):
        twin = comparisons.first_match(rule.match, asked, later, rule.is_later_first)
        if twin is None or rule.duplicates == "every_earlier":
            asked.append(later)
        labels.append(later if twin is None else labels[twin])
    return labels


def _dropped(num_samples: int, rule: Rule, comparisons: Comparisons) -> list[int]:
    """For each sample the one that drops it, or itself: in their order, each that is left drops all that it matches."""
    labels = np.arange(num_samples)
    for number in range(num_samples):
        if labels[number] != number:
            continue
        # One that is dropped stays so, whoever else matches it.
        left = [other for other in range(num_samples) if labels[other] == other != number]
        for other in comparisons.candidates(rule.match, left, number, is_turned=True):
            if comparisons.is_match(rule.match, other, number, is_turned=True):
                labels[labels == other] = number
    return labels.tolist()


def _components(num_samples: int, rule: Rule, comparisons: Comparisons) -> list[int]:
    """For each sample the first one of its connected component.

    Pairs that are joined already are not compared: the verdict could not change anything. So each sample meets one
    member of each component first, which in a crowd of duplicates saves nearly all comparisons.
    """
    labels = np.arange(num_samples)
    for later in range(num_samples):
        heads = np.unique(labels[:later])
        twin = comparisons.first_match(rule.match, heads, later, rule.is_later_first)
        if twin is not None:
            labels[later] = labels[twin]
        others = np.flatnonzero(labels[:later] != labels[later])
        for earlier in comparisons.candidates(rule.match, others, later, rule.is_later_first):
            if labels[earlier] == labels[later]:
                continue
            if comparisons.is_match(rule.match, earlier, later, rule.is_later_first):
                low, high = sorted((labels[earlier], labels[later]))
                labels[: later + 1][labels[: later + 1] == high] = low
    return labels.tolist()
