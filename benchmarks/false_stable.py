"""How often the built-in hull calls a crystal stable that lies off the Materials Project's hull.

    python benchmarks/false_stable.py --crystals test.csv.gz --hull-points mp_hull_points.csv.gz --max-atoms 8

Crystals get CHGNet's energies, as they are or relaxed, and are judged three times: by the Materials Project's hull
points, by a hull of the data set `prototypes` alone, and by the built-in hull, which knows its competing phases too. Of
those more than 0.1 eV/atom above the Materials Project's hull it counts how many the other two call stable, by number
of elements; crystals with an element that the built-in set lacks cannot be judged, and are only counted. Before that it
says how far the two hulls lie above the Materials Project's at that one's own compositions.
"""

import argparse
import dataclasses
import random
from collections import defaultdict
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from miad.config.resolve import default_config, read_settings
from miad.config.sections import Hull
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.statistics import wilson
from miad.dataset.step import standardise
from miad.hull.convex import ConvexHull, HullTable, atom_fractions, energy_above
from miad.hull.sources import from_crystals, read_source
from miad.io.any_format import read_any
from miad.prototypes.screening import energies
from miad.prototypes.step import relax_settings
from miad.relax.potentials.chgnet import Chgnet
from miad.relax.potentials.chgnet_network import Network
from miad.relax.step import in_flight

OFF = 0.1  # eV/atom above the Materials Project's hull
NEAR = 0.05  # eV/atom, likewise, of hulls
POINTS = 500  # compositions of each number of elements


def hulls(points: Path) -> dict[str, ConvexHull]:
    """The hulls by name; `points` are those of the Materials Project."""
    settings = read_settings(default_config(), Hull)
    own = dataclasses.replace(settings, source="dataset", dataset=dataclasses.replace(settings.dataset, files={}))
    crystals = read_crystals(
        *(files("miad.prototypes") / f"prototypes_{name}.jsonl.gz" for name in ("train", "val", "test"))
    )
    other = dataclasses.replace(own, dataset=dataclasses.replace(own.dataset, name="alone"))
    tables: dict[str, HullTable] = {
        "mp": read_source(dataclasses.replace(settings, source=str(points), checksum=None), []),
        "before": from_crystals(other, crystals),
        "after": from_crystals(own, crystals),
    }
    return {name: ConvexHull(table) for name, table in tables.items()}


def drawn(path: Path, number: int, max_atoms: int) -> list[Crystal]:
    """The small ones of so many crystals of a file, in their standard cells."""
    given = [one for one in read_any(path, "given") if not one.failure]
    chosen = random.Random(0).sample(given, min(number, len(given)))  # noqa: S311
    standard = [Crystal.from_structure(one.crystal_id, standardise(one.structure)) for one in chosen]
    return [one for one in standard if one.num_atoms <= max_atoms]


def with_energies(crystals: list[Crystal], is_relaxed: bool) -> list[Crystal]:
    """The crystals with CHGNet's energies; without those that it cannot relax."""
    torch.set_num_threads(1)
    if is_relaxed:
        found = in_flight(crystals, relax_settings(1), Chgnet(), "cpu", 0.4e9)
        return [crystal for crystal in found if not crystal.failure]
    pairs = zip(crystals, energies(crystals, Network("cpu")), strict=True)
    return [crystal.replace(energy_per_atom=energy) for crystal, energy in pairs if energy < 0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crystals", type=Path, required=True, help="crystals in any format")
    parser.add_argument("--hull-points", type=Path, required=True, help="the Materials Project's, with e_total_MP2020")
    parser.add_argument("--max-atoms", type=int, default=8, help="in the primitive cell")
    parser.add_argument("--sample", type=int, default=1000, help="crystals drawn by seed 0, before the limit of atoms")
    parser.add_argument("--relax", action="store_true", help="relax cells and positions; else energies as they are")
    parser.add_argument("--energies", type=Path, help="JSON lines to keep the energies in; read if it is there")
    flags = parser.parse_args()
    if flags.energies and flags.energies.is_file():
        small = read_crystals(flags.energies)
    else:
        small = with_energies(drawn(flags.crystals, flags.sample, flags.max_atoms), flags.relax)
        if flags.energies:
            write_crystals(flags.energies, small)
    by_name = hulls(flags.hull_points)
    print_gaps(by_name)
    heights = {
        name: [energy_above(one, hull.height(one.element_counts)) for one in small] for name, hull in by_name.items()
    }
    sizes = [len(one.element_counts) for one in small]
    rows = list(zip(sizes, *heights.values(), strict=True))
    known = [row for row in rows if None not in row]
    print(f"{len(small)} crystals of at most {flags.max_atoms} atoms, {len(known)} with an energy above every hull")
    for size in (*sorted({row[0] for row in known}), None):
        of_size = [row for row in known if size in (None, row[0])]
        off = [row for row in of_size if row[1] > OFF]
        told = [
            f"{name} {_rate(sum(row[place] < 0 for row in off), len(off))}"
            for place, name in ((2, "before"), (3, "after"))
        ]
        print(
            f"{size or 'all'} elements: {len(of_size)} judged, {len(off)} off the hull; called stable:", ", ".join(told)
        )


def print_gaps(by_name: dict[str, ConvexHull]) -> None:
    """Heights of the hulls above the Materials Project's at its own compositions, POINTS of each number of elements."""
    by_size = defaultdict(list)
    for entry in by_name["mp"].table.entries:
        if set(shares := atom_fractions(entry.formula)) <= by_name["after"].elements:
            by_size[len(shares)].append((entry, shares))
    for size in (2, 3, 4):
        chosen = random.Random(0).sample(by_size[size], POINTS)  # noqa: S311
        told = []
        for name in ("before", "after"):
            gaps = np.array(
                [by_name[name].height(shares).energy_per_atom - entry.energy_per_atom for entry, shares in chosen]
            )
            near, deep = np.mean(abs(gaps) < NEAR), np.mean(gaps < -NEAR)
            told.append(f"{name} {gaps.mean():.3f} on average, within {NEAR} at {near:.0%}, deeper at {deep:.0%}")
        print(f"{size} elements, eV/atom above the Materials Project's hull:", "; ".join(told))


def _rate(count: int, total: int) -> str:
    rate = wilson(count, total).percent()
    return "none" if rate.value is None else f"{count} = {rate.value:.0f} % [{rate.low:.0f}, {rate.high:.0f}]"


if __name__ == "__main__":
    main()
