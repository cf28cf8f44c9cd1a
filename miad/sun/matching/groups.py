"""Which crystals are the same: pymatgen's StructureMatcher at its defaults, each structure reduced once.

Only crystals of equal reduced formula can match, so they are compared within groups of it. StructureMatcher reduces
both structures anew in every comparison; here each is reduced once (the reduced training set is kept on disk) and
the same comparison is made of the reduced ones, with the same verdicts.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from miad.core.crystal import Crystal
from miad.machine.parallel import Processes
from miad.sun.matching.comparisons import Comparisons
from miad.sun.matching.reduced import content_key, is_sound, read_reduced, reduce, write_reduced

BATCH = 60  # crystals handed to a process at a time: long enough to hide the hand-over, short enough to share out
# miad.sun.matching.screen may have to be compiled, which takes seconds, and then takes microseconds a pair,
# StructureMatcher milliseconds: with fewer pairs of equal formula than this it would not pay (benchmarks/RESULTS.md).
SCREEN_FROM = 10_000
CROWD = 100_000  # pairs of one formula, from which they are compared by several processes in blocks
BLOCK = 300  # samples; a block of two has 180,000 pairs, which takes seconds
FEW = 300  # crystals; so many are done sooner than other processes have started


class Rule(NamedTuple):
    """How duplicates are told.

    Attributes:
        match: `either` direction of StructureMatcher (it is not symmetric), or `forward`: the earlier sample or the
            reference comes first.
        duplicates: `components` (connected components of the matches: no order matters), or `first_seen` (a sample is
            a duplicate if it matches an earlier one that is none).
    """

    match: str
    duplicates: str


@dataclass
class Verdicts:
    """What one rule says of each sample, by crystal_id.

    Attributes:
        group: the first member of the duplicates that a sample belongs to (itself, if there is no other); a sample
            that cannot be compared is absent.
        known_as: the reference that it matches; samples that match none are absent.
    """

    group: dict[str, str] = field(default_factory=dict)
    known_as: dict[str, str] = field(default_factory=dict)

    def update(self, other: "Verdicts") -> None:
        """Add the verdicts on other samples."""
        self.group.update(other.group)
        self.known_as.update(other.known_as)


@dataclass(frozen=True)
class Group:
    """The samples and references of one reduced formula, in their order."""

    samples: list[Crystal]
    references: list[Crystal]

    @property
    def num_pairs(self) -> int:
        """How many pairs there are to compare."""
        n = len(self.samples)
        return n * (n - 1) // 2 + n * len(self.references)

    def parts(self) -> list["Group"]:
        """The same by number of atoms: others cannot match."""
        sizes = dict.fromkeys(sample.num_atoms for sample in self.samples)
        both = (self.samples, self.references)
        return [Group(*([one for one in ones if one.num_atoms == size] for ones in both)) for size in sizes]


def compare_group(group: Group, rules: Iterable[Rule], is_screened: bool = False) -> dict[Rule, Verdicts]:
    """All verdicts on the samples of one formula; the crystals are reduced ones."""
    verdicts = {rule: Verdicts() for rule in rules}
    for part in group.parts():
        _tell(part, Comparisons(part.samples + part.references, is_screened), verdicts)
    return verdicts


def _tell(part: Group, comparisons: Comparisons, verdicts: dict[Rule, Verdicts]) -> None:
    """Add the verdicts on crystals of one formula and size."""
    samples = part.samples
    for rule, verdict in verdicts.items():
        tell = _components if rule.duplicates == "components" else _first_seen
        labels = tell(len(samples), rule, comparisons)
        for number, sample in enumerate(samples):
            verdict.group[sample.crystal_id] = samples[labels[number]].crystal_id
            twin = comparisons.first_match(rule.match, range(len(samples), len(comparisons.cells)), number)
            if twin is not None:
                verdict.known_as[sample.crystal_id] = comparisons.cells[twin].crystal_id


def _first_seen(num_samples: int, rule: Rule, comparisons: Comparisons) -> list[int]:
    """For each sample the earlier one that it repeats, or itself."""
    kept: list[int] = []
    labels = []
    for later in range(num_samples):
        twin = comparisons.first_match(rule.match, kept, later)
        if twin is None:
            kept.append(later)
        labels.append(later if twin is None else twin)
    return labels


def _components(num_samples: int, rule: Rule, comparisons: Comparisons) -> list[int]:
    """For each sample the first one of its connected component.

    Pairs that are joined already are not compared: the verdict could not change anything. So each sample meets one
    member of each component first, which in a crowd of duplicates saves nearly all comparisons.
    """
    labels = np.arange(num_samples)
    for later in range(num_samples):
        heads = np.unique(labels[:later])
        twin = comparisons.first_match(rule.match, heads, later)
        if twin is not None:
            labels[later] = labels[twin]
        others = np.flatnonzero(labels[:later] != labels[later])
        for earlier in comparisons.candidates(rule.match, others, later):
            if labels[earlier] != labels[later] and comparisons.is_match(rule.match, earlier, later):
                low, high = sorted((labels[earlier], labels[later]))
                labels[: later + 1][labels[: later + 1] == high] = low
    return labels.tolist()


def compare(
    samples: list[Crystal],
    references: list[Crystal],
    rules: Iterable[Rule],
    *,
    workers: int | None = None,
    reduced_path: Path | None = None,
) -> dict[Rule, Verdicts]:
    """Duplicates among samples, and samples that are among the references.

    Args:
        samples: crystals to judge, in the order in which they were drawn; ids are unique.
        references: crystals that count as known, e.g. the training set.
        rules: how duplicates are told; comparisons are shared between rules.
        workers: processes; None for all cores that this process may use.
        reduced_path: JSON lines of reduced references, read and extended; None keeps nothing.

    Returns:
        {rule: verdicts on every sample}.
    """
    rules = list(dict.fromkeys(rules))
    total = {rule: Verdicts() for rule in rules}
    groups = _groups(samples, references)
    is_screened = sum(group.num_pairs for group in groups) >= SCREEN_FROM
    cached = read_reduced(reduced_path)
    fresh: dict[str, Crystal] = {}
    with Processes(workers) as processes:
        # One crowd after the other, each by all processes; the rest, a handful of formulas to a process.
        is_crowd = {id(group): processes.number > 1 and group.num_pairs >= CROWD for group in groups}
        for group in [group for group in groups if is_crowd[id(group)]]:
            reduced = _reduce_crowd(group, cached, fresh, processes)
            for rule, part in _compare_crowd(reduced, rules, is_screened, processes).items():
                total[rule].update(part)
        batches = list(_batches([group for group in groups if not is_crowd[id(group)]], cached))
        what, is_short = "batches of formulas compared", len(batches) * BATCH < FEW
        for verdicts, new in processes.map(_work, batches, (rules, is_screened), what, is_short=is_short):
            fresh.update(new)
            for rule, part in verdicts.items():
                total[rule].update(part)
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


def _batches(groups: list[Group], cached: dict[str, Crystal]) -> Iterable[list[tuple[Group, dict[str, Crystal]]]]:
    """Groups, the most pairs first, a handful at a time, each with what is reduced already."""
    batch: list[tuple[Group, dict[str, Crystal]]] = []
    weight = 0
    for group in sorted(groups, key=lambda group: -group.num_pairs):
        keys = [content_key(reference) for reference in group.references]
        batch.append((group, {key: cached[key] for key in keys if key in cached}))
        weight += len(group.samples) + len(group.references)
        if weight >= BATCH:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def prepare(references: list[Crystal], reduced_path: Path, *, workers: int | None = None) -> None:
    """Reduce a whole set of references beforehand; `compare` does it for those that it needs."""
    cached = read_reduced(reduced_path)
    missing = [crystal for crystal in references if content_key(crystal) not in cached]
    with Processes(workers) as processes:
        for fresh in _reduced(missing, processes):
            cached.update(fresh)
    if missing:
        write_reduced(reduced_path, cached)


def _reduced(crystals: list[Crystal], processes: Processes) -> Iterable[dict[str, Crystal]]:
    batches = [crystals[start : start + BATCH] for start in range(0, len(crystals), BATCH)]
    is_short = len(batches) * BATCH < FEW
    return processes.map(_reduce_all, batches, (), "batches of crystals reduced", is_short=is_short)


def _reduce_all(crystals: list[Crystal]) -> dict[str, Crystal]:
    cells = ((content_key(crystal), reduce(crystal)) for crystal in crystals)
    return {key: cell for key, cell in cells if cell is not None}


def _reduce_crowd(group: Group, cached: dict[str, Crystal], fresh: dict[str, Crystal], processes: Processes) -> Group:
    """The reduced crystals of a crowd under their own ids; references that were not reduced before go to `fresh`."""
    keys = [[content_key(one) for one in ones] for ones in (group.samples, group.references)]
    cells = {key: cached[key] for key in keys[1] if key in cached}
    missing = {key: one for key, one in zip(keys[1], group.references, strict=True) if key not in cells}
    for new in _reduced([*missing.values(), *group.samples], processes):
        cells.update(new)
    fresh.update({key: cells[key] for key in missing if key in cells})
    both = (zip(keys[0], group.samples, strict=True), zip(keys[1], group.references, strict=True))
    return Group(
        *([cells[key].replace(crystal_id=one.crystal_id) for key, one in ones if key in cells] for ones in both)
    )


def _compare_crowd(group: Group, rules: list[Rule], is_screened: bool, processes: Processes) -> dict[Rule, Verdicts]:
    """As `compare_group`, the pairs compared by all processes, in blocks.

    The rules need the pairs in the order of the samples, and only some of them. So each process applies them to a
    block of samples alone, first within every block and with the references, then between any two blocks; here they
    are applied to all samples. What was compared before is not compared again, so that hardly a comparison is left:
    the verdicts are those of one process, whichever pairs the others have asked about.
    """
    parts = group.parts()
    known = [Comparisons(part.samples + part.references, is_screened) for part in parts]
    for is_between in (False, True):
        blocks = [(number, chosen) for number, part in enumerate(parts) for chosen in _blocks(part, is_between)]
        tasks = [(_only(parts[number], chosen), known[number].known_of(chosen)) for number, chosen in blocks]
        results = processes.map(_look_into, tasks, (rules, is_screened), "blocks of one formula compared")
        for (number, chosen), found in zip(blocks, results, strict=True):
            known[number].learn(chosen, found)
    verdicts = {rule: Verdicts() for rule in rules}
    for part, comparisons in zip(parts, known, strict=True):
        _tell(part, comparisons, verdicts)
    return verdicts


def _blocks(part: Group, is_between: bool) -> list[np.ndarray]:
    """Numbers of the cells, samples before references, of each block with all references, or of any two blocks."""
    num_samples, num_references = len(part.samples), len(part.references)
    chunks = [np.arange(start, min(start + BLOCK, num_samples)) for start in range(0, num_samples, BLOCK)]
    references = np.arange(num_samples, num_samples + num_references)
    pairs = itertools.combinations(chunks, 2) if is_between else ((chunk, references) for chunk in chunks)
    return [np.concatenate(pair) for pair in pairs]


def _only(part: Group, chosen: np.ndarray) -> Group:
    num_samples = len(part.samples)
    samples = [part.samples[number] for number in chosen if number < num_samples]
    return Group(samples, [part.references[number - num_samples] for number in chosen if number >= num_samples])


def _look_into(block: tuple[Group, np.ndarray], rules: list[Rule], is_screened: bool) -> np.ndarray:
    """What is known of the pairs of some cells, (n_cells, n_cells), after every rule was applied to them."""
    part, known = block
    comparisons = Comparisons(part.samples + part.references, is_screened, known)
    _tell(part, comparisons, {rule: Verdicts() for rule in rules})
    return comparisons.known_of(np.arange(len(comparisons.cells)))


def _work(
    batch: list[tuple[Group, dict[str, Crystal]]], rules: list[Rule], is_screened: bool
) -> tuple[dict[Rule, Verdicts], dict[str, Crystal]]:
    """Reduce and compare a few groups; also returns the references that were not reduced before."""
    total = {rule: Verdicts() for rule in rules}
    fresh: dict[str, Crystal] = {}
    for group, cached in batch:
        if group.num_pairs == 0:
            identity = group.samples[0].crystal_id
            for verdict in total.values():
                verdict.group.update({identity: identity} if is_sound(group.samples[0]) else {})
            continue
        references = []
        for reference in group.references:
            key = content_key(reference)
            cell = cached.get(key) or fresh.get(key) or reduce(reference)
            if cell is None:
                continue
            if key not in cached:
                fresh[key] = cell
            references.append(cell.replace(crystal_id=reference.crystal_id))
        samples = [cell for cell in map(reduce, group.samples) if cell is not None]
        for rule, part in compare_group(Group(samples, references), rules, is_screened).items():
            total[rule].update(part)
    return total, fresh
