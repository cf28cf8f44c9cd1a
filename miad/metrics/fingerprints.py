"""Quantities of one crystal for appendix E: distances, validity, fingerprints of structure and composition, density."""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from miad.core.cells import closest_distances
from miad.core.crystal import Crystal, plain, shortened
from miad.core.json_text import read_cache, write_cache
from miad.core.provenance import versions
from miad.core.sound import MIN_VOLUME, fault, foreign_elements, is_decoded, is_finite
from miad.machine.pool import Lost, in_order
from miad.machine.progress import track
from miad.metrics.validity import composition_fault
from miad.sun.matching.reduced import content_key

MIN_DISTANCE = 0.5  # Å between any two atoms of a valid structure
CHUNK = 20  # crystals that are described sooner than a process has started
WITH_RADII = range(1, 97)  # H to Cm: elements of which pymatgen knows a radius, which CrystalNN needs


@dataclass(frozen=True)
class Description:
    """Quantities of one crystal for the metrics; None if it has no such quantity.

    Attributes:
        fault: reason why there is no crystal, or no cell with atoms in it.
        composition_fault: reason why the composition is not valid.
        fingerprint_fault: reason why it has not both fingerprints.
        volume: Å³ per cell.
        distance: Å, shortest between two different atoms; None for a lone atom.
        image_distance: Å, shortest from an atom to its own periodic images.
        structure: mean of the CrystalNN fingerprints of the sites, (61,).
        composition: magpie features, (132,), not scaled; NaN where an element has no value.
        density: g/cm³.
        num_elements: number of elements.
    """

    fault: str | None = None
    composition_fault: str | None = None
    fingerprint_fault: str | None = None
    volume: float | None = None
    distance: float | None = None
    image_distance: float | None = None
    structure: np.ndarray | None = None
    composition: np.ndarray | None = None
    density: float | None = None
    num_elements: int | None = None

    @property
    def is_composition_valid(self) -> bool:
        """Whether SMACT finds oxidation states for the composition; see `composition_fault`."""
        return self.num_elements is not None and self.composition_fault is None

    @property
    def has_fingerprints(self) -> bool:
        """Whether it can be covered at all: both fingerprints are there."""
        return self.structure is not None and self.composition is not None

    def is_structure_valid(self, *, self_images: bool) -> bool:
        """Whether atoms are at least 0.5 Å apart in a cell of at least 0.1 Å³.

        Args:
            self_images: whether an atom and its own periodic images are a pair too. The scripts of CDVAE and DiffCSP,
                and so the published figures, leave them out.
        """
        if self.fault is not None or self.image_distance is None:
            return False
        apart = math.inf if self.distance is None else self.distance
        return (min(apart, self.image_distance) if self_images else apart) >= MIN_DISTANCE

    def is_valid(self, *, self_images: bool) -> bool:
        """Both validities; without fingerprints a crystal is invalid, as in CDVAE's script."""
        return self.is_composition_valid and self.is_structure_valid(self_images=self_images) and self.has_fingerprints


def describe(crystal: Crystal) -> Description:
    """The quantities of one crystal, and the reasons for those that it has not."""
    if not is_decoded(crystal) or foreign_elements(crystal):
        return Description(fault=str(crystal.failure or fault(crystal)))
    elements, counts = reduced_counts(crystal)
    known: dict[str, Any] = {
        "composition_fault": composition_fault(elements, counts),
        "num_elements": len(elements),
        "volume": crystal.volume if is_finite(crystal) else None,
    }
    if wrong := fault(crystal, min_volume=MIN_VOLUME):
        return Description(fault=wrong, fingerprint_fault=wrong, **known)
    distance, image_distance = closest_distances(crystal.lattice, crystal.frac_coords)
    composition, no_features = _tried(composition_fingerprint, crystal)
    structure, no_sites = _tried(structure_fingerprint, crystal)
    return Description(
        **known,
        fingerprint_fault=no_sites or no_features,
        distance=distance if math.isfinite(distance) else None,
        image_distance=image_distance,
        structure=structure,
        composition=composition,
        density=float(crystal.structure.density),
    )


def reduced_counts(crystal: Crystal) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Elements in the order of atomic numbers, and how many of each the reduced formula has."""
    amounts = crystal.element_counts
    divisor = math.gcd(*amounts.values())
    return tuple(amounts), tuple(number // divisor for number in amounts.values())


def _tried(fingerprint: Any, crystal: Crystal) -> tuple[np.ndarray | None, str | None]:
    """A fingerprint, or the reason why there is none.

    Any error of a featurizer is the crystal's: one odd crystal of 10,000 does not cost the metrics of the others.
    """
    try:
        return fingerprint(crystal), None
    except Exception as error:
        if heavy := foreign_elements(crystal, WITH_RADII):
            return None, f"CrystalNN knows no radius of {', '.join(heavy)}"
        return None, shortened(f"{fingerprint.__name__.replace('_', ' ')}: {type(error).__name__}: {error}")


@cache
def _featurizers() -> tuple[Any, Any]:
    from matminer.featurizers.composition.composite import ElementProperty
    from matminer.featurizers.site.fingerprint import CrystalNNFingerprint

    return CrystalNNFingerprint.from_preset("ops"), ElementProperty.from_preset("magpie", impute_nan=False)


def structure_fingerprint(crystal: Crystal) -> np.ndarray:
    """Mean over sites of the CrystalNN "ops" fingerprint, (61,).

    Raises:
        Exception: a site has none, by whatever error of matminer or pymatgen.
    """
    sites, _ = _featurizers()
    structure = crystal.structure
    mean = np.array([sites.featurize(structure, site) for site in range(len(structure))]).mean(axis=0)
    if not np.isfinite(mean).all():
        raise ValueError("a site has no finite fingerprint")
    return mean


def composition_fingerprint(crystal: Crystal) -> np.ndarray:
    """Magpie features, (132,), NaN where an element has no value.

    Raises:
        Exception: there are none, by whatever error of matminer.
    """
    _, composition = _featurizers()
    return np.array(composition.featurize(crystal.structure.composition), dtype=float)


def describe_all(crystals: list[Crystal], workers: int | None, cache_path: Path | None = None) -> list[Description]:
    """Descriptions in order, worked out on `workers` cores (None: all), or read from `cache_path` and added to it."""
    known = read_cache(cache_path, _description)
    keys = [_key(crystal) if is_decoded(crystal) else None for crystal in crystals]
    missing = {key: one for key, one in zip(keys, crystals, strict=True) if key is not None and key not in known}
    ones = list(missing.values())
    results = in_order(describe, ones, chunk=CHUNK, workers=workers)
    fresh = dict(zip(missing, track(results, what="crystals described", total=len(ones)), strict=True))
    lost = {key: Description(fault=shortened(one.reason)) for key, one in fresh.items() if isinstance(one, Lost)}
    known.update((key, one) for key, one in fresh.items() if key not in lost)
    if cache_path is not None and missing:
        records = {key: {name: plain(value) for name, value in vars(one).items()} for key, one in known.items()}
        write_cache(cache_path, {key: [record] for key, record in records.items()})
    known |= lost  # not kept on disk: a process may also die by itself
    return [describe(crystal) if key is None else known[key] for key, crystal in zip(keys, crystals, strict=True)]


def _key(crystal: Crystal) -> str:
    """Key of a description: of the crystal, of pymatgen's version (both in `content_key`) and of matminer's."""
    return f"{content_key(crystal)}-{versions()['matminer']}"


def _description(record: dict[str, Any]) -> Description:
    """The inverse of a line of the cache."""
    arrays = {name: record[name] for name in ("structure", "composition")}
    # NaN is no JSON: null becomes NaN again
    known = {name: None if values is None else np.array(values, dtype=float) for name, values in arrays.items()}
    return Description(**{**record, **known})
