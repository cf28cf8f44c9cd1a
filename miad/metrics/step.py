"""The older metrics of the paper's appendix E (Table 6): validity, coverage and distances of two properties."""

import json
import logging
from pathlib import Path

import numpy as np

from miad.config.sections import Metrics
from miad.core.crystal import Crystal
from miad.core.errors import MiadError
from miad.core.files import write_text
from miad.core.provenance import versions
from miad.core.statistics import wilson
from miad.io.any_format import name_of, read_any
from miad.metrics.fingerprints import Description, describe_all

log = logging.getLogger("miad")
Scaler = tuple[np.ndarray, np.ndarray]  # mean and deviation of the magpie features, (132,) each

CDVAE_DRAW = 1000  # valid samples that CDVAE compares; the authors of MiAD draw as many as the test split has
# Largest distances of fingerprints that count as covered: structure, composition. Source: CDVAE, arXiv:2110.06197.
CUTOFFS = {"mp_20": (0.4, 10.0), "perov_5": (0.2, 4.0), "carbon_24": (0.2, 4.0)}


def coverage(
    samples: list[Description], test: list[Description], scaler: Scaler, cutoffs: tuple[float, float]
) -> tuple[int, int]:
    """Numbers of recalled test crystals and of precise samples.

    A crystal is covered if its nearest neighbour in structure and its nearest neighbour in composition, which need
    not be the same crystal, are both within their cutoffs (structure, composition). One without fingerprints is not.

    Source: CDVAE, arXiv:2110.06197, appendix; Ganea et al., arXiv:2106.07802.
    """
    from scipy.spatial import cKDTree

    made, real = (_points(part, scaler) for part in (samples, test))
    if not len(made[0]) or not len(real[0]):
        return 0, 0
    covered = []
    for here, there in ((real, made), (made, real)):
        near = np.ones(len(here[0]), dtype=bool)
        for points, others, cutoff in zip(here, there, cutoffs, strict=True):
            distances, _ = cKDTree(others).query(points)
            near &= distances <= cutoff
        covered.append(int(near.sum()))
    return covered[0], covered[1]


def _points(part: list[Description], scaler: Scaler) -> tuple[np.ndarray, np.ndarray]:
    """Structures (n, 61) and scaled features (n, 132) of the crystals that have both; NaN becomes 0, the mean."""
    mean, deviation = scaler
    both = [(one.structure, one.composition) for one in part]
    kept = [(one, other) for one, other in both if one is not None and other is not None and np.isfinite(one).all()]
    structures, compositions = (np.array([pair[axis] for pair in kept]) for axis in range(2))
    features = (compositions.reshape(-1, len(mean)) - mean) / np.where(deviation > 0, deviation, 1.0)
    return structures, np.nan_to_num(features)


def property_distances(
    samples: list[Description], test: list[Description], draw: int, seed: int
) -> dict[str, float | int | None]:
    """Wasserstein distances of density (g/cm³) and number of elements: drawn valid samples against the test split."""
    from scipy.stats import wasserstein_distance

    valid = [one for one in samples if one.is_valid]
    chosen = np.random.default_rng([seed, draw]).permutation(len(valid))[:draw]
    drawn = [valid[index] for index in chosen]
    if not drawn or not test:
        return {"drawn": 0, "d_rho": None, "d_elem": None}

    def distance(name: str) -> float:
        return float(wasserstein_distance(*([getattr(one, name) for one in part] for part in (drawn, test))))

    return {"drawn": len(drawn), "d_rho": distance("density"), "d_elem": distance("num_elements")}


def scaler_of(described: list[Description]) -> Scaler:
    """Mean and deviation of the magpie features of a set of crystals, NaN left out."""
    features = np.array([one.composition for one in described if one.composition is not None])
    return np.nanmean(features, axis=0), np.nanstd(features, axis=0)


def read_scaler(path: Path) -> Scaler:
    """Mean and deviation of the magpie features, from JSON with the keys means and stds; a MiadError if it is not."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        return np.array(record["means"], dtype=float), np.array(record["stds"], dtype=float)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MiadError(
            f"{path} is no scaler ({error!r}); it needs the lists means and stds. Correct metrics.scaler."
        ) from error


def run(
    settings: Metrics,
    *,
    samples: list[Path],
    test: Path,
    metrics: Path,
    run: str | None = None,
    column: str | None = None,
) -> None:
    """Compute the metrics of appendix E for the samples of one run, or for anybody's crystals.

    Args:
        settings: section metrics of config.yaml.
        samples: crystals as generated, all shards, in any format that `miad evaluate` reads
        test: crystals of the test split, likewise; their descriptions are kept beside the file
        metrics: JSON to write
        run: its name in the table; the name of the first file, if left out
        column: of tables of samples, the column that holds the crystals, as of `miad evaluate`

    Raises:
        MiadError: an unreadable file, or no samples.
    """
    name = run or name_of(samples[0])
    given: list[Crystal] = [crystal for path in samples for crystal in read_any(path, name, column)]
    if not given:
        raise MiadError(f"{', '.join(map(str, samples))} holds no samples. Sample first.")
    scaler = read_scaler(Path(settings.scaler)) if settings.scaler else None
    described = test.with_name(f"{name_of(test)}.described.jsonl.gz")
    real = describe_all(read_any(test, "test"), settings.workers, described)
    made = describe_all(given, settings.workers)
    cutoffs = settings.cutoffs or (settings.dataset.name if settings.dataset.name in CUTOFFS else "mp_20")
    record = {
        "run": name,
        "dataset": settings.dataset.name,
        "cutoffs": cutoffs,
        "scaler": settings.scaler or "mean and deviation of the test split",
        "seed": settings.seed,
        **summary(made, real, scaler or scaler_of(real), CUTOFFS[cutoffs], settings.seed),
        "versions": versions(),
    }
    write_text(metrics, json.dumps(record, indent=1) + "\n")
    for metric, rate in record["rates"].items():
        log.info("%s: %d of %d", metric.replace("_", " "), rate["count"], rate["of"])


def summary(
    made: list[Description], real: list[Description], scaler: Scaler, cutoffs: tuple[float, float], seed: int
) -> dict:
    """The columns of Table 6, each rate with its count, denominator and 95 % interval in percent."""
    recalled, precise = coverage(made, real, scaler, cutoffs)
    counts = {
        "structural_validity": (sum(one.is_structure_valid for one in made), len(made)),
        "compositional_validity": (sum(one.is_composition_valid for one in made), len(made)),
        "validity": (sum(one.is_valid for one in made), len(made)),
        "coverage_recall": (recalled, len(real)),
        "coverage_precision": (precise, len(made)),
    }
    rates = {
        name: {"count": count, "of": total, **vars(wilson(count, total).percent())}
        for name, (count, total) in counts.items()
    }
    draws = {"cdvae": CDVAE_DRAW, "as_paper": len(real)}
    return {"rates": rates, "distances": {name: property_distances(made, real, n, seed) for name, n in draws.items()}}
