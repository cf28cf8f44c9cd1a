"""Which crystals are the same: pymatgen's StructureMatcher at its defaults, each structure reduced once.

Only crystals of equal reduced formula can match, so they are compared within groups of it. StructureMatcher reduces
both structures anew in every comparison; here each is reduced once (the reduced training set is kept on disk) and
the same comparison is made of the reduced ones, with the same verdicts.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from miad.crystal import Crystal
from miad.errors import MiadError
from miad.files import open_text, write_text
from miad.progress import track

if TYPE_CHECKING:
    from pymatgen.core.structure_matcher import StructureMatcher

log = logging.getLogger("miad")

# Longest edge cubed over volume: 1 for a cube, some hundreds for layered crystals. StructureMatcher lists the lattice
# points within the longest edge; beyond this limit they fill the memory.
MAX_ELONGATION = 1e5
BATCH = 60  # crystals handed to a process at a time: long enough to hide the hand-over, short enough to share out


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


@dataclass(frozen=True)
class Group:
    """The samples and references of one reduced formula, in their order."""

    samples: list[Crystal]
    references: list[Crystal]


@cache
def matcher() -> "StructureMatcher":
    """pymatgen's StructureMatcher with default parameters."""
    from pymatgen.core.structure_matcher import StructureMatcher

    return StructureMatcher()


def reduce(crystal: Crystal) -> Crystal | None:
    """The primitive, Niggli-reduced cell that StructureMatcher compares, sites in its order.

    Returns:
        The cell; None for a degenerate one (no volume, a needle, numbers that are not finite), of which
        StructureMatcher cannot tell anything, or not in finite time.
    """
    if not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.frac_coords).all()) or crystal.num_atoms == 0:
        return None
    try:
        structure = matcher()._get_reduced_structure(crystal.structure)
    except (ValueError, IndexError, ZeroDivisionError, FloatingPointError, np.linalg.LinAlgError) as error:
        log.info("%s cannot be reduced (%s); it is not compared", crystal.crystal_id, error)
        return None
    if max(structure.lattice.abc) ** 3 > MAX_ELONGATION * structure.volume:
        return None
    return Crystal(
        crystal_id=crystal.crystal_id,
        lattice=np.array(structure.lattice.matrix),
        frac_coords=np.array(structure.frac_coords),
        atomic_numbers=np.array(structure.atomic_numbers, dtype=int),
    )


def fits(first: Crystal, second: Crystal) -> bool:
    """`StructureMatcher().fit` of two reduced crystals of equal reduced formula."""
    if first.num_atoms != second.num_atoms:
        return False  # without supercells StructureMatcher matches only cells of as many sites
    judge = matcher()
    pair = judge._preprocess(first.structure, second.structure, skip_structure_reduction=True)
    match = judge._match(*pair, break_on_match=True)
    return match is not None and bool(match[0] <= judge.stol)


class Comparisons:
    """Comparisons within one formula; each pair is compared once per direction, whichever rule asks."""

    def __init__(self) -> None:
        """Nothing compared yet."""
        self._known: dict[tuple[int, int], bool] = {}

    def match(self, rule: Rule, first: Crystal, second: Crystal) -> bool:
        """Whether two reduced crystals are the same under a rule."""
        return self._fits(first, second) or (rule.match == "either" and self._fits(second, first))

    def _fits(self, first: Crystal, second: Crystal) -> bool:
        key = id(first), id(second)
        if key not in self._known:
            self._known[key] = fits(first, second)
        return self._known[key]


def compare_group(group: Group, rules: Iterable[Rule]) -> dict[Rule, Verdicts]:
    """All verdicts on the samples of one formula; the crystals are reduced ones."""
    comparisons = Comparisons()
    verdicts = {}
    for rule in rules:
        tell = _components if rule.duplicates == "components" else _first_seen
        known_as = {}
        for sample in group.samples:
            twin = next((known for known in group.references if comparisons.match(rule, known, sample)), None)
            if twin is not None:
                known_as[sample.crystal_id] = twin.crystal_id
        verdicts[rule] = Verdicts(tell(group.samples, rule, comparisons), known_as)
    return verdicts


def _first_seen(samples: list[Crystal], rule: Rule, comparisons: Comparisons) -> dict[str, str]:
    kept: list[Crystal] = []
    group = {}
    for sample in samples:
        twin = next((earlier for earlier in kept if comparisons.match(rule, earlier, sample)), None)
        if twin is None:
            kept.append(sample)
        group[sample.crystal_id] = (twin or sample).crystal_id
    return group


def _components(samples: list[Crystal], rule: Rule, comparisons: Comparisons) -> dict[str, str]:
    label = list(range(len(samples)))  # the lowest index of the component so far
    for later in range(len(samples)):
        for earlier in range(later):
            if label[earlier] == label[later]:
                continue  # already joined: the comparison could not change anything
            if comparisons.match(rule, samples[earlier], samples[later]):
                low, high = sorted((label[earlier], label[later]))
                label = [low if mark == high else mark for mark in label]
    return {sample.crystal_id: samples[mark].crystal_id for sample, mark in zip(samples, label, strict=True)}


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
    cached = read_reduced(reduced_path)
    batches = list(_batches(groups, cached))
    fresh: dict[str, Crystal] = {}
    for verdicts, reduced in _in_processes(batches, rules, workers):
        fresh.update(reduced)
        for rule, part in verdicts.items():
            total[rule].group.update(part.group)
            total[rule].known_as.update(part.known_as)
    for group in groups:
        if len(group.samples) == 1 and not group.references:
            for verdict in total.values():
                verdict.group[group.samples[0].crystal_id] = group.samples[0].crystal_id
    if reduced_path is not None and fresh:
        _write_reduced(reduced_path, {**cached, **fresh})
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
    """Groups that need a comparison, the largest first, a handful at a time, each with what is reduced already."""
    batch: list[tuple[Group, dict[str, Crystal]]] = []
    weight = 0
    for group in sorted(groups, key=lambda group: -len(group.samples) - len(group.references)):
        if len(group.samples) == 1 and not group.references:
            continue
        keys = [content_key(reference) for reference in group.references]
        batch.append((group, {key: cached[key] for key in keys if key in cached}))
        weight += len(group.samples) + len(group.references)
        if weight >= BATCH:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _in_processes(batches: list, rules: list[Rule], workers: int | None) -> Iterable[tuple[dict, dict]]:
    workers = min(workers or len(os.sched_getaffinity(0)), len(batches))
    if workers <= 1:
        yield from (_work(batch, rules) for batch in track(batches, what="batches of formulas compared"))
        return
    with ProcessPoolExecutor(workers) as pool:
        results = pool.map(_work, batches, [rules] * len(batches))
        yield from track(results, what="batches of formulas compared", total=len(batches))


def _work(batch: list[tuple[Group, dict[str, Crystal]]], rules: list[Rule]) -> tuple[dict[Rule, Verdicts], dict]:
    """Reduce and compare a few groups; also returns the references that were not reduced before."""
    total = {rule: Verdicts() for rule in rules}
    fresh: dict[str, Crystal] = {}
    for group, cached in batch:
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
        for rule, part in compare_group(Group(samples, references), rules).items():
            total[rule].group.update(part.group)
            total[rule].known_as.update(part.known_as)
    return total, fresh


def content_key(crystal: Crystal) -> str:
    """What a reduced cell depends on: the cell, the atoms and pymatgen's version; not the id."""
    from pymatgen.core import __version__

    digest = hashlib.sha256(__version__.encode())
    for array in (crystal.lattice, crystal.frac_coords, crystal.atomic_numbers.astype(float)):
        digest.update(np.ascontiguousarray(array, dtype=float).tobytes())
    return digest.hexdigest()[:32]


def read_reduced(path: Path | None) -> dict[str, Crystal]:
    """Reduced cells by content key; empty if there is no such file yet.

    Raises:
        MiadError: a line is damaged.
    """
    if path is None or not Path(path).exists():
        return {}
    reduced = {}
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            try:
                key, lattice, frac_coords, atomic_numbers = json.loads(line)
                reduced[key] = Crystal(
                    key, np.array(lattice), np.array(frac_coords).reshape(-1, 3), np.array(atomic_numbers, dtype=int)
                )
            except (ValueError, TypeError) as error:
                raise MiadError(
                    f"{path}, line {number} is damaged ({error}). Delete the file; it is made anew."
                ) from error
    return reduced


def _write_reduced(path: Path, reduced: dict[str, Crystal]) -> None:
    lines = (
        json.dumps([key, cell.lattice.tolist(), cell.frac_coords.tolist(), cell.atomic_numbers.tolist()])
        for key, cell in sorted(reduced.items())
    )
    try:
        write_text(path, "".join(line + "\n" for line in lines))
    except PermissionError:
        log.warning("%s cannot be written; the references are reduced anew each time", path)
