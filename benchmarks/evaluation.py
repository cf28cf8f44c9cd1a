"""Checks of the evaluation: the hull against pymatgen's, and crystals whose verdicts are known.

    python benchmarks/evaluation.py --train train.jsonl.gz --test test.jsonl.gz --table test.csv.gz \\
        --hull entries.csv.gz

`--train`, `--test` and `--hull` are what `miad dataset` and `miad hull` wrote for MP-20 with energies; `--table` is
the CSV of the test split, for the Materials Project's own energies above the hull.
"""

import argparse
import csv
import time
from collections import defaultdict
from itertools import chain, combinations
from pathlib import Path

import numpy as np

from miad.core.crystal import Crystal, read_crystals
from miad.core.files import open_text
from miad.hull.convex import ConvexHull, atom_fractions, energy_above, read_table
from miad.sun.matching.groups import Matches, Rule, compare
from miad.sun.matching.reduced import reduce
from miad.sun.step import reduced_path

STRICT = Rule("either", "components")
MAX_ELEMENTS = 6
ON_HULL = 1e-3  # eV/atom; the table of entries was rounded and pieced together by others


def random_compositions(hull: ConvexHull, num: int) -> list[dict[str, float]]:
    """Compositions of 1 to 6 elements, each the elements of some entries of the hull in random amounts."""
    generator = np.random.default_rng(0)
    entries = hull.table.entries
    compositions = []
    for size in generator.integers(1, MAX_ELEMENTS + 1, num):
        chosen: set[str] = set()
        while len(chosen) < size:
            chosen |= set(atom_fractions(entries[generator.integers(len(entries))].formula))
        symbols = sorted(chosen)[:size]
        compositions.append(dict(zip(symbols, generator.dirichlet(np.ones(size)).tolist(), strict=True)))
    return compositions


def against_pymatgen(entries: Path, num: int) -> str:
    """Largest difference of the heights and the seconds that both take, building of the phase diagrams included."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    hull = ConvexHull(read_table(entries))
    compositions = random_compositions(hull, num)
    start = time.process_time()
    ours = [hull.height(one).energy_per_atom for one in compositions]
    seconds = [time.process_time() - start]
    start = time.process_time()
    systems = defaultdict(list)
    for one in hull.table.entries:
        composition = Composition(one.formula)
        entry = PDEntry(composition, one.energy_per_atom * composition.num_atoms)
        systems[frozenset(composition.get_el_amt_dict())].append(entry)
    theirs = []
    for one in compositions:
        subsets = chain.from_iterable(combinations(one, size) for size in range(1, len(one) + 1))
        inside = [entry for subset in subsets for entry in systems.get(frozenset(subset), ())]
        theirs.append(PhaseDiagram(inside).get_hull_energy_per_atom(Composition(one)))
    seconds.append(time.process_time() - start)
    apart = max(abs(x - y) for x, y in zip(ours, theirs, strict=True))
    return (
        f"hull of {num} random compositions of up to {MAX_ELEMENTS} elements: at most {apart:.1e} eV/atom from"
        f" pymatgen's PhaseDiagram; {seconds[0]:.1f} s against {seconds[1]:.1f} s of processor time"
    )


def members_found(test: list[Crystal], table: Path, entries: Path) -> str:
    """Number of crystals on the hull of the Materials Project that lie on ours with their own energies."""
    hull = ConvexHull(read_table(entries))
    with open_text(table) as text:
        members = {row["material_id"] for row in csv.DictReader(text) if row["e_above_hull"] in ("0", "0.0")}
    chosen = [one for one in test if one.source_id in members and one.energy_per_atom is not None]
    energies = np.array([energy_above(one, hull.height(one.element_counts)) for one in chosen], dtype=float)
    found = int((energies <= ON_HULL).sum())
    return f"hull members of the test split on our hull within {1000 * ON_HULL:g} meV/atom: {found} of {len(chosen)}"


def true_matches(samples: list[Crystal], references: list[Crystal], matches: Matches) -> int:
    """Number of the samples that are called known StructureMatcher itself matches, either way round."""
    from pymatgen.core.structure_matcher import StructureMatcher

    by_id = {one.crystal_id: one.structure for one in (*samples, *references)}
    pairs = [(by_id[sample], by_id[known]) for sample, known in matches.known_as.items()]
    return sum(StructureMatcher().fit(one, two) or StructureMatcher().fit(two, one) for one, two in pairs)


def novelty(samples: list[Crystal], references: list[Crystal], train: Path) -> Matches:
    """Matches under the headline rule."""
    return compare(samples, references, [STRICT], reduced_path=reduced_path(train))[STRICT]


def main() -> None:
    """Print one line per check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, text in (
        ("train", "training crystals, JSON lines"),
        ("test", "test crystals, JSON lines"),
        ("table", "CSV of the test split"),
        ("hull", "hull table of `miad hull`"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    parser.add_argument("--compositions", type=int, default=1000)
    parser.add_argument("--copies", type=int, default=5000, help="training crystals that are fed as samples")
    flags = parser.parse_args()
    print(against_pymatgen(flags.hull, flags.compositions), flush=True)
    train, test = read_crystals(flags.train), read_crystals(flags.test)
    print(members_found(test, flags.table, flags.hull), flush=True)
    found = novelty(test, train, flags.train)
    print(
        f"test crystals: {len(test) - len(found.known_as)} of {len(test)} novel; of the other {len(found.known_as)}"
        f" StructureMatcher matches {true_matches(test, train, found)} with the training crystal that is named",
        flush=True,
    )
    copies = [one.replace(crystal_id=f"copy-{one.crystal_id}") for one in train[: flags.copies]]
    found = novelty(copies, train, flags.train)
    odd = sum(reduce(one) is None for one in copies if one.crystal_id not in found.known_as)
    print(
        f"training crystals as samples: {len(copies) - len(found.known_as)} of {len(copies)} novel ({odd} cannot be"
        " compared)"
    )


if __name__ == "__main__":
    main()
