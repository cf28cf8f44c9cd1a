"""Check of the older metrics (Table 6) against the arithmetic of CDVAE's and DiffCSP's compute_metrics.py.

    python benchmarks/metrics.py --samples diffcsp_mp20_first1000.extxyz.gz --test test.csv.gz [--smact SMACT-2.2.1]

What the scripts do is written here anew, crystal by crystal and choice by choice: distance matrices, every choice of
oxidation states, full matrices of distances between fingerprints. `--smact` is an unpacked release whose tables judge
the compositions; without it those of the installed one do, and its own `smact_validity` is compared as well.
"""

import argparse
import itertools
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from miad.core.crystal import Crystal
from miad.io.any_format import read_any
from miad.metrics import step
from miad.metrics.fingerprints import describe_all, reduced_counts
from miad.metrics.scaler import SHIPPED, read_scaler
from miad.metrics.validity import composition_fault

CUTOFFS = step.CUTOFFS["mp_20"]
MOST_CHOICES = 10**7  # of oxidation states, above which DiffCSP calls a composition invalid


def composition_valid(smact, crystal: Crystal) -> bool:
    """The scripts' verdict: every choice of oxidation states is tried, elements in the order of atomic numbers."""
    from smact.screening import pauling_test

    counts = crystal.element_counts
    if len(counts) == 1 or all(element in smact.metals for element in counts):
        return True
    elements = [smact.Element(element) for element in counts]
    values = [element.pauling_eneg for element in elements]
    # The list of 2014 has a name of its own since SMACT 2.7.
    states = [getattr(one, "oxidation_states_smact14", one.oxidation_states) or [] for one in elements]
    if np.prod([len(its) for its in states], dtype=float) > MOST_CHOICES:
        return False
    for choice in itertools.product(*states):
        if sum(charge * count for charge, count in zip(choice, counts.values(), strict=True)) == 0:
            try:
                if pauling_test(choice, values):
                    return True
            except TypeError:  # an electronegativity is unknown
                return True
    return False


@cache
def featurizers() -> tuple:
    """The scripts' presets of matminer."""
    from matminer.featurizers.composition.composite import ElementProperty
    from matminer.featurizers.site.fingerprint import CrystalNNFingerprint

    return CrystalNNFingerprint.from_preset("ops"), ElementProperty.from_preset("magpie")


def described(smact, crystal: Crystal) -> SimpleNamespace:
    """Validity and fingerprints of a crystal as the scripts find them."""
    from pymatgen.core import Composition, Lattice, Structure

    cell = Lattice.from_parameters(*Lattice(crystal.lattice).parameters)
    structure = Structure(cell, crystal.atomic_numbers.tolist(), crystal.frac_coords)
    distances = structure.distance_matrix + np.diag(np.full(len(structure), 10.5))
    one = SimpleNamespace(structure=structure, composition=composition_valid(smact, crystal))
    one.apart = bool(distances.min() >= 0.5 and structure.volume >= 0.1)
    one.valid = one.composition and one.apart
    finder, magpie = featurizers()
    one.features = magpie.featurize(Composition(Counter(crystal.atomic_numbers.tolist())))
    try:
        one.sites = np.mean([finder.featurize(structure, site) for site in range(len(structure))], axis=0)
    except Exception:
        one.valid, one.sites = False, None
    return one


def theirs(samples: list[SimpleNamespace], test: list[SimpleNamespace]) -> dict[str, float]:
    """Rates in the scripts' way."""
    from scipy.spatial.distance import cdist

    mean, deviation = read_scaler(SHIPPED)
    kept = [[one for one in part if one.sites is not None] for part in (samples, test)]
    sites = cdist(*([one.sites for one in part] for part in kept))
    features = cdist(*(np.nan_to_num((np.array([one.features for one in part]) - mean) / deviation) for part in kept))
    near = [
        (sites.min(axis=axis) <= CUTOFFS[0]) & (features.min(axis=axis) <= CUTOFFS[1])
        for axis in (0, 1)  # recall, precision
    ]
    return {
        "structural_validity": sum(one.apart for one in samples),
        "compositional_validity": sum(one.composition for one in samples),
        "validity": sum(one.valid for one in samples),
        "coverage_recall": int(near[0].sum()),
        "coverage_precision": int(near[1].sum()),
    }


def main() -> None:
    """Print both sides, and the crystals on which they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--smact", type=Path)
    parser.add_argument("--number", type=int, default=200, help="samples whose fingerprints are taken")
    arguments = parser.parse_args()
    if arguments.smact:
        sys.path.insert(0, str(arguments.smact))
    import smact

    print(f"tables of {smact.__file__}", flush=True)
    given = read_any(arguments.samples, "samples")
    compositions(smact, given, is_installed=arguments.smact is None)
    samples, test = given[: arguments.number], read_any(arguments.test, "test")
    ours = [describe_all(part, None) for part in (samples, test)]
    settings = SimpleNamespace(self_images=False, seed=0)
    found = step.summary(*ours, read_scaler(SHIPPED), CUTOFFS, settings)["rates"]
    print(f"{len(samples)} samples, {len(test)} test crystals: here, scripts")
    for name, count in theirs(*([described(smact, one) for one in part] for part in (samples, test))).items():
        print(f"  {name}: {found[name]['count']}, {count}")


def compositions(smact, crystals: list[Crystal], *, is_installed: bool) -> None:
    """Print on how many compositions miad, the scripts' way, and what SMACT does by default today differ."""
    ours = [composition_fault(*reduced_counts(one)) is None for one in crystals]
    scripts = [composition_valid(smact, one) for one in crystals]
    differ = [one.reduced_formula for one, a, b in zip(crystals, ours, scripts, strict=True) if a != b]
    print(f"compositions of all {len(crystals)}: valid {sum(ours)}, {sum(scripts)}; {len(differ)} differ: {differ}")
    if is_installed:
        from smact.screening import smact_validity

        defaults = [smact_validity(one.structure.composition) for one in crystals]
        pairs = list(zip(defaults, ours, strict=True))
        gained, lost = pairs.count((True, False)), pairs.count((False, True))
        print(f"smact_validity with its defaults: valid {sum(defaults)}, {gained} gained, {lost} lost", flush=True)


if __name__ == "__main__":
    main()
