"""Effect of gaps in the hull on the samples: compositions of the Materials Project left out, and energies too deep.

    python benchmarks/hull_gaps.py --hull entries.csv.gz --known mp_entries_eform_ehull.csv.gz --ledger ledger.jsonl

A table that was pieced together lacks phases, so the hull at a new composition may be too high, and the crystals there
look too stable. Formulas that the Materials Project has above its hull are left out of the table one by one; what the
hull rises by is the error that a new composition could have. These errors are added, by number of elements and at
random, to the samples of a ledger whose formula is not in the table. Samples far below the hull are told apart: where
whole compounds are missing, nothing that was left out shows it.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from miad.core.crystal import read_crystals
from miad.core.files import open_text
from miad.core.statistics import wilson
from miad.hull.convex import ConvexHull, HullTable, atom_fractions, lowest_entries, read_table

ON_HULL = 1e-4  # eV/atom
DEEP = -0.1  # eV/atom; no sample of a trained model is so far below a whole hull
NUM_DRAWS = 200
SIZES = (2, 3, 4)  # numbers of elements that are told apart; more count as the last


def above_hull(path: Path) -> list[str]:
    """Formulas all of whose entries lie above the Materials Project's hull."""
    lowest: dict[str, float] = {}
    with open_text(path) as text:
        for row in csv.DictReader(text):
            if row["e_above_hull_mp"]:
                energy = float(row["e_above_hull_mp"])
                lowest[row["formula"]] = min(energy, lowest.get(row["formula"], energy))
    return sorted(formula for formula, energy in lowest.items() if energy > ON_HULL)


def gaps(table: HullTable, formulas: list[str]) -> dict[int, list[float]]:
    """{number of elements: rises of the hull, eV/atom, when a formula is left out}."""
    whole = ConvexHull(table)
    by_elements = defaultdict(list)
    for entry in table.entries:
        by_elements[frozenset(atom_fractions(entry.formula))].append(entry)
    found = defaultdict(list)
    for formula in formulas:
        shares = atom_fractions(formula)
        inside = [one for elements, part in by_elements.items() if elements <= set(shares) for one in part]
        others = [one for one in lowest_entries(inside) if atom_fractions(one.formula) != shares]
        without = ConvexHull(HullTable(table.name, table.energy_frame, table.source, others)).height(shares)
        point = whole.height(shares)
        if without.energy_per_atom is not None and point.energy_per_atom is not None:
            found[_size(shares)].append(without.energy_per_atom - point.energy_per_atom)
    return found


def _size(elements: object) -> int:
    return min(max(len(elements), SIZES[0]), SIZES[-1])


def main() -> None:
    """Print the errors, and the counts of a ledger with and without them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hull", type=Path, required=True, help="hull table of `miad hull`")
    parser.add_argument("--known", type=Path, required=True, help="CSV with formula and e_above_hull_mp")
    parser.add_argument(
        "--ledger", type=Path, required=True, help="ledger of `miad sun` or `miad evaluate`, JSON lines"
    )
    parser.add_argument("--formulas", type=int, default=1000, help="how many are left out")
    flags = parser.parse_args()
    generator = np.random.default_rng(0)
    table = read_table(flags.hull)
    in_table = {entry.formula for entry in table.entries}
    formulas = [formula for formula in above_hull(flags.known) if formula in in_table]
    found = gaps(table, generator.permutation(formulas)[: flags.formulas].tolist())
    for size, rises in sorted(found.items()):
        meV = 1000 * np.array(rises)
        print(f"{size} elements: {len(meV)} left out, mean {meV.mean():.0f} meV/atom, {np.mean(meV < 1):.0%} within 1")
    judged = read_crystals(flags.ledger)
    deep = sorted((one for one in judged if (one.e_above_hull or 0.0) < DEEP), key=lambda one: one.e_above_hull)
    listed = ", ".join(f"{one.reduced_formula} {one.e_above_hull:.2f}" for one in deep[:8])
    print(f"{len(deep)} samples lie more than {-DEEP} eV/atom below the hull: {listed} …")
    energies = np.array([np.inf if one.e_above_hull is None else one.e_above_hull for one in judged])
    sizes = np.array([_size(set(one.atomic_numbers.tolist())) for one in judged])
    is_new = np.array([one.reduced_formula not in in_table for one in judged])
    may_count = np.array([bool(one.is_unique and one.is_novel and "-" in one.chemical_system) for one in judged])
    errors = np.zeros((NUM_DRAWS, len(judged)))
    for size in SIZES:
        chosen = is_new & (sizes == size)
        errors[:, chosen] = generator.choice(found[size], (NUM_DRAWS, int(chosen.sum())))
    is_sound = energies >= DEEP
    for what, limit in (
        ("as judged", energies < 0),
        ("errors taken off", energies + errors < 0),
        ("errors taken off, none so deep", (energies + errors < 0) & is_sound),
    ):
        stable, sun = ((limit & which).sum(axis=-1).mean() for which in (np.array(True), may_count))
        print(f"{what}: stable {_rate(stable, len(judged))}, S.U.N. {_rate(sun, len(judged))}")


def _rate(count: float, total: int) -> str:
    rate = wilson(round(count), total).percent()
    return f"{rate.value:.1f} % [{rate.low:.1f}, {rate.high:.1f}]"


if __name__ == "__main__":
    main()
