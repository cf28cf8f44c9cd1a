"""Time and memory of hull, uniqueness and novelty for 10,000 crystals, against a plain loop over StructureMatcher.

    python benchmarks/sun.py --train train.jsonl.gz --pool val.jsonl.gz test.jsonl.gz --hull entries.csv.gz

The samples are crystals of the pool, shaken and strained, so that some repeat each other and some are known. In a
second round 3,000 of them share one formula, drawn from all its structures, as from a model that has collapsed.
Random pairs of equal formula, as they come, are then compared by StructureMatcher too, and its verdicts with ours.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from miad.config.resolve import read_settings
from miad.config.sections import Sun
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.hull.convex import ConvexHull, read_table
from miad.sun.matching import groups
from miad.sun.matching.comparisons import Screen, fits
from miad.sun.matching.reduced import content_key, read_reduced, reduce, write_reduced
from miad.sun.step import reduced_path, run

DISPLACEMENT, STRAIN = 0.03, 0.01  # Å and fraction: about what two relaxations to one minimum differ by
CONFIG = Path(__file__).resolve().parent.parent / "config.yaml"

Pair = tuple[Crystal, Crystal]


def shaken(crystal: Crystal, name: str, generator: np.random.Generator) -> Crystal:
    """A crystal with its atoms moved and its cell strained a little."""
    moved = crystal.frac_coords @ crystal.lattice + generator.normal(size=(crystal.num_atoms, 3)) * DISPLACEMENT
    lattice = crystal.lattice @ (np.eye(3) + generator.normal(size=(3, 3)) * STRAIN)
    coords = np.mod(moved @ np.linalg.inv(crystal.lattice), 1.0)
    return Crystal(name, lattice, coords, crystal.atomic_numbers)


def make_samples(pool: list[Crystal], alike: list[Crystal], sizes: tuple[int, int], hull: ConvexHull) -> list[Crystal]:
    """Samples with energies around the hull, `sizes` of them of the pool and of what is alike."""
    generator = np.random.default_rng(0)
    chosen = [
        part[i] for part, n in zip((pool, alike), sizes, strict=True) for i in generator.integers(0, len(part), n)
    ]
    samples = []
    for number, crystal in enumerate(chosen):
        sample = shaken(crystal, f"b-0-{number}", generator)
        height = hull.height(sample.element_counts).energy_per_atom
        energy = (height or 0.0) + float(generator.normal(0.05, 0.1))
        samples.append(sample.replace(energy_per_atom=energy, energy_frame=hull.table.energy_frame, converged=True))
    return samples


def pairs_of_equal_formula(samples: list[Crystal], train: list[Crystal]) -> list[Pair]:
    """Every pair that a plain loop would compare: sample with training crystal, sample with earlier sample."""
    known, seen = defaultdict(list), defaultdict(list)
    for crystal in train:
        known[crystal.reduced_formula].append(crystal)
    pairs = []
    for sample in samples:
        formula = sample.reduced_formula
        pairs += [(other, sample) for other in known[formula] + seen[formula]]
        seen[formula].append(sample)
    return pairs


def plain_loop(pairs: Iterable[Pair], seconds: float) -> tuple[float, list[bool]]:
    """Mean processor time of StructureMatcher().fit, measured for so many seconds, and its verdicts."""
    from pymatgen.core.structure_matcher import StructureMatcher

    begin, stop, verdicts = time.process_time(), time.monotonic() + seconds, []
    for first, second in pairs:
        verdicts.append(bool(StructureMatcher().fit(first.structure, second.structure)))
        if time.monotonic() > stop:
            break
    return (time.process_time() - begin) / len(verdicts), verdicts


def ours(pair: Pair) -> tuple[bool, bool]:
    """Whether two crystals match, compared as `miad sun` does, and whether the screen alone ruled it out."""

    first, second = map(reduce, pair)
    if first is None or second is None or first.num_atoms != second.num_atoms:
        return False, True
    if not Screen.of([first, second]).could_match(np.array([0]), np.array([1]))[0, 0]:
        return False, True
    return fits(first, second), False


def peak_memory() -> float:
    """GB of this process and its largest child."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024**2


def timed(samples: list[Crystal], train: Path, entries: Path) -> tuple[float, float, dict[str, int]]:
    """Seconds that `miad sun` takes under its headline protocol, by the clock and of processor time, and its counts."""
    shipped = read_settings(str(CONFIG), Sun)
    settings = dataclasses.replace(shipped, protocols={shipped.protocol: shipped.protocols[shipped.protocol]})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_crystals(folder / "relaxed.jsonl", samples)
        outputs = {"ledger": folder / "ledger.jsonl", "verdicts": folder / "verdicts.jsonl", "row": folder / "row.json"}
        start, before = time.monotonic(), sum(os.times()[:4])
        run(settings, relaxed=[folder / "relaxed.jsonl"], train=train, hull=entries, run="benchmark", **outputs)
        took, busy = time.monotonic() - start, sum(os.times()[:4]) - before
        return took, busy, json.loads(outputs["row"].read_text())["protocols"][settings.protocol]["counts"]


def compare_with_plain(samples: list[Crystal], train: list[Crystal], busy: float, seconds: float) -> str:
    """Ratio of the time of plain loops to ours, and the number of pairs on which the verdicts differ."""
    generator = np.random.default_rng(0)
    both = [*train, *samples]
    any_two = ((both[i], samples[j]) for i, j in generator.integers(0, (len(both), len(samples)), (100_000, 2)))
    every = plain_loop(any_two, seconds / 4)[0] * (len(samples) * len(train) + len(samples) * (len(samples) - 1) / 2)
    alike = pairs_of_equal_formula(samples, train)
    chosen = [alike[index] for index in generator.permutation(len(alike))]
    each, verdicts = plain_loop(chosen, seconds)
    found = [ours(pair) for pair in chosen[: len(verdicts)]]
    wrong = sum(one[0] != verdict for one, verdict in zip(found, verdicts, strict=True))
    return (
        f"  plain loop over all pairs {every:.0f} s ({every / busy:.0f} times), over the {len(alike)} pairs of equal"
        f" formula {each * len(alike):.0f} s ({each * len(alike) / busy:.1f} times)\n"
        f"  {len(verdicts)} of these pairs: {sum(verdicts)} match, {sum(one[1] for one in found)} ruled out without"
        f" StructureMatcher, {wrong} verdicts differ"
    )


def prepare(references: list[Crystal], path: Path) -> None:
    """Reduce a whole set of references on all cores; `miad sun` does it for those that it needs."""
    kept = read_reduced(path)
    missing = {key: one for one in references if (key := content_key(one)) not in kept}
    with multiprocessing.get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        cells = dict(zip(missing, pool.map(reduce, missing.values(), chunksize=60), strict=True))
    write_reduced(path, kept | {key: cell for key, cell in cells.items() if cell is not None})


def main() -> None:
    """Print a few lines per round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="training crystals, JSON lines")
    parser.add_argument("--pool", type=Path, nargs="+", required=True, help="crystals to make samples of")
    parser.add_argument("--hull", type=Path, required=True, help="hull table of `miad hull`")
    parser.add_argument("--samples", type=int, default=10_000, help="samples")
    parser.add_argument("--crowd", type=int, default=3_000, help="of these, how many share a formula in round two")
    parser.add_argument("--rounds", nargs="+", choices=("mixed", "crowd"), default=["mixed", "crowd"])
    parser.add_argument("--plain-seconds", type=float, default=20.0, help="how long to time the plain loop; 0: not")
    parser.add_argument(
        "--no-screen", action="store_true", help="ask StructureMatcher about every pair of equal formula"
    )
    flags = parser.parse_args()
    if flags.no_screen:
        groups.SCREEN_FROM = float("inf")
    train = read_crystals(flags.train)
    pool = [crystal for path in flags.pool for crystal in read_crystals(path)]
    hull = ConvexHull(read_table(flags.hull))
    start = time.monotonic()
    prepare(train, reduced_path(flags.train))
    print(f"training set prepared in {time.monotonic() - start:.0f} s", flush=True)
    formulas = [crystal.reduced_formula for crystal in pool]
    formula = max(sorted(set(formulas)), key=formulas.count)
    alike = [crystal for crystal, its in zip(pool, formulas, strict=True) if its == formula]
    for name in flags.rounds:
        crowd = flags.crowd if name == "crowd" else 0
        samples = make_samples(pool, alike, (flags.samples - crowd, crowd), hull)
        took, busy, counts = timed(samples, flags.train, flags.hull)
        print(
            f"{flags.samples} samples{f', {crowd} of them {formula}' if crowd else ''}: {took:.0f} s on"
            f" {len(os.sched_getaffinity(0))} cores, {busy:.0f} s of processor time, {peak_memory():.1f} GB; unique"
            f" {counts['unique']}, novel {counts['novel']}, S.U.N. {counts['sun']}",
            flush=True,
        )
        if flags.plain_seconds:
            print(compare_with_plain(samples, train, busy, flags.plain_seconds), flush=True)


if __name__ == "__main__":
    main()
