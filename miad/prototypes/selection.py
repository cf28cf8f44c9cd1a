"""Selection of the data set among the relaxed candidates: sane, different, and near the hull of them all."""

import logging
import random

import numpy as np

from miad.core.crystal import Crystal
from miad.dataset.step import standardise
from miad.hull.convex import ConvexHull, Entry, HullTable, energy_above, lowest_entries
from miad.prototypes.properties import VOLUMES
from miad.sun.matching.groups import Rule, compare

log = logging.getLogger("miad")
MAX_E_ABOVE_HULL = 0.1  # eV/atom
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
MAX_ATOMS = 6
# Volume over the sum of the elements' volumes; outside, the potential has failed (collapse, evaporation).
SANE_VOLUME = (0.35, 2.5)
DECIMALS = 6  # of Å, of fractions and of eV/atom: finer than the relaxation, and half the file
NAME = "prototypes"


def select(relaxed: list[Crystal], seed: int, workers: int | None = None) -> dict[str, list[Crystal]]:
    """The data set by split, of candidates after relaxation, failed ones included.

    Each crystal is standardised, with its energy and its energy above the hull of all sane candidates.
    """
    sane = [tidied(crystal) for crystal in relaxed if is_sane(crystal)]
    near = [
        crystal.replace(e_above_hull=round(above, DECIMALS) + 0.0)
        for crystal, above in zip(sane, energies_above_hull(sane), strict=True)
        if above <= MAX_E_ABOVE_HULL
    ]
    kept = without_duplicates(near, workers)
    log.info("%d relaxed, %d sane, %d near the hull, %d different", len(relaxed), len(sane), len(near), len(kept))
    named = [crystal.replace(crystal_id=f"proto-{index:05d}") for index, crystal in enumerate(kept)]
    return split(named, seed)


def is_sane(crystal: Crystal) -> bool:
    """True if a candidate relaxed, to a volume that its elements can have."""
    if crystal.failure or not crystal.converged:
        return False
    counts = crystal.element_counts
    if len(counts) == 1:  # molecular crystals are mostly empty, and every element needs a reference
        return True
    expected = sum(VOLUMES[symbol] * count for symbol, count in counts.items())
    return SANE_VOLUME[0] < crystal.volume / expected < SANE_VOLUME[1]


def tidied(crystal: Crystal) -> Crystal:
    """The crystal in its standard cell, rounded, with only what the data set carries."""
    structure = standardise(crystal.structure)
    return Crystal(
        crystal_id=crystal.crystal_id,
        lattice=np.round(structure.lattice.matrix, DECIMALS) + 0.0,
        frac_coords=np.mod(np.round(structure.frac_coords, DECIMALS), 1.0) + 0.0,
        atomic_numbers=np.array(structure.atomic_numbers, dtype=int),
        source_id=crystal.source_id,
        energy_per_atom=round(_known(crystal.energy_per_atom), DECIMALS),
        calculator=crystal.calculator,
        energy_frame=crystal.energy_frame,
    )


def _known(energy: float | None) -> float:
    """An energy that every sane candidate has."""
    assert energy is not None
    return energy


def energies_above_hull(crystals: list[Crystal]) -> list[float]:
    """Energy of each crystal above the hull of them all, eV/atom.

    A ValueError if an element is in compounds only: each of them would lie on a hull made of itself.
    """
    contents = [set(crystal.element_counts) for crystal in crystals]
    absent = set[str]().union(*contents).difference(*(symbols for symbols in contents if len(symbols) == 1))
    if absent:
        raise ValueError(f"no pure {', '.join(sorted(absent))} among the sane candidates, so there is no hull")
    entries = [Entry(one.reduced_formula, _known(one.energy_per_atom), one.crystal_id) for one in crystals]
    hull = ConvexHull(HullTable(NAME, crystals[0].energy_frame or "", NAME, lowest_entries(entries)))
    compositions = {crystal.reduced_formula: crystal.element_counts for crystal in crystals}
    points = {formula: hull.height(counts) for formula, counts in compositions.items()}
    return [_known(energy_above(crystal, points[crystal.reduced_formula])) for crystal in crystals]


def without_duplicates(crystals: list[Crystal], workers: int | None = None) -> list[Crystal]:
    """The lowest in energy of each set of equal crystals, in the order given."""
    rule = Rule("either", "components")
    by_energy = sorted(crystals, key=lambda crystal: (crystal.energy_per_atom, crystal.crystal_id))
    group = compare(by_energy, [], [rule], workers=workers)[rule].group
    return [crystal for crystal in crystals if group.get(crystal.crystal_id) == crystal.crystal_id]


def split(crystals: list[Crystal], seed: int) -> dict[str, list[Crystal]]:
    """Train, val and test, drawn by seed; within each in the order of the ids."""
    order = list(range(len(crystals)))
    random.Random(seed).shuffle(order)  # noqa: S311
    parts, start = {}, 0.0
    for name, share in SHARES.items():
        begin, end = round(start * len(order)), round((start + share) * len(order))
        parts[name] = [crystals[index] for index in sorted(order[begin:end])]
        start += share
    return parts
