"""Verdicts of the protocols against those of the programs that they imitate, on 200 crystals.

    python benchmarks/protocols.py --samples generated.extxyz.gz --mattergen FOLDER

FOLDER is the unpacked wheel of mattergen 1.0.3 (`pip download --no-deps mattergen`), of which its matchers and its
functions for novelty and uniqueness are run. FlowMM's scripts_analysis/novelty.py is restated in a few lines here, and
so is MiAD's description; both ask pymatgen itself, without reduced cells, screens or shared comparisons.
Half of the crystals have elements that can replace each other; of each there are four samples: shaken a little, shaken
much, with two atoms exchanged, and that one shaken in a doubled cell. References are the crystal itself and one with
two other atoms exchanged.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pymatgen.core import Structure
from pymatgen.core.structure_matcher import StructureMatcher

from miad.core.crystal import Crystal
from miad.io.any_format import read_any
from miad.sun.matching.disordered import alloy
from miad.sun.matching.groups import Rule, compare

Verdicts = tuple[dict[str, bool], dict[str, bool]]  # {id: whether novel}, {id: whether unique}
Ask = Callable[[Structure, Structure], bool]
RULES = {
    "as_paper": Rule("sample_first", "every_earlier"),
    "flowmm": Rule("sample_first_rms", "dropped"),
    "mattergen": Rule("sample_first", "first_seen"),
    "mattergen, disordered": Rule("sample_first_disordered", "first_seen"),
}


def shaken(structure: Structure, size: float, generator: np.random.Generator) -> Structure:
    """A structure with its atoms moved by `size` Å and its cell strained by as much over 3 Å."""
    moved = structure.cart_coords + generator.normal(size=(len(structure), 3)) * size
    coords = moved @ np.linalg.inv(structure.lattice.matrix)
    lattice = structure.lattice.matrix @ (np.eye(3) + generator.normal(size=(3, 3)) * size / 3 * 0.5)
    return Structure(lattice, structure.species, coords)


def exchanged(structure: Structure, generator: np.random.Generator) -> Structure:
    """A structure with the elements of two sites exchanged."""
    species = list(structure.species)
    while True:
        i, j = generator.integers(0, len(species), 2)
        if species[i] != species[j]:
            species[i], species[j] = species[j], species[i]
            return Structure(structure.lattice, species, structure.frac_coords)


def make(crystals: list[Crystal]) -> tuple[list[Crystal], list[Crystal]]:
    """200 samples and 100 references of 50 crystals."""
    generator = np.random.default_rng(0)
    many = [crystal for crystal in crystals if len(set(crystal.atomic_numbers.tolist())) > 1]
    mixed = [crystal for crystal in many if alloy(crystal) is not None][:25]
    chosen = mixed + [crystal for crystal in many if alloy(crystal) is None][:25]
    samples, references = [], []
    for number, crystal in enumerate(chosen):
        base = crystal.structure
        other = exchanged(base, generator)
        doubled = shaken(other * (2, 1, 1), 0.05, generator)
        ones = [shaken(base, 0.05, generator), shaken(base, 0.25, generator), other, doubled]
        samples += [Crystal.from_structure(f"s{number}-{kind}", one) for kind, one in enumerate(ones)]
        both = [base, exchanged(base, generator)]
        references += [Crystal.from_structure(f"r{number}-{kind}", one) for kind, one in enumerate(both)]
    return samples, references


def formulas(crystals: list[Crystal]) -> dict[str, list[Crystal]]:
    """Crystals by reduced formula."""
    groups: dict[str, list[Crystal]] = {}
    for crystal in crystals:
        groups.setdefault(crystal.reduced_formula, []).append(crystal)
    return groups


def ours(rule: Rule, samples: list[Crystal], references: list[Crystal]) -> Verdicts:
    """Verdicts of miad."""
    found = compare(samples, references, [rule], workers=1)[rule]
    ids = [sample.crystal_id for sample in samples]
    return {one: one not in found.known_as for one in ids}, {one: found.group.get(one) == one for one in ids}


def mattergen(matcher: StructureMatcher, samples: list[Crystal], references: list[Crystal]) -> Verdicts:
    """Verdicts of MatterGen's own functions."""
    from mattergen.evaluation.utils.dataset_matcher import get_matches, get_unique

    known, novel, unique = formulas(references), {}, {}
    for formula, group in formulas(samples).items():
        structures = [one.structure for one in group]
        matches = get_matches(matcher, structures, [one.structure for one in known.get(formula, [])])
        kept = get_unique(matcher, structures)
        novel |= {one.crystal_id: i not in matches for i, one in enumerate(group)}
        unique |= {one.crystal_id: i in kept for i, one in enumerate(group)}
    return novel, unique


def restated(ask: Ask, drops_matches: bool, samples: list[Crystal], references: list[Crystal]) -> Verdicts:
    """Verdicts of FlowMM, where a sample that is kept drops all that it matches, or of MiAD's first come."""
    known, novel, unique = formulas(references), {}, {}
    for formula, group in formulas(samples).items():
        structures, dropped = [one.structure for one in group], set()
        for i, one in enumerate(structures):
            novel[group[i].crystal_id] = not any(ask(one, other.structure) for other in known.get(formula, []))
            if not drops_matches:
                dropped |= {i} if any(ask(one, earlier) for earlier in structures[:i]) else set()
            elif i not in dropped:
                dropped |= {j for j, other in enumerate(structures) if j != i and ask(one, other)}
        unique |= {one.crystal_id: i not in dropped for i, one in enumerate(group)}
    return novel, unique


def main() -> None:
    """Print a line per protocol."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--mattergen", type=Path)
    options = parser.parse_args()
    samples, references = make(read_any(options.samples, "g"))
    plain = StructureMatcher()
    programs: dict[str, Callable[[], Verdicts]] = {
        "as_paper": lambda: restated(plain.fit, False, samples, references),
        "flowmm": lambda: restated(lambda a, b: plain.get_rms_dist(a, b) is not None, True, samples, references),
    }
    if options.mattergen:
        sys.path.append(str(options.mattergen))
        from mattergen.evaluation.utils.structure_matcher import (
            DefaultDisorderedStructureMatcher,
            DefaultOrderedStructureMatcher,
        )

        programs["mattergen"] = lambda: mattergen(DefaultOrderedStructureMatcher(), samples, references)
        programs["mattergen, disordered"] = lambda: mattergen(DefaultDisorderedStructureMatcher(), samples, references)
    for name, program in programs.items():
        theirs, mine = program(), ours(RULES[name], samples, references)
        cells = []
        for what, one, other in zip(("novel", "unique"), theirs, mine, strict=True):
            unequal = [identity for identity in one if one[identity] != other[identity]]
            cells.append(f"{what} {sum(one.values())} ({len(one) - len(unequal)} of {len(one)} equal) {unequal or ''}")
        print(f"{name}: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
