"""Structure prediction by sample.constraints.compositions: match rate and RMSE of several ways, and of random ones.

    python benchmarks/csp.py --model mp20-small --test test.csv.gz --train train.csv.gz --stride 10 --corrected 20

Of the test crystals of at most 8 atoms some are drawn; composition and number of formula units are given, and the
samples are compared with the crystal by StructureMatcher (stol 0.5, angle_tol 10, ltol 0.3, as in DiffCSP). "Matched,
1" is the mean over all samples, "matched, n" the share of crystals that one of their n samples matches. RMSE is that
of the best match of each crystal, normalised as get_rms_dist does. Random structures have the composition and the
volume of the crystal, uniform positions, and the shape of the cell of another one. "Close" are samples with atoms
nearer than 0.5 Å, "broken" those that failed or have another composition. Prints a Markdown table, and then, if *free*
is among the ways, how much the others match more than it, crystal by crystal.
"""

import argparse
import itertools
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

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
        unguided = replace(restriction, guidance=0.0)
        return super().step(network, state, now, later, noise, denoise_last, max_length, unguided)


class Last(JointDiffusion):
    """Species generated, of the composition only, which the last step alone counts."""

    def step(self, network, state, now, later, noise, denoise_last=False, max_length=None, restriction=None):
        """See `Process.step`."""

        def only_allowed(*inputs):
            epsilon, score, logits = network(*inputs)
            return epsilon, score, restricted.restrict(logits, restriction.allowed)

        if later == 0:
            return super().step(network, state, now, later, noise, denoise_last, max_length, restriction)
        return super().step(only_allowed, state, now, later, noise, denoise_last, max_length)


class Noised(JointDiffusion):
    """Species noised anew at each time, of what they are in the end."""

    power = 1.0  # of ᾱ_t in the noise

    def step(self, network, state, now, later, noise, denoise_last=False, max_length=None, restriction=None):
        """See `Process.step`."""
        known, width = restriction.species, state.species.shape[1]
        if now == self.num_timesteps:
            state = replace(state, species=noise.classes(width))
        found = super().step(network, state, now, later, noise, denoise_last, max_length)
        keep = self.species_alpha_bar[later] ** self.power
        kinds = species.add_noise(known, keep, noise.uniform(width), noise.classes(width))
        return replace(found, species=kinds if later else known)


class Half(Noised):
    """Species noised anew at each time, but less."""

    power = 0.5


@dataclass(frozen=True)
class Way:
    """One way to predict structures; the default is the package's.

    Attributes:
        process: the steps; those of `Held` and `Noised` need species that are known, and so a guidance.
        guidance: of the constraints.
    """

    process: type[JointDiffusion] = JointDiffusion
    guidance: float = 1.0


FREE = "free"  # of which the others are told apart
WAYS = {
    FREE: Way(guidance=0.0),
    "last": Way(Last, guidance=0.0),
    "noised": Way(Noised),
    "half": Way(Half),
    "held": Way(Held),
    "guided": Way(),
}


def chosen(path: Path, num: int) -> list:
    """Test crystals of few atoms, drawn with a fixed seed, in their primitive cells."""
    from miad.core.crystal import Crystal
    from miad.io.any_format import read_any

    whole = [one for one in read_any(path, "test") if not one.failure]
    order = np.random.default_rng(0).permutation(len(whole))
    small = (Crystal.from_structure(whole[i].crystal_id, whole[i].structure.get_primitive_structure()) for i in order)
    return list(itertools.islice((one for one in small if one.num_atoms <= MOST_ATOMS), num))


def sampled(way: Way, crystals: list, options: argparse.Namespace) -> list[list]:
    """Samples of the composition of each crystal."""
    from miad.config.sections import Constraints, Formula, Sample
    from miad.core.crystal import read_crystals
    from miad.model import register
    from miad.model.shipped import located
    from miad.sample import step

    formulas = tuple(Formula(one.structure.composition.formula.replace(" ", "")) for one in crystals)
    settings = Sample(
        seed=0,
        num_crystals=options.samples * len(crystals),
        num_shards=1,
        stride=options.stride,
        corrector_scale=1e-5,
        corrector_steps=options.corrected,
        denoise_last=True,
        limit_lattice=1.2,
        record=0,
        epoch=None,
        precision=options.precision,
        device="cpu",
        constraints=Constraints(compositions=formulas, guidance=way.guidance),
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(register.PROCESSES, {"joint_diffusion": way.process}),
    ):
        path = Path(folder) / "samples.jsonl"
        step.run(settings, model=located(options.model), crystals=path, shard=0)
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


def compared(crystals: list, groups: list[list]) -> np.ndarray:
    """RMSE of the samples of each crystal, (n_crystals, n_samples); NaN without a match."""
    return np.array([distances(one, group) for one, group in zip(crystals, groups, strict=True)])


def row(crystals: list, groups: list[list], rmse: np.ndarray, is_new: np.ndarray) -> str:
    """The cells of one way; `is_new` marks the crystals whose composition is not in the training set."""
    from miad.core.statistics import wilson

    is_match = ~np.isnan(rmse)  # (n_crystals, n_samples)
    each, any_one = is_match.mean(1), is_match.any(1)  # (n_crystals,)
    rate = wilson(int(any_one.sum()), len(any_one)).percent()
    best = np.nanmin(rmse[any_one], 1).mean() if any_one.any() else float("nan")
    ones = [(crystal, one) for crystal, group in zip(crystals, groups, strict=True) for one in group]
    broken = sum(bool(one.failure) or one.element_counts != crystal.element_counts for crystal, one in ones)
    close = 100 * np.mean([is_close(one) for _, one in ones if not one.failure])
    new = f"{100 * each[is_new].mean():.1f}, {100 * any_one[is_new].mean():.1f}" if is_new.any() else ""
    return (
        f"{of_mean(each)} | {rate.value:.1f} [{rate.low:.1f}, {rate.high:.1f}] | {best:.3f}"
        f" | {new} | {close:.1f} | {broken}"
    )


def of_mean(values: np.ndarray, form: str = ".1f") -> str:
    """Mean over crystals in percent, and half its interval of 95 % by the normal distribution."""
    half = 196 * values.std(ddof=1) / len(values) ** 0.5
    return f"{100 * values.mean():{form}} ± {half:.1f}"


def differences(tables: dict[str, np.ndarray]) -> list[str]:
    """Rows of how much more of its samples each way matches than *free*, from {way: RMSE}; none without *free*.

    The interval is that of the differences of single crystals, which vary less than the crystals do.
    """
    each = {way: (~np.isnan(rmse)).mean(1) for way, rmse in tables.items()}  # (n_crystals,)
    if FREE not in each:
        return []
    return [f"| {way} | {of_mean(own - each[FREE], '+.1f')} |" for way, own in each.items() if way != FREE]


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
    others = random_ones(crystals, options.samples)
    print(f"| random | {row(crystals, others, compared(crystals, others), is_new)} |  |", flush=True)
    tables = {}
    for way in options.ways:
        start = time.process_time()
        groups = sampled(WAYS[way], crystals, options)
        taken = (time.process_time() - start) / (options.samples * len(crystals))
        tables[way] = compared(crystals, groups)
        print(f"| {way} | {row(crystals, groups, tables[way], is_new)} | {taken:.2f} |", flush=True)
    if rows := differences(tables):
        print("\n".join([f"\n| way | matched, 1, minus that of {FREE}, points |", "| --- | --- |", *rows]))


if __name__ == "__main__":
    main()
