"""Structure prediction by sample.constraints.compositions: match rate and RMSE, beside random structures.

    python benchmarks/csp.py --model model.safetensors --test test.csv.gz [--crystals 40] [--samples 20] [--stride 4]

Of the test crystals of at most 8 atoms some are drawn; composition and number of formula units are given, and as many
samples each are compared with the crystal by StructureMatcher (stol 0.5, angle_tol 10, ltol 0.3, as in DiffCSP). RMSE
is that of the best match, normalised as get_rms_dist does. Random structures have the composition and the volume of the
crystal, uniform positions, and the shape of the cell of another one. Prints a Markdown table.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
MOST_ATOMS = 8


def chosen(path: Path, num: int) -> list:
    """Test crystals of few atoms, drawn with a fixed seed, in their primitive cells."""
    from miad.core.crystal import Crystal
    from miad.io.any_format import read_any

    whole = [one for one in read_any(path, "test") if not one.failure]
    order = np.random.default_rng(0).permutation(len(whole))
    small = (Crystal.from_structure(whole[i].crystal_id, whole[i].structure.get_primitive_structure()) for i in order)
    return list(itertools.islice((one for one in small if one.num_atoms <= MOST_ATOMS), num))


def sampled(model: Path, crystals: list, samples: int, stride: int) -> list[list]:
    """Samples of the composition of each crystal."""
    from miad.config.sections import Constraints, Formula, Sample
    from miad.core.crystal import read_crystals
    from miad.sample import step

    formulas = tuple(Formula(one.structure.composition.formula.replace(" ", "")) for one in crystals)
    only, num = Constraints(compositions=formulas), samples * len(crystals)
    settings = Sample(0, num, 1, stride, 1e-5, 50, True, 1.2, 0, None, "float32", "auto", only)
    with tempfile.TemporaryDirectory() as folder:
        step.run(settings, model=model, crystals=Path(folder) / "samples.jsonl", shard=0)
        found = read_crystals(Path(folder) / "samples.jsonl")
    return [found[index :: len(crystals)] for index in range(len(crystals))]


def random_ones(crystals: list, samples: int) -> list[list]:
    """Random structures of the composition and volume of each crystal."""
    rng = np.random.default_rng(1)
    made = []
    for one in crystals:
        shapes = [crystals[index] for index in rng.integers(len(crystals), size=samples)]
        scales = [(one.volume / shape.volume) ** (1 / 3) for shape in shapes]
        made.append(
            [
                one.replace(lattice=shape.lattice * scale, frac_coords=rng.random((one.num_atoms, 3)))
                for shape, scale in zip(shapes, scales, strict=True)
            ]
        )
    return made


def best(crystal, candidates: list) -> float | None:
    """RMSE of the best match; None if there is none."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)
    found = [matcher.get_rms_dist(crystal.structure, one.structure) for one in candidates if not one.failure]
    return min((distance[0] for distance in found if distance is not None), default=None)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--crystals", type=int, default=40)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--stride", type=int, default=4)
    options = parser.parse_args()

    from miad.core.statistics import wilson

    crystals = chosen(options.test, options.crystals)
    print(f"| structures | matched with 1, % | matched with {options.samples}, % | RMSE of those |")
    print("| --- | --- | --- | --- |")
    for name, groups in (
        ("random", random_ones(crystals, options.samples)),
        ("sampled", sampled(options.model, crystals, options.samples, options.stride)),
    ):
        distances = [best(one, group) for one, group in zip(crystals, groups, strict=True)]
        matched = [distance for distance in distances if distance is not None]
        first = sum(best(one, group[:1]) is not None for one, group in zip(crystals, groups, strict=True))
        rates = [wilson(count, len(crystals)).percent() for count in (first, len(matched))]
        cells = " | ".join(f"{rate.value:.1f} [{rate.low:.1f}, {rate.high:.1f}]" for rate in rates)
        print(f"| {name} | {cells} | {np.mean(matched) if matched else float('nan'):.3f} |", flush=True)


if __name__ == "__main__":
    main()
