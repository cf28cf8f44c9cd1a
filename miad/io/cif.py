"""Reading the text of one CIF that others wrote: by gemmi, into a Structure of pymatgen."""

import functools
import re
from collections import Counter
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from miad.core.crystal import NUM_SPECIES
from miad.core.errors import MiadError
from miad.io.cif_symmetry import Values, settings

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_CIF = 1_000_000  # characters; 20 atoms take 2,000
MAX_ATOMS = 400  # before reduction; the search for the primitive cell takes seconds there, a minute at 1000
MAX_IMAGES = 100_000  # sites times operations, which are compared in some seconds
PARTLY = "it has partly occupied sites; miad works on ordered crystals only"
SITE_TOLERANCE = 1e-4  # fractional; what lies closer is one site, as to pymatgen
MIN_DISTANCE = 0.1  # Å between atoms that symmetry makes of one site; nearer ones are a special position badly rounded
MIN_THICKNESS = 0.01  # Å, of a cell, as to pymatgen

DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d", "-"))
# An element, and the charge or number behind it: Cs1+, O2-, Fe3. A label goes on as it likes, but names one element.
TYPE_SYMBOL = re.compile(r"([A-Za-z]+)\d*(?:\.\d+)?[+-]?\d*")
LABEL = re.compile(r"([A-Za-z]+)(?:[^A-Za-z,/+][^,/+]*|[+-]\d*)?")
FORMULA = re.compile(r"(?:[A-Z][a-z]?(?:\d+\.?\d*|\.\d+)?\s*)+")


def parse_cif(text: str) -> "Structure":
    """The crystal in a CIF text, in the cell that is written there.

    Sites are in the order of the text, sorted by electronegativity, as by pymatgen's parser.

    Raises:
        MiadError: empty, too large, unreadable, ambiguous or contradictory, partly occupied, not finite, or with what
            is no element up to 99; the message is a reason that begins with "its" or "it"; the caller names the crystal.
    """
    if not text.strip():
        raise MiadError("its cif is empty")
    if len(text) > MAX_CIF:
        raise MiadError(f"its cif has {len(text):,} characters; more than {MAX_CIF:,} are refused unread")
    from pymatgen.core import Element, Lattice, Structure

    values = _values(text)
    lengths_and_angles = _cell(values)
    lattice = Lattice.from_parameters(*lengths_and_angles)
    formula = _formula(values)
    numbers, coords, labels, digits = _sites(values, formula)
    kept = []
    possible = settings(values, lattice.matrix @ lattice.matrix.T)
    for operations in possible:
        origins, images = _images(coords, digits, operations)
        if len(possible) == 1 or _has_multiplicities(values, origins):
            kept.append((origins, images))
    units = _numbers(values, "_cell_formula_units_z")[:1]
    fitting = [one for one in kept if _agrees(numbers[one[0]], formula, units)]
    if len(fitting) > 1 or not kept:
        raise MiadError("its space group has several settings; write :1, :2, :H or :R behind it, or list its operations")
    if not fitting:
        named = gemmi.cif.as_string(values["_chemical_formula_sum"][0])
        raise MiadError(f"its formula is {named[:80]!r}, but its sites make {_composition(numbers[kept[0][0]])[:80]!r}")
    origins, images = fitting[0]
    _check_places(origins, images, labels, lattice.matrix)
    elements = [Element.from_Z(int(number)) for number in numbers[origins]]
    order = sorted(range(len(elements)), key=lambda one: _rank(elements[one].symbol))
    return Structure(lattice, [elements[one] for one in order], images[order])


@functools.cache
def _rank(symbol: str) -> tuple[float, str]:
    from pymatgen.core import Element

    electronegativity = Element(symbol).X
    return (electronegativity if electronegativity == electronegativity else np.inf), symbol


def _values(text: str) -> dict[str, list[str]]:
    """What a text says of each tag, in small letters and with _ for the dot of mmCIF."""
    if not text.isascii():  # CIF is ASCII: what else stands in names and comments says nothing about the crystal
        text = text.translate(DASHES).removeprefix("\ufeff").encode("ascii", errors="replace").decode()
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        blocks = [_tags(block) for block in gemmi.cif.read_string(text)]
    except (RuntimeError, ValueError) as error:
        raise MiadError(f"its cif is unreadable ({str(error)[:200]})") from error
    blocks = [one for one in blocks if any(tag.startswith("_atom_site_") for tag in one)] or blocks[:1]
    if len(blocks) != 1:
        raise MiadError(f"its cif holds {len(blocks)} crystals in one text; give each on its own")
    return blocks[0]


def _tags(block: gemmi.cif.Block) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for item in block:
        if item.pair is not None:
            columns = [(item.pair[0], [item.pair[1]])]
        elif item.loop is not None:
            content, width = item.loop.values, item.loop.width()
            columns = [(tag, content[number::width]) for number, tag in enumerate(item.loop.tags)]
        else:
            continue
        for tag, column in columns:
            tag = tag.lower().replace(".", "_").replace("h_m", "h-m").rstrip("_")
            if values.setdefault(tag, column) != column:
                raise MiadError(f"its cif gives {tag} twice, with different values")
    return values


def _numbers(values: Values, tag: str) -> list[float]:
    """The numbers of a tag, without their uncertainties in brackets; NaN for what is none."""
    return [gemmi.cif.as_number(one.strip("'\" ")) for one in values.get(tag, ())]


def _cell(values: Values) -> list[float]:
    """Lengths (Å) and angles (°) of a cell that can be."""
    tags = [*(f"_cell_length_{one}" for one in "abc"), *(f"_cell_angle_{one}" for one in ("alpha", "beta", "gamma"))]
    missing = [tag for tag in tags if len(values.get(tag, ())) != 1]
    if missing:
        raise MiadError(f"its cif has no {missing[0]}")
    cell = [_numbers(values, tag)[0] for tag in tags]
    if not np.isfinite(cell).all():
        wrong = next(tag for tag, one in zip(tags, cell, strict=True) if not np.isfinite(one))
        raise MiadError(f"its cell or its coordinates are not finite numbers ({wrong} is {values[wrong][0][:40]})")
    cosines = np.cos(np.radians(cell[3:]))
    # Squared volume of a cell of edges 1; below 0 no three edges have these angles.
    squared = 1 - (cosines**2).sum() + 2 * cosines.prod()
    is_cell = all(0 < angle < 180 for angle in cell[3:]) and squared > 0 and min(cell[:3]) > 0 and max(cell[:3]) < 1e6
    if not is_cell or min(cell[:3]) * np.sqrt(squared) < MIN_THICKNESS:
        lengths, angles = (", ".join(f"{one:g}" for one in part) for part in (cell[:3], cell[3:]))
        raise MiadError(f"its cell cannot be: edges {lengths} Å, angles {angles}°")
    return cell


def _sites(values: Values, formula: dict[int, float]) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """Atomic number, coordinates (n_sites, 3), label, and tolerance of the coordinates of each listed site."""
    columns = [values.get(f"_atom_site_fract_{axis}", ()) for axis in "xyz"]
    symbols = [gemmi.cif.as_string(one) for one in values.get("_atom_site_type_symbol", ())]
    labels = [gemmi.cif.as_string(one) for one in values.get("_atom_site_label", ())] or symbols
    if not labels:
        raise MiadError("it has no atoms: its cif lists no sites")
    if len(labels) > MAX_ATOMS:
        raise MiadError(f"its cif lists {len(labels):,} sites; more than {MAX_ATOMS} are refused")
    if {len(column) for column in columns} != {len(labels)} or len(symbols) not in (0, len(labels)):
        raise MiadError("its cif does not give the fractional coordinates of each site (_atom_site_fract_x, _y, _z)")
    coords = np.array([_numbers(values, f"_atom_site_fract_{axis}") for axis in "xyz"]).T
    for label, row, where in zip(labels, zip(*columns, strict=True), coords, strict=True):
        if not np.isfinite(where).all():
            raise MiadError(f"its coordinates are not finite numbers: {label[:20]} is at {' '.join(row)[:60]}")
    is_there = _is_occupied(values, len(labels))
    found = [_element(symbol, label, formula) for symbol, label in zip(symbols or [""] * len(labels), labels, strict=True)]
    for third in (1 / 3, 2 / 3):  # 0.3333 is meant so, and symmetry makes one position of it
        coords = np.where(np.abs(coords / third - 1) <= SITE_TOLERANCE, third, coords)
    digits = np.array([max(len(one.partition("(")[0].partition(".")[2]) for one in row) for row in zip(*columns, strict=True)])
    # A position of three digits or more is a special one if it is nearly one.
    tolerances = np.where(digits >= 3, np.maximum(SITE_TOLERANCE, 2.1 * 10.0**-digits), SITE_TOLERANCE)
    labels = [label for label, one in zip(labels, is_there, strict=True) if one]
    return np.array(found)[is_there], coords[is_there], labels, tolerances[is_there]


def _is_occupied(values: Values, num_sites: int) -> np.ndarray:
    """Whether there is an atom on each site.

    Raises:
        MiadError: in a part of the cells only.
    """
    given = values.get("_atom_site_occupancy") or ["."] * num_sites
    occupancy = np.array([1.0 if one in (".", "?") else gemmi.cif.as_number(one) for one in given])
    if any(one not in (".", "?", "0", "1") for one in values.get("_atom_site_disorder_group", ())):
        raise MiadError(PARTLY)
    if any(gemmi.cif.as_number(one, 0.0) for one in values.get("_atom_site_attached_hydrogens", ())):
        raise MiadError("it has hydrogen atoms whose positions are not given (_atom_site_attached_hydrogens)")
    if np.isnan(occupancy).any() or (occupancy < 0).any() or (occupancy > 1 + 1e-8).any():
        raise MiadError("it has occupancies that are no numbers from 0 to 1")
    if ((occupancy > 0) & (occupancy < 1 - 1e-8)).any():
        raise MiadError(PARTLY)
    if not occupancy.any():
        raise MiadError("it has no atoms: all its sites are empty")
    return occupancy > 0


def _element(symbol: str, label: str, formula: dict[int, float]) -> int:
    """Atomic number of the element on a site, of its type, or else of its label."""
    found = TYPE_SYMBOL.fullmatch(symbol) if symbol else LABEL.fullmatch(label)
    number, is_clear = _atomic_number(found[1]) if found else (0, True)
    if number and not is_clear and number not in formula:
        raise MiadError(f"its site {label[:20]} may be one element or two; write {found[1].capitalize()} if it is one")
    if not number:
        raise MiadError(f"its site {label[:20]} contains {found[1] if found else symbol or label}, which is not an element")
    if number >= NUM_SPECIES:
        raise MiadError(f"it contains {found[1].capitalize()}; miad knows the elements 1 to {NUM_SPECIES - 1}")
    return number


@functools.lru_cache(maxsize=1000)
def _atomic_number(letters: str) -> tuple[int, bool]:
    """0 for what is no element, and whether it is clear: CO may be cobalt or carbon monoxide."""
    if letters in ("D", "T"):
        return 1, True
    name = letters.capitalize()
    is_clear = letters == name or not all(gemmi.Element(one.upper()).atomic_number for one in letters)
    element = gemmi.Element(name)
    return (element.atomic_number if element.name == name else 0), is_clear


def _images(coords: np.ndarray, tolerances: np.ndarray, operations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The site that each atom of the cell is an image of, and the coordinates (n_atoms, 3) of the atoms."""
    if len(operations) == 1:
        return np.arange(len(coords)), coords - np.floor(coords)
    what = f"its cif lists {len(coords)} sites and {len(operations)} symmetry operations, which make"
    too_many = MiadError(f"{what} more than {MAX_ATOMS} atoms; they are refused")
    if len(coords) * len(operations) > MAX_IMAGES:
        raise too_many
    origins: list[int] = []
    found = np.empty((0, 3))
    for site, (where, tolerance) in enumerate(zip(coords, tolerances, strict=True)):
        images = operations[:, :3, :3] @ where + operations[:, :3, 3]
        images -= np.floor(images)
        _, first = np.unique(np.round(images, 7) % 1, axis=0, return_index=True)
        own = np.empty((0, 3))
        for image in images[np.sort(first)]:
            distances = own - image
            if not (np.abs(distances - np.round(distances)) < tolerance).all(axis=1).any():
                own = np.vstack([own, image])
            if len(found) + len(own) > MAX_ATOMS:
                raise too_many
        found = np.vstack([found, own])
        origins += [site] * len(own)
    return np.array(origins), found


def _check_places(origins: np.ndarray, images: np.ndarray, labels: list[str], lattice: np.ndarray) -> None:
    """Refuse two sites on one place, and atoms that only a badly rounded coordinate keeps apart."""
    distances = images[:, None] - images[None]
    distances -= np.round(distances)
    is_same = (np.abs(distances) < SITE_TOLERANCE).all(axis=2)
    is_same |= (origins[:, None] == origins[None]) & (((distances @ lattice) ** 2).sum(axis=2) < MIN_DISTANCE**2)
    np.fill_diagonal(is_same, False)
    if not is_same.any():
        return
    one, other = (origins[number] for number in np.argwhere(is_same)[0])
    if one == other:
        raise MiadError(
            f"its site {labels[one][:20]} is a special position written with too few digits: symmetry makes atoms"
            f" of it that are less than {MIN_DISTANCE} Å apart"
        )
    raise MiadError(f"its sites {labels[one][:20]} and {labels[other][:20]} lie on one place")


def _has_multiplicities(values: Values, origins: np.ndarray) -> bool:
    """Whether sites have as many images as the text says, if it does."""
    column = _numbers(values, "_atom_site_symmetry_multiplicity") or _numbers(values, "_atom_site_site_symmetry_multiplicity")
    counts = np.bincount(origins)
    return len(column) != len(counts) or all(one in (count, np.nan) for one, count in zip(column, counts, strict=True))


def _formula(values: Values) -> dict[int, float]:
    """Atoms of each element in `_chemical_formula_sum`; empty if there is none that can be read."""
    text = " ".join(gemmi.cif.as_string(values.get("_chemical_formula_sum", ["?"])[0]).split())
    if not FORMULA.fullmatch(text):
        return {}
    amounts: Counter[int] = Counter()
    for letters, amount in re.findall(r"([A-Z][a-z]?)([\d.]*)", text):
        amounts[_atomic_number(letters)[0]] += float(amount or 1)
    return {} if 0 in amounts or not all(amounts.values()) else dict(amounts)


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


def check_structure(structure: "Structure") -> None:
    """Refuse a structure that is no crystal of the elements that miad knows.

    Raises:
        MiadError: no atoms, partly occupied, not finite, or with what is no element up to 99; a reason as above.
    """
    from pymatgen.core import DummySpecies

    if not len(structure):
        raise MiadError("it has no atoms")
    if not structure.is_ordered:
        raise MiadError(PARTLY)
    if not (np.isfinite(structure.lattice.matrix).all() and np.isfinite(structure.frac_coords).all()):
        raise MiadError("its cell or its coordinates are not finite numbers")
    dummies = sorted({site.specie.symbol for site in structure if isinstance(site.specie, DummySpecies)})
    if dummies:
        raise MiadError(f"it contains {', '.join(dummies)}, which is not an element")
    heavy = sorted({site.specie.symbol for site in structure if site.specie.Z >= NUM_SPECIES})
    if heavy:
        raise MiadError(f"it contains {', '.join(heavy)}; miad knows the elements 1 to {NUM_SPECIES - 1}")
