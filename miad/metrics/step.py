"""The older metrics of the paper's appendix E (Table 6): validity, coverage and distances of two properties."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np

from miad.config.sections import Metrics
from miad.core.crystal import Crystal
from miad.core.errors import MiadError
from miad.core.json_text import write_json
from miad.core.provenance import versions
from miad.core.statistics import wilson
from miad.core.tabular import Rows, write_csv
from miad.core.unreadable import of_crystals
from miad.io.any_format import name_of, read_any
from miad.metrics.fingerprints import Description, describe_all
from miad.metrics.scaler import Scaler, chosen_scaler
from miad.metrics.validity import SMACT

log = logging.getLogger("miad")

COMMONEST = 3  # reasons that the log names
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
    kept = [(one, other) for one, other in both if one is not None and other is not None]
    structures, compositions = (np.array([pair[axis] for pair in kept]) for axis in range(2))
    features = (compositions.reshape(-1, len(mean)) - mean) / np.where(deviation > 0, deviation, 1.0)
    return structures, np.nan_to_num(features)


def property_distances(
    valid: list[Description], test: list[Description], draw: int, seed: int
) -> dict[str, float | int | None]:
    """Wasserstein distances of density (g/cm³) and number of elements: drawn valid samples against the test split."""
    from scipy.stats import wasserstein_distance

    chosen = np.random.default_rng([seed, draw]).permutation(len(valid))[:draw]
    drawn = [valid[index] for index in chosen]
    real = [one for one in test if one.density is not None]  # not those that cannot be read
    if not drawn or not real:
        return {"drawn": 0, "d_rho": None, "d_elem": None}

    def distance(name: str) -> float:
        return float(wasserstein_distance(*([getattr(one, name) for one in part] for part in (drawn, real))))

    return {"drawn": len(drawn), "d_rho": distance("density"), "d_elem": distance("num_elements")}


def run(
    settings: Metrics,
    *,
    samples: list[Path],
    test: Path,
    metrics: Path,
    crystals: Path | None = None,
    run: str | None = None,
    column: str | None = None,
) -> None:
    """Compute the metrics of appendix E for the samples of one run, or for anybody's crystals.

    Args:
        settings: section metrics of config.yaml.
        samples: crystals as generated, all shards, in any format that `miad evaluate` reads
        test: crystals of the test split, likewise; their descriptions are kept beside the file
        metrics: JSON to write
        crystals: CSV to write, one row per sample; beside the JSON, as {name}.crystals.csv, if left out
        run: its name in the table; the name of the first file, if left out
        column: of tables of samples, the column that holds the crystals, as of `miad evaluate`

    Raises:
        MiadError: an unreadable file, or no samples.
    """
    name = run or name_of(samples[0])
    given: list[Crystal] = [crystal for path in samples for crystal in read_any(path, name, column)]
    if not given:
        raise MiadError(f"{', '.join(map(str, samples))} holds no samples. Sample first.")
    reference = read_any(test, "test")
    of_crystals(test, reference, "are left out").report(settings.dataset.bound.max_share, "Correct the file.")
    real = describe_all(reference, settings.workers, test.with_name(f"{name_of(test)}.metrics.jsonl.gz"))
    scaler, scaler_name = chosen_scaler(settings.scaler, real)
    made = describe_all(given, settings.workers)
    cutoffs = settings.cutoffs or (settings.dataset.name if settings.dataset.name in CUTOFFS else "mp_20")
    record = {
        "run": name,
        "dataset": settings.dataset.name,
        "cutoffs": cutoffs,
        "scaler": scaler_name,
        "self_images": settings.self_images,
        "seed": settings.seed,
        **summary(made, real, scaler, CUTOFFS[cutoffs], settings),
        "versions": {**versions(), "smact": f"{SMACT} (its tables)"},
    }
    lines = rows(given, made, settings.self_images)
    write_csv(crystals or metrics.with_suffix(".crystals.csv"), lines[0], lines)
    write_json(metrics, record)
    for metric, rate in record["rates"].items():
        log.info("%s: %d of %d", metric.replace("_", " "), rate["count"], rate["of"])
    for what, part in (("samples", made), ("test crystals", real)):
        reasons = Counter(one.fault or one.fingerprint_fault for one in part if not one.has_fingerprints)
        for reason, number in reasons.most_common(COMMONEST):
            log.warning("%d of %d %s without fingerprints: %s", number, len(part), what, reason)


def rows(crystals: list[Crystal], described: list[Description], self_images: bool) -> Rows:
    """The table of samples: what is valid, what it was judged by, and the reasons for what is not."""
    return [
        {
            "crystal_id": crystal.crystal_id,
            "source_id": crystal.source_id,
            "formula": None if one.num_elements is None else crystal.reduced_formula,
            "composition_valid": one.is_composition_valid,
            "structure_valid": one.is_structure_valid(self_images=self_images),
            "structure_valid_self_images": one.is_structure_valid(self_images=True),
            "valid": one.is_valid(self_images=self_images),
            "has_fingerprints": one.has_fingerprints,
            "smallest_distance": one.distance,
            "smallest_self_image_distance": one.image_distance,
            "volume": one.volume,
            "density": one.density,
            "num_elements": one.num_elements,
            "composition_reason": one.composition_fault,
            "fingerprint_reason": one.fingerprint_fault,
            "failure": one.fault,
        }
        for crystal, one in zip(crystals, described, strict=True)
    ]


def summary(
    made: list[Description], real: list[Description], scaler: Scaler, cutoffs: tuple[float, float], settings: Metrics
) -> dict:
    """The columns of Table 6, each rate with its count, denominator and 95 % interval in percent."""
    recalled, precise = coverage(made, real, scaler, cutoffs)
    valid = [one for one in made if one.is_valid(self_images=settings.self_images)]
    validity = {
        "structural_validity": sum(one.is_structure_valid(self_images=settings.self_images) for one in made),
        "structural_validity_self_images": sum(one.is_structure_valid(self_images=True) for one in made),
        "compositional_validity": sum(one.is_composition_valid for one in made),
        "validity": len(valid),
    }
    counts = {name: (count, len(made)) for name, count in validity.items()}
    counts |= {"coverage_recall": (recalled, len(real)), "coverage_precision": (precise, len(made))}
    rates = {
        name: {"count": count, "of": total, **vars(wilson(count, total).percent())}
        for name, (count, total) in counts.items()
    }
    draws = {"cdvae": CDVAE_DRAW, "as_paper": len(real)}
    distances = {name: property_distances(valid, real, number, settings.seed) for name, number in draws.items()}
    return {"rates": rates, "distances": distances}
