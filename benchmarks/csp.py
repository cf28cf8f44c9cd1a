"""Structure prediction by sample.constraints.compositions: match rate and RMSE of several ways, and of random ones.

    python benchmarks/csp.py --model mp20-small --test test.csv.gz --train train.csv.gz --stride 10 --corrected 20

Of the test crystals of at most 8 atoms some are drawn; composition and number of formula units are given, and the
samples are compared with the crystal by StructureMatcher (stol 0.5, angle_tol 10, ltol 0.3, as in DiffCSP). "Matched,
1" is the mean over all samples, "matched, n" the share of crystals that one of their n samples matches. RMSE is that
of the best match of each crystal, normalised as get_rms_dist does. Random structures have the composition and the
volume of the crystal, uniform positions, and the shape of the cell of another one. "Close" are samples with atoms
nearer than 0.5 Å, "broken" those that failed or have another composition. Prints a Markdown table.
"""

import argparse
import itertools
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from miad.model.diffusion import restricted, species  # noqa: E402
from miad.model.diffusion.process import JointDiffusion  # noqa: E402

MOST_ATOMS = 8
TOO_CLOSE = 0.5  # Å


class Held(JointDiffusion):
    """Species known at all times, without guidance."""

    def step(self, network, state, now, later, noise, denoise_last=False, max_length=None, restriction=None):
        """See `Process.step`."""
        return super().step(
            network, state, now, later, noise, denoise_last, max_length, replace(restriction, guidance=0.0)
        )


class Free(JointDiffusion):
    """Species generated, at each step to an A_0 that fills the slots, as in the package with sample.guidance 0."""

    def step(self, network, state, now, later, noise, denoise_last=False, max_length=None, restriction=None):
        """See `Process.step`."""
        if now == self.num_timesteps:
            state = replace(state, species=noise.classes(state.species.shape[1]))
        return self.free_step(
            network, state, now, later, noise, denoise_last, max_length, replace(restriction, species=None)
        )

    def free_step(self, *arguments):
        """One step from species that nothing holds."""
        return super().step(*arguments)


class Last(Free):
    """Species of the composition only, which the last step alone counts."""

    def free_step(self, network, state, now, later, noise, denoise_last, max_length, restriction):
        """One step; see `Free`."""

        def only_allowed(*inputs):
            epsilon, score, logits = network(*inputs)
            return epsilon, score, restricted.restrict(logits, restriction.allowed)

        if later == 0:
            return super().free_step(network, state, now, later, noise, denoise_last, max_length, restriction)
        return super().free_step(only_allowed, state, now, later, noise, denoise_last, max_length, None)


class Noised(JointDiffusion):
    """Species noised anew at each time, of what they are in the end."""

    def step(self, network, state, now, later, noise, denoise_last=False, max_length=None, restriction=None):
        """See `Process.step`."""
        known, keep, width = restriction.species, self.species_alpha_bar, state.species.shape[1]
        if now == self.num_timesteps:
            state = replace(state, species=noise.classes(width))
        found = super().step(network, state, now, later, noise, denoise_last, max_length)
        kinds = species.add_noise(known, keep[later], noise.uniform(width), noise.classes(width))
        return replace(found, species=kinds if later else known)


WAYS = {"guided": JointDiffusion, "held": Held, "noised": Noised, "free": Free, "last": Last}


def chosen(path: Path, num: int) -> list:
    """Test crystals of few atoms, drawn with a fixed seed, in their primitive cells."""
    from miad.core.crystal import Crystal
    from miad.io.any_format import read_any

    whole = [one for one in read_any(path, "test") if not one.failure]
    order = np.random.default_rng(0).permutation(len(whole))
    small = (Crystal.from_structure(whole[i].crystal_id, whole[i].structure.get_primitive_structure()) for i in order)
    return list(itertools.islice((one for one in small if one.num_atoms <= MOST_ATOMS), num))


def sampled(way: str, crystals: list, options: argparse.Namespace) -> list[list]:
    """Samples of the composition of each crystal."""
    from miad.config.sections import Constraints, Formula, Sample
    from miad.core.crystal import read_crystals
    from miad.model import register
    from miad.model.shipped import located
    from miad.sample import step

    register.PROCESSES["joint_diffusion"] = WAYS[way]
    formulas = tuple(Formula(one.structure.composition.formula.replace(" ", "")) for one in crystals)
    only, num = Constraints(compositions=formulas), options.samples * len(crystals)
    sampler = (options.stride, 1e-5, options.corrected, True, 1.2, 0, None, options.precision, "cpu", only)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.jsonl"
        step.run(Sample(0, num, 1, *sampler), model=located(options.model), crystals=path, shard=0)
        found = read_crystals(path)
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


def distances(crystal, candidates: list) -> list[float]:
    """RMSE of each sample; NaN without a match."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)
    found = [None if one.failure else matcher.get_rms_dist(crystal.structure, one.structure) for one in candidates]
    return [float("nan") if distance is None else distance[0] for distance in found]


def row(crystals: list, groups: list[list], is_new: np.ndarray) -> str:
    """The cells of one way; `is_new` marks the crystals whose composition is not in the training set."""
    from miad.core.statistics import wilson

    table = np.array([distances(one, group) for one, group in zip(crystals, groups, strict=True)])
    is_match = ~np.isnan(table)  # (n_crystals, n_samples)
    each, any_one = is_match.mean(1), is_match.any(1)  # (n_crystals,)
    half = 196 * each.std(ddof=1) / len(each) ** 0.5
    rate = wilson(int(any_one.sum()), len(any_one)).percent()
    rmse = np.nanmin(table[any_one], 1).mean() if any_one.any() else float("nan")
    ones = [(crystal, one) for crystal, group in zip(crystals, groups, strict=True) for one in group]
    broken = sum(bool(one.failure) or one.element_counts != crystal.element_counts for crystal, one in ones)
    close = 100 * np.mean([is_close(one) for _, one in ones if not one.failure])
    new = f"{100 * each[is_new].mean():.1f}, {100 * any_one[is_new].mean():.1f}" if is_new.any() else ""
    return (
        f"{100 * each.mean():.1f} ± {half:.1f} | {rate.value:.1f} [{rate.low:.1f}, {rate.high:.1f}] | {rmse:.3f}"
        f" | {new} | {close:.1f} | {broken}"
    )


def is_close(crystal) -> bool:
    """Whether two atoms, not those of one site, are nearer than 0.5 Å."""
    apart = crystal.structure.distance_matrix + TOO_CLOSE * np.eye(crystal.num_atoms)  # (n_atoms, n_atoms)
    return bool((apart < TOO_CLOSE).any())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mp20-small")
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--crystals", type=int, default=40)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--corrected", type=int, default=50)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    options = parser.parse_args()

    from miad.io.any_format import read_any

    crystals = chosen(options.test, options.crystals)
    known = {one.reduced_formula for one in read_any(options.train, "train") if not one.failure}
    is_new = np.array([one.reduced_formula not in known for one in crystals])  # (n_crystals,)
    print(f"{len(crystals)} crystals, the compositions of {(~is_new).sum()} of them are in the training set\n")
    heads = ["matched, 1, %", f"matched, {options.samples}, %", "RMSE", f"of the {is_new.sum()} new, %", "close, %"]
    print(f"| way | {' | '.join(heads)} | broken | s/sample |\n|{' --- |' * 8}")
    print(f"| random | {row(crystals, random_ones(crystals, options.samples), is_new)} |  |", flush=True)
    for way in options.ways:
        start = time.process_time()
        groups = sampled(way, crystals, options)
        taken = (time.process_time() - start) / (options.samples * len(crystals))
        print(f"| {way} | {row(crystals, groups, is_new)} | {taken:.2f} |", flush=True)


if __name__ == "__main__":
    main()
