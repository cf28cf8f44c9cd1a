"""What the text of one CIF says: its tags, its cell, the sites that it lists, and its formula; read by gemmi."""

import functools
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np

from miad.core.crystal import KNOWN_ELEMENTS, NUM_SPECIES, PARTLY
from miad.core.errors import MiadError
from miad.io.cif_symmetry import MAX_SYMBOL, Values

MAX_ATOMS = 400  # before reduction; the search for the primitive cell takes seconds there, a minute at 1000
SITE_TOLERANCE = 1e-4  # fractional; what lies closer is one site, as to pymatgen
OCCUPANCY_TOLERANCE = 1e-8  # as to pymatgen
MIN_THICKNESS, MAX_LENGTH = 0.01, 1e6  # Å, of a cell
CELL = (*(f"_cell_length_{one}" for one in "abc"), *(f"_cell_angle_{one}" for one in ("alpha", "beta", "gamma")))

DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d", "-"))
# An element, and the charge or number behind it: Cs1+, O2-, Fe3, and pymatgen's Fe3+,spin=5. A label goes on as it
# likes, but names one element.
TYPE_SYMBOL = re.compile(r"([A-Za-z]+)\d*(?:\.\d+)?[+-]?\d*(?:,spin=-?[\d.]+)?")
LABEL = re.compile(r"([A-Za-z]+)(?:[^A-Za-z,/+][^,/+]*\+?|[+-]\d*)?")
SITE_OF_MINERAL = re.compile(r"([A-Z][a-z]?)[A-GI-Z][A-Za-z]*")  # MgM1, OBo; OH is none
HEAD_WITH_SPACES = re.compile(r"^([ \t]*data_)\S*[ \t]+(?!_|loop_|#)\S.*$", re.IGNORECASE | re.MULTILINE)
PLACE = re.compile(r"^string:(\d+):\d+(\(\d+\))?: ")  # in gemmi's messages: line, column and byte
FORMULA = re.compile(r"(?:[A-Z][a-z]?(?:\d+(?:\.\d*)?|\.\d+)?\s*)+")


def read_values(text: str) -> dict[str, list[str]]:
    """What a text says of each tag, in small letters and with _ for the dot of mmCIF."""
    if not text.isascii():  # CIF is ASCII: what else stands in names and comments says nothing about the crystal
        text = text.translate(DASHES).removeprefix("\ufeff").encode("ascii", errors="replace").decode()
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = HEAD_WITH_SPACES.sub(r"\1x", text)  # a name, which the caller knows; in a text field it says nothing
    try:
        blocks = [_tags(block) for block in gemmi.cif.read_string(text)]
    except (RuntimeError, ValueError) as error:
        problem = PLACE.sub(r"line \1: ", str(error))
        raise MiadError(f"its cif is unreadable ({problem[:200]})") from error
    blocks = [one for one in blocks if any(tag.startswith("_atom_site_") for tag in one)] or blocks[:1]
    if not blocks:
        raise MiadError("its cif holds nothing but comments")
    if len(blocks) > 1:
        raise MiadError(f"its cif holds {len(blocks)} crystals in one text; give each on its own")
    return blocks[0]


def _tags(block: gemmi.cif.Block) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for item in block:
        pair: Any = item.pair
        if pair is not None:
            columns = [(pair[0], [pair[1]])]
        elif (loop := item.loop) is not None:
            content, width = loop.values, loop.width()
            columns = [(tag, content[number::width]) for number, tag in enumerate(loop.tags)]
        else:
            continue
        for tag, column in columns:
            tag = tag.lower().replace(".", "_").replace("h_m", "h-m").rstrip("_")
            if values.setdefault(tag, column) != column:
                raise MiadError(f"its cif gives {tag} twice, with different values")
    return values


def read_numbers(values: Values, tag: str) -> list[float]:
    """The numbers of a tag, without their uncertainties in brackets; NaN for what is none."""
    return [gemmi.cif.as_number(one.strip("'\" ")) for one in values.get(tag, ())]


def read_cell(values: Values) -> list[float]:
    """Lengths (Å) and angles (°) of a cell that can be."""
    for tag in CELL:
        if len(values.get(tag, ())) != 1:
            raise MiadError(f"its cif has no {tag}")
    cell = [read_numbers(values, tag)[0] for tag in CELL]
    for tag, one in zip(CELL, cell, strict=True):
        if not math.isfinite(one):
            raise MiadError(f"its cell or its coordinates are not finite numbers: {tag} is {values[tag][0][:40]}")
    lengths, angles = cell[:3], cell[3:]
    cosines = [math.cos(math.radians(angle)) for angle in angles]
    # Squared volume of a cell of edges 1; below 0 no three edges have these angles.
    squared = 1 - sum(one**2 for one in cosines) + 2 * math.prod(cosines)
    can_be = all(0 < angle < 180 for angle in angles) and squared > 0 and max(lengths) < MAX_LENGTH
    if not can_be or min(lengths) * math.sqrt(squared) < MIN_THICKNESS:
        written = [", ".join(f"{one:g}" for one in part) for part in (lengths, angles)]
        raise MiadError(f"its cell cannot be: edges {written[0]} Å, angles {written[1]}°")
    return cell


@dataclass(frozen=True)
class Sites:
    """The sites that a text lists, without those that it calls empty.

    Attributes:
        numbers: (n_sites,) atomic numbers.
        coords: (n_sites, 3) fractional.
        written: the three coordinates of each as text.
    """

    numbers: np.ndarray
    coords: np.ndarray
    labels: list[str]
    written: list[tuple[str, ...]]

    def tolerance(self, site: int) -> float:
        """How near two images of a site are one: three digits or more are meant for a special position nearby."""
        digits = max(len(one.partition("(")[0].partition(".")[2]) for one in self.written[site])
        return max(SITE_TOLERANCE, 2.1 * 10.0**-digits) if digits >= 3 else SITE_TOLERANCE


def read_sites(values: Values, formula: dict[int, float]) -> Sites:
    """The sites that are not empty.

    Args:
        values: of the tags of the block.
        formula: atoms of each element by `read_formula`, which decides what an unclear label is; may be empty.

    Raises:
        MiadError: no sites or too many, a site without finite coordinates, partly occupied, or of no element.
    """
    columns = [values.get(f"_atom_site_fract_{axis}", []) for axis in "xyz"]
    symbols = [gemmi.cif.as_string(one) for one in values.get("_atom_site_type_symbol", ())]
    labels = [gemmi.cif.as_string(one) for one in values.get("_atom_site_label", ())] or symbols
    if not labels:
        raise MiadError("it has no atoms: its cif lists no sites")
    if len(labels) > MAX_ATOMS:
        raise MiadError(f"its cif lists {len(labels):,} sites; more than {MAX_ATOMS} are refused")
    if {len(column) for column in columns} != {len(labels)} or len(symbols) not in (0, len(labels)):
        raise MiadError("its cif does not give the fractional coordinates of each site (_atom_site_fract_x, _y, _z)")
    coords = np.array([read_numbers(values, f"_atom_site_fract_{axis}") for axis in "xyz"]).T
    written = list(zip(*columns, strict=True))
    for site in np.flatnonzero(~(np.abs(coords) < MAX_LENGTH).all(axis=1)):
        where = f"{labels[site][:20]} is at {' '.join(written[site])[:60]}"
        raise MiadError(f"its cell or its coordinates are not finite numbers: {where}")
    is_there = _is_occupied(values, len(labels))
    numbers = [_element(*one, formula) for one in zip(symbols or [""] * len(labels), labels, strict=True)]
    for third in (1 / 3, 2 / 3):  # 0.3333 is meant so, and symmetry makes one position of it
        coords = np.where(np.abs(coords / third - 1) <= SITE_TOLERANCE, third, coords)
    kept = np.flatnonzero(is_there).tolist()
    return Sites(np.array(numbers)[kept], coords[kept], [labels[one] for one in kept], [written[one] for one in kept])


def _is_occupied(values: Values, num_sites: int) -> list[bool]:
    """Whether there is an atom on each site.

    Raises:
        MiadError: in a part of the cells only.
    """
    if any(gemmi.cif.as_number(one, 0.0) for one in values.get("_atom_site_attached_hydrogens", ())):
        raise MiadError("it has hydrogen atoms whose positions are not given (_atom_site_attached_hydrogens)")
    if any(one not in (".", "?", "0", "1") for one in values.get("_atom_site_disorder_group", ())):
        raise MiadError(PARTLY)
    given = values.get("_atom_site_occupancy") or ["."] * num_sites
    occupancy = [1.0 if one in (".", "?") else gemmi.cif.as_number(one) for one in given]
    if len(occupancy) != num_sites or not all(0 <= one <= 1 + OCCUPANCY_TOLERANCE for one in occupancy):
        raise MiadError("it has occupancies that are no numbers from 0 to 1")
    if any(0 < one < 1 - OCCUPANCY_TOLERANCE for one in occupancy):
        raise MiadError(PARTLY)
    if not any(occupancy):
        raise MiadError("it has no atoms: all its sites are empty")
    flags = values.get("_atom_site_calc_flag", ())
    is_dummy = [one == "dum" for one in flags] if len(flags) == num_sites else [False] * num_sites
    return [one > 0 and not dummy for one, dummy in zip(occupancy, is_dummy, strict=True)]


def _element(symbol: str, label: str, formula: dict[int, float]) -> int:
    """Atomic number of the element on a site, of its type, or else of its label."""
    text = symbol or label
    found = (TYPE_SYMBOL if symbol else LABEL).fullmatch(text) if len(text) <= MAX_SYMBOL else None
    letters = found[1] if found else text[:20]
    number, is_clear = (0, True)
    if found:
        number, is_clear = _atomic_number(letters) if symbol else _of_label(label, letters, formula)
    if number and not is_clear and number not in formula:
        raise MiadError(f"its site {label[:20]} may be one element or two; write {letters.capitalize()} if it is one")
    if not number:
        raise MiadError(f"its site {label[:20]} contains {letters[:20]}, which is not an element")
    if number >= NUM_SPECIES:
        raise MiadError(f"it contains {letters.capitalize()}; {KNOWN_ELEMENTS}")
    return number


def _of_label(label: str, letters: str, formula: dict[int, float]) -> tuple[int, bool]:
    """The same as `_atomic_number` for a label without a type, the letters before its first number.

    Minerals have Mg on the site M1 as MgM1, which the formula confirms, and T1 without an element. Fe0.5Ni0.5 and H2O
    are several.
    """
    number, is_clear = _atomic_number(letters)
    if not number and (site := SITE_OF_MINERAL.fullmatch(letters)):
        number = _atomic_number(site[1])[0]
        return (number if number in formula else 0), True
    parts = set(re.findall(r"[A-Z][a-z]?", label)) if FORMULA.fullmatch(label) else set()
    is_mixed = len(parts) > 1 and all(_atomic_number(part)[0] for part in parts)
    return number, is_clear and letters != "T" and not is_mixed


@functools.lru_cache(maxsize=1000)
def _atomic_number(letters: str) -> tuple[int, bool]:
    """0 for what is no element, and whether it is clear: CO may be cobalt or carbon monoxide."""
    if letters in ("D", "T"):
        return 1, True
    name = letters.capitalize()
    is_clear = letters == name or not all(gemmi.Element(one.upper()).atomic_number for one in letters)
    element = gemmi.Element(name)
    return (element.atomic_number if element.name == name else 0), is_clear


def read_formula(values: Values) -> dict[int, float]:
    """Atoms of each element in `_chemical_formula_sum`; empty if there is none that can be read."""
    text = " ".join(gemmi.cif.as_string(values.get("_chemical_formula_sum", ["?"])[0]).split())
    if len(text) > MAX_SYMBOL or not FORMULA.fullmatch(text):
        return {}
    amounts: dict[int, float] = defaultdict(float)
    for letters, amount in re.findall(r"([A-Z][a-z]?)([\d.]*)", text):
        amounts[_atomic_number(letters)[0]] += float(amount or 1)
    return {} if 0 in amounts or not all(amounts.values()) else dict(amounts)
