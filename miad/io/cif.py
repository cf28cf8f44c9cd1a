"""Reading the text of one CIF that others wrote: by gemmi, into a Structure of pymatgen."""

import functools
import math
import warnings
from collections import Counter
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from miad.core.errors import MiadError
from miad.io.cif_block import (
    MAX_ATOMS,
    SITE_TOLERANCE,
    Sites,
    read_cell,
    read_formula,
    read_numbers,
    read_sites,
    read_values,
)
from miad.io.cif_symmetry import Values, settings

if TYPE_CHECKING:
    from pymatgen.core import Composition, Structure

MAX_CIF = 1_000_000  # characters; 20 atoms take 2,000
MAX_IMAGES = 100_000  # sites times operations, which are compared in some seconds
MIN_DISTANCE = 0.1  # Å between atoms that symmetry makes of one site; nearer ones are a special position badly rounded


def parse_cif(text: str) -> "Structure":
    """The crystal in a CIF text, in the cell that is written there.

    Sites are in the order of the text, sorted by electronegativity, as by pymatgen's parser.

    Raises:
        MiadError: empty, too large, unreadable, ambiguous or contradictory, partly occupied, not finite, or with what
            is no element up to 99; the message is a reason that begins with "its" or "it"; the caller names the
            crystal.
    """
    if not text.strip():
        raise MiadError("its cif is empty")
    if len(text) > MAX_CIF:
        raise MiadError(too_large(text))
    from pymatgen.core import Lattice, Structure

    values = read_values(text)
    lattice = Lattice.from_parameters(*read_cell(values))
    formula = read_formula(values)
    sites = read_sites(values, formula)
    possible = settings(values, lattice.matrix @ lattice.matrix.T)
    found = [_images(sites, operations) for operations in possible]
    if len(found) > 1:
        found = [one for one in found if _has_multiplicities(values, one[0])]
    units = read_numbers(values, "_cell_formula_units_z")[:1]
    fitting = [one for one in found if _agrees(sites.numbers[one[0]], formula, units)]
    if len(fitting) > 1 or not found:
        raise MiadError(
            "its space group has several settings; write :1, :2, :H or :R behind it, or list its operations"
        )
    if not fitting:
        named = gemmi.cif.as_string(values["_chemical_formula_sum"][0])
        made = _composition(sites.numbers[found[0][0]])
        raise MiadError(f"its formula is {named[:80]!r}, but its sites make {made[:80]!r}")
    origins, images = fitting[0]
    _check_places(sites, origins, images, lattice.matrix)
    species = [_species(number) for number in sites.numbers[origins].tolist()]
    order = sorted(range(len(species)), key=lambda one: species[one][0])
    return Structure(lattice, [species[one][1] for one in order], images[order])


def too_large(text: str) -> str:
    """The reason why a text of more than MAX_CIF characters is refused."""
    return f"its cif has {len(text):,} characters; more than {MAX_CIF:,} are refused unread"


def refuse(reason: str) -> "Structure":
    """Take the place of what reads a crystal that cannot be read."""
    raise MiadError(reason)


@functools.cache
def _species(number: int) -> tuple[tuple[float, str], "Composition"]:
    """What sorts the atoms of an element among others, and its Composition, which is slow to make."""
    from pymatgen.core import Composition, Element

    element = Element.from_Z(number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # helium has no electronegativity
        electronegativity = element.X
    return (np.inf if math.isnan(electronegativity) else electronegativity, element.symbol), Composition({element: 1})


def _images(sites: Sites, operations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The site that each atom of the cell is an image of, and the coordinates (n_atoms, 3) of the atoms."""
    num_sites = len(sites.coords)
    if len(operations) == 1:
        return np.arange(num_sites), sites.coords - np.floor(sites.coords)
    what = f"its cif lists {num_sites} sites and {len(operations)} symmetry operations, which make"
    too_many = MiadError(f"{what} more than {MAX_ATOMS} atoms; they are refused")
    if num_sites * len(operations) > MAX_IMAGES:
        raise too_many
    origins: list[int] = []
    found = np.empty((0, 3))
    for site in range(num_sites):
        images = operations[:, :3, :3] @ sites.coords[site] + operations[:, :3, 3]
        images -= np.floor(images)
        _, first = np.unique(np.round(images, 7) % 1, axis=0, return_index=True)
        own, tolerance = np.empty((0, 3)), sites.tolerance(site)
        for image in images[np.sort(first)]:
            distances = own - image
            if not (np.abs(distances - np.round(distances)) < tolerance).all(axis=1).any():
                own = np.vstack([own, image])
            if len(found) + len(own) > MAX_ATOMS:
                raise too_many
        found = np.vstack([found, own])
        origins += [site] * len(own)
    return np.array(origins), found


def _check_places(sites: Sites, origins: np.ndarray, images: np.ndarray, lattice: np.ndarray) -> None:
    """Refuse two sites on one place, and atoms that only a badly rounded coordinate keeps apart."""
    distances = images[:, None] - images[None]
    distances -= np.round(distances)
    is_same = (np.abs(distances) < SITE_TOLERANCE).all(axis=2)
    if len(images) > len(sites.labels):  # by symmetry
        is_near = ((distances @ lattice) ** 2).sum(axis=2) < MIN_DISTANCE**2
        is_same |= (origins[:, None] == origins[None]) & is_near
    if np.count_nonzero(is_same) == len(images):
        return
    np.fill_diagonal(is_same, False)
    one, other = (origins[number] for number in np.argwhere(is_same)[0])
    names = sites.labels[one][:20], sites.labels[other][:20]
    if one == other:
        raise MiadError(
            f"its site {names[0]} is a special position written with too few digits: symmetry makes atoms of it that"
            f" are less than {MIN_DISTANCE} Å apart"
        )
    raise MiadError(f"its sites {names[0]} and {names[1]} lie on one place")


def _has_multiplicities(values: Values, origins: np.ndarray) -> bool:
    """Whether sites have as many images as the text says, if it does."""
    given = read_numbers(values, "_atom_site_symmetry_multiplicity")
    given = given or read_numbers(values, "_atom_site_site_symmetry_multiplicity")
    counts = np.bincount(origins)
    return len(given) != len(counts) or all(
        math.isnan(one) or one == count for one, count in zip(given, counts, strict=True)
    )


def _agrees(numbers: np.ndarray, formula: dict[int, float], units: list[float]) -> bool:
    """Whether the atoms of a cell are those of a formula: of the unit of which there are Z, or of the whole cell."""
    counts = Counter(numbers.tolist())
    if not formula:
        return True
    if formula.keys() != counts.keys():
        return False
    ratios = np.array([counts[one] / formula[one] for one in formula])
    is_whole = all(one.is_integer() for one in formula.values())
    if np.ptp(ratios) > (1e-9 if is_whole else 0.01) * ratios.max():
        return False
    wanted = [1.0, *units] if units and units[0] > 0 else [max(1.0, round(ratios[0]))]
    return any(abs(ratios[0] - one) <= 0.01 * one for one in wanted)


def _composition(numbers: np.ndarray) -> str:
    counts = Counter(numbers.tolist())
    return " ".join(f"{gemmi.Element(one).name}{count}" for one, count in counts.items())
