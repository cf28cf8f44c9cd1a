"""Quantities of one crystal for appendix E: validity, fingerprints of structure and composition, density."""

import logging
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from miad.core.crystal import Crystal, plain
from miad.core.files import read_cache, write_cache
from miad.core.sound import MIN_VOLUME, fault, is_decoded
from miad.machine.cores import num_cores
from miad.machine.parallel import Processes
from miad.sun.matching.reduced import content_key

log = logging.getLogger("miad")

MIN_DISTANCE = 0.5  # Å between any two atoms of a valid structure, periodic images included
CHUNK = 20  # crystals handed to a process at a time


@dataclass(frozen=True)
class Description:
    """Quantities of one crystal for the metrics; the defaults describe a sample that could not be read.

    Attributes:
        is_structure_valid, is_composition_valid: see the functions of these names.
        structure: mean of the CrystalNN fingerprints of the sites, (61,); None if it cannot be had.
        composition: magpie features, (132,), not scaled; None if they cannot be had.
        density: g/cm³.
        num_elements: number of elements.
    """

    is_structure_valid: bool = False
    is_composition_valid: bool = False
    structure: np.ndarray | None = None
    composition: np.ndarray | None = None
    density: float | None = None
    num_elements: int | None = None

    @property
    def is_valid(self) -> bool:
        """Both validities."""
        return self.is_structure_valid and self.is_composition_valid


def structural_validity(crystal: Crystal) -> bool:
    """Whether no two atoms are closer than 0.5 Å and the cell has a volume of at least 0.1 Å³.

    An atom and its own periodic images count as a pair too.
    """
    return fault(crystal, min_volume=MIN_VOLUME, min_distance=MIN_DISTANCE) is None


@cache
def compositional_validity(elements: tuple[str, ...], counts: tuple[int, ...]) -> bool:
    """Whether some oxidation states make a composition neutral with the anions the more electronegative elements.

    One-element crystals and alloys of metals are valid. The oxidation states are those of SMACT's 2014 list, which
    the published figures were computed with.

    Args:
        elements: symbols.
        counts: how many of each, without a common divisor.

    Source: CDVAE, arXiv:2110.06197, with SMACT, Davies et al., J. Open Source Softw. 4, 1361 (2019).
    """
    import smact

    if len(elements) == 1 or all(element in smact.metals for element in elements):
        return True
    known = [smact.Element(element) for element in elements]
    electronegativities = [element.pauling_eneg for element in known if element.pauling_eneg is not None]
    states = [element.oxidation_states_smact14 or [] for element in known]
    if len(electronegativities) < len(known):  # without a value the order cannot be wrong
        return _can_be_neutral(states, counts)
    # The anions are all more electronegative than the cations: those from some value on, and no others.
    for least in {*electronegativities, math.inf}:
        allowed = [
            [state for state in its if (state <= 0 if value >= least else state >= 0)]
            for its, value in zip(states, electronegativities, strict=True)
        ]
        if _can_be_neutral(allowed, counts):
            return True
    return False


def _can_be_neutral(states: list[list[int]], counts: tuple[int, ...]) -> bool:
    """Whether one state of each element can add up to no charge; sums, since of 12 elements there are 10¹⁰ choices."""
    sums = {0}
    for its, number in zip(states, counts, strict=True):
        sums = {total + number * state for total in sums for state in its}
    return 0 in sums


def describe(crystal: Crystal) -> Description:
    """The quantities of one crystal; a fingerprint that fails is None."""
    if not is_decoded(crystal):
        return Description()
    composition = crystal.structure.composition
    reduced = composition.element_composition.get_integer_formula_and_factor()[1]
    amounts = composition.get_el_amt_dict()
    elements = tuple(sorted(amounts))
    counts = tuple(round(amounts[element] / reduced) for element in elements)
    return Description(
        is_structure_valid=structural_validity(crystal),
        is_composition_valid=compositional_validity(elements, counts),
        structure=structure_fingerprint(crystal),
        composition=composition_fingerprint(crystal),
        density=float(crystal.structure.density) if crystal.volume > 0 else None,
        num_elements=len(elements),
    )


@cache
def _featurizers() -> tuple[Any, Any]:
    from matminer.featurizers.composition.composite import ElementProperty
    from matminer.featurizers.site.fingerprint import CrystalNNFingerprint

    return CrystalNNFingerprint.from_preset("ops"), ElementProperty.from_preset("magpie", impute_nan=False)


def structure_fingerprint(crystal: Crystal) -> np.ndarray | None:
    """Mean over sites of the CrystalNN "ops" fingerprint, (61,); None if a site has none."""
    sites, _ = _featurizers()
    structure = crystal.structure
    try:
        found = [sites.featurize(structure, site) for site in range(len(structure))]
    # TypeError: an element without a radius, such as Bk.
    except (ValueError, TypeError, IndexError, RuntimeError, ZeroDivisionError, np.linalg.LinAlgError) as error:
        log.info("%s has no structure fingerprint (%s)", crystal.crystal_id, error)
        return None
    return np.array(found).mean(axis=0)


def composition_fingerprint(crystal: Crystal) -> np.ndarray | None:
    """Magpie features, (132,), NaN where an element has no value; None if the features cannot be had."""
    _, composition = _featurizers()
    try:
        return np.array(composition.featurize(crystal.structure.composition), dtype=float)
    except (ValueError, KeyError, IndexError) as error:
        log.info("%s has no composition fingerprint (%s)", crystal.crystal_id, error)
        return None


def describe_all(crystals: list[Crystal], workers: int | None, cache_path: Path | None = None) -> list[Description]:
    """Descriptions in order, worked out on `workers` cores (None: all), or read from `cache_path` and added to it."""
    known = read_cache(cache_path, _description)
    keys = [content_key(crystal) if is_decoded(crystal) else None for crystal in crystals]
    missing = {key: one for key, one in zip(keys, crystals, strict=True) if key is not None and key not in known}
    ones = list(missing.values())
    batches = [ones[start : start + CHUNK] for start in range(0, len(ones), CHUNK)]
    with Processes(min(workers or num_cores(), 1 + len(ones) // CHUNK)) as processes:
        fresh = [one for part in processes.map(_describe, batches, (), "batches of crystals described") for one in part]
    known.update(zip(missing, fresh, strict=True))
    if cache_path is not None and missing:
        records = {key: {name: plain(value) for name, value in vars(one).items()} for key, one in known.items()}
        write_cache(cache_path, {key: [record] for key, record in records.items()})
    return [Description() if key is None else known[key] for key in keys]


def _describe(crystals: list[Crystal]) -> list[Description]:
    return [describe(crystal) for crystal in crystals]


def _description(record: dict[str, Any]) -> Description:
    """The inverse of a line of the cache."""
    arrays = {name: record[name] for name in ("structure", "composition")}
    # NaN is no JSON: null becomes NaN again
    known = {name: None if values is None else np.array(values, dtype=float) for name, values in arrays.items()}
    return Description(**{**record, **known})
