"""Time and memory of hull, uniqueness and novelty for 10,000 crystals, against a plain loop over StructureMatcher.

    python benchmarks/sun.py --train train.jsonl.gz --pool val.jsonl.gz test.jsonl.gz --entries entries.csv.gz

The samples are crystals of the pool, shaken and strained, so that some repeat each other and some are known. In a
second round 3,000 of them share one formula, drawn from all its structures, as from a model that has collapsed.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from miad.config import Dataset, Hull, Sun
from miad.crystal import Crystal, read_crystals, write_crystals
from miad.hull import ConvexHull, element_counts, read_table
from miad.matching import prepare
from miad.sun import reduced_path, run

PROTOCOL = {
    "cells": "relaxed",
    "match": "either",
    "duplicates": "components",
    "representative": "lowest_energy",
    "novel_against": ["train"],
    "stable_below": 0.0,
    "metastable_below": 0.1,
    "inclusive": False,
    "elements_count": False,
    "converged_only": False,
    "frames": "must_match",
}
NUM_SAMPLES, NUM_COLLAPSED = 10_000, 3_000
DISPLACEMENT, STRAIN = 0.03, 0.01  # Å and fraction: about what two relaxations to one minimum differ by


def shaken(crystal: Crystal, name: str, generator: np.random.Generator) -> Crystal:
    """A crystal with its atoms moved and its cell strained a little."""
    moved = crystal.frac_coords @ crystal.lattice + generator.normal(size=(crystal.num_atoms, 3)) * DISPLACEMENT
    lattice = crystal.lattice @ (np.eye(3) + generator.normal(size=(3, 3)) * STRAIN)
    coords = np.mod(moved @ np.linalg.inv(crystal.lattice), 1.0)
    return Crystal(name, lattice, coords, crystal.atomic_numbers)


def make_samples(pool: list[Crystal], hull: ConvexHull, formula: str | None, seed: int) -> list[Crystal]:
    """10,000 samples with energies around the hull; 3,000 of them of `formula`, if one is given."""
    generator = np.random.default_rng(seed)
    alike = [crystal for crystal in pool if formula and crystal.reduced_formula == formula]
    chosen = [pool[i] for i in generator.integers(0, len(pool), NUM_SAMPLES - (NUM_COLLAPSED if alike else 0))]
    chosen += [alike[i] for i in generator.integers(0, len(alike), NUM_COLLAPSED)] if alike else []
    samples = []
    for number, crystal in enumerate(chosen):
        sample = shaken(crystal, f"b-0-{number}", generator)
        height = hull.height(element_counts(sample)).energy_per_atom
        energy = (height or 0.0) + float(generator.normal(0.05, 0.1))
        samples.append(sample.replace(energy_per_atom=energy, energy_frame=hull.table.energy_frame, converged=True))
    return samples


def plain_loop(samples: list[Crystal], train: list[Crystal], seconds: float) -> tuple[float, float]:
    """Processor time of StructureMatcher().fit in nested loops, s: over all pairs, and over those of equal formula.

    Both are measured on random pairs for a while and multiplied by the number of pairs.
    """
    known, seen = defaultdict(list), defaultdict(list)
    for crystal in train:
        known[crystal.reduced_formula].append(crystal)
    alike = []
    for sample in samples:
        formula = sample.reduced_formula
        alike += [(other, sample) for other in known[formula] + seen[formula]]
        seen[formula].append(sample)
    generator = np.random.default_rng(0)
    both = [*train, *samples]
    any_two = ((both[i], samples[j]) for i, j in generator.integers(0, (len(both), len(samples)), (100_000, 2)))
    num_pairs = len(samples) * len(train) + len(samples) * (len(samples) - 1) / 2
    alike_at_random = (alike[index] for index in generator.permutation(len(alike)))
    return seconds_per_fit(any_two, seconds) * num_pairs, seconds_per_fit(alike_at_random, seconds) * len(alike)


def seconds_per_fit(pairs: Iterable[tuple[Crystal, Crystal]], seconds: float) -> float:
    """Mean processor time of one comparison, measured for so many seconds."""
    from pymatgen.core.structure_matcher import StructureMatcher

    begin, stop, done = time.process_time(), time.monotonic() + seconds, 0
    for first, second in pairs:
        StructureMatcher().fit(first.structure, second.structure)
        done += 1
        if time.monotonic() > stop:
            break
    return (time.process_time() - begin) / done


def peak_memory() -> float:
    """GB of this process and its largest child."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024**2


def main() -> None:
    """Print one line per round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="training crystals, JSON lines")
    parser.add_argument("--pool", type=Path, nargs="+", required=True, help="crystals to make samples of")
    parser.add_argument("--entries", type=Path, required=True, help="hull table of `miad hull`")
    parser.add_argument("--plain-seconds", type=float, default=20.0, help="how long to time the plain loop")
    flags = parser.parse_args()
    train = read_crystals(flags.train)
    pool = [crystal for path in flags.pool for crystal in read_crystals(path)]
    hull = ConvexHull(read_table(flags.entries))
    start = time.monotonic()
    prepare(train, reduced_path(flags.train))
    print(f"training set prepared in {time.monotonic() - start:.0f} s", flush=True)
    formulas = [crystal.reduced_formula for crystal in pool]
    crowd = max(sorted(set(formulas)), key=formulas.count)
    for formula in (None, crowd):
        samples = make_samples(pool, hull, formula, seed=0)
        took, busy, counts = timed(samples, flags.train, flags.entries)
        plain, grouped = plain_loop(samples, train, flags.plain_seconds)
        print(
            f"{'mixed' if formula is None else f'{NUM_COLLAPSED} of {formula}'}: {took:.0f} s on"
            f" {len(os.sched_getaffinity(0))} cores, {busy:.0f} s of processor time, {peak_memory():.1f} GB; plain loop"
            f" {plain:.0f} s ({plain / busy:.0f} times), within formulas {grouped:.0f} s ({grouped / busy:.1f} times);"
            f" unique {counts['unique']}, novel {counts['novel']}, S.U.N. {counts['sun']}",
            flush=True,
        )


def timed(samples: list[Crystal], train: Path, entries: Path) -> tuple[float, float, dict[str, int]]:
    """Seconds that `miad sun` takes, by the clock and of processor time, and its counts."""
    dataset = Dataset(0, "benchmark", {}, {}, None, {}, None, "total", None, "stop", [0.6, 0.2, 0.2])
    hull = Hull(dataset, "benchmark", None, None, None, "report")
    settings = Sun(0, hull, "strict", {"strict": PROTOCOL}, None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_crystals(folder / "relaxed.jsonl", samples)
        start, before = time.monotonic(), sum(os.times()[:4])
        run(
            settings,
            relaxed=[folder / "relaxed.jsonl"],
            train=train,
            entries=entries,
            ledger=folder / "ledger.jsonl",
            verdicts=folder / "verdicts.jsonl",
            row=folder / "row.json",
            name="benchmark",
        )
        took, busy = time.monotonic() - start, sum(os.times()[:4]) - before
        return took, busy, json.loads((folder / "row.json").read_text())["protocols"]["strict"]["counts"]


if __name__ == "__main__":
    main()
