"""Crystals as pymatgen and OPTIMADE write them in JSON, built from lattice, elements and coordinates alone.

pymatgen's own `from_dict` also decodes the properties of sites, and imports modules that the file names. Nothing else
than numbers and names of elements is taken from a file here.
"""

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from miad.core.errors import MiadError
from miad.io.cif import MAX_CIF, PARTLY, parse_cif, refuse

if TYPE_CHECKING:
    from pymatgen.core import Structure

CRYSTAL_NAMES = ("cif", "structure", "LeMatStructs", "cif_string")  # of columns and keys that hold crystals
MAX_DEPTH = 50  # brackets within brackets of a text; a crystal has five
SPECIES = re.compile(r"([A-Z][a-z]?)([\d.]*[+-]|[+-][\d.]+)?(,.*)?")  # e.g. Fe, Fe3+, Fe+3, Fe2+,spin=5
# In Python's form of a record: a number of NumPy 2, e.g. np.float64(4.1), and one that is none.
NUMPY = re.compile(r"\bnp\.(?:float|int)\d+\(([^()]*)\)")
NAN = re.compile(r"(?<![\w'\".])nan(?![\w'\".])")
NOT_PERIODIC = "it is not periodic in three directions"
# Features of an OPTIMADE structure whose sites are not all that there is, or are not all there at once.
INCOMPLETE = {"disorder", "assemblies", "implicit_atoms", "site_attachments", "unknown_positions"}


def is_structure(record: Mapping[str, Any]) -> bool:
    """Whether a record is itself a crystal, or a molecule: sites of pymatgen, or lattice vectors of OPTIMADE."""
    return "sites" in record or "lattice_vectors" in _attributes(record)


def _attributes(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values of an OPTIMADE entry: under `attributes`, or in a table beside the id."""
    found = record.get("attributes")
    return found if isinstance(found, Mapping) else record


def reader(value: Any) -> Callable[[], "Structure"]:
    """What reads the crystal in a cell of a table or a value of JSON: a record, or CIF, JSON or Python's form of it."""
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        return partial(parse_cif, value)
    if value is None or value != value:  # NaN, as pandas has for an empty cell
        return partial(refuse, "its cell is empty")
    return partial(structure_of, value)


def structure_of(value: Any) -> "Structure":
    """The crystal of a record, or of a text of one.

    Raises:
        MiadError: none, partly occupied, not periodic, or unreadable in any other way; the message is a reason as in
            `miad.io.cif`.
    """
    try:
        record = literal(value) if isinstance(value, str) else value
        if not isinstance(record, Mapping):
            raise MiadError(f"its structure is no record of lattice and sites, but a {type(record).__name__}")
        found = _attributes(record)
        return _of_optimade(found) if "lattice_vectors" in found else _of_pymatgen(record)
    except MiadError:
        raise
    except Exception as error:  # a record may have anything anywhere; it costs this crystal alone
        raise MiadError(f"its structure is unreadable ({type(error).__name__}: {str(error)[:200]})") from error


def literal(text: str) -> Any:
    """The data in a text of JSON, or of Python's literals (CrystalFormer writes these); nothing is evaluated.

    Raises:
        MiadError: too large, too deep, or neither of the two.
    """
    if len(text) > MAX_CIF:
        raise MiadError(f"its text has {len(text):,} characters; more than {MAX_CIF:,} are refused unread")
    depth = 0
    for bracket in re.findall(r"[\[\](){}]", text):
        depth += 1 if bracket in "[({" else -1
        if depth > MAX_DEPTH:
            raise MiadError(f"its text has more than {MAX_DEPTH} brackets within each other")
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(NAN.sub("None", NUMPY.sub(r"\1", text)).strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise MiadError(f"its text is neither CIF nor JSON nor a Python dict ({str(error)[:120]})") from error


def _of_pymatgen(record: Mapping[str, Any]) -> "Structure":
    if "sites" in record and record.get("lattice") is None:
        raise MiadError("it is a molecule, or torn: it has sites but no lattice")
    if not {"lattice", "sites"} <= set(record):
        raise MiadError("it has neither a structure nor lattice and sites")
    from pymatgen.core import Lattice

    given = record["lattice"]
    if isinstance(given, Mapping) and not all(given.get("pbc") or (True,)):
        raise MiadError(NOT_PERIODIC)
    if isinstance(given, Mapping) and given.get("matrix") is None:
        parameters = [float(given[key]) for key in ("a", "b", "c", "alpha", "beta", "gamma")]
        given = Lattice.from_parameters(*parameters).matrix
    lattice = Lattice(given["matrix"] if isinstance(given, Mapping) else given)
    symbols = [_element(site["species"]) for site in record["sites"]]
    coords = [
        site["abc"] if site.get("abc") is not None else lattice.get_fractional_coords(site["xyz"])
        for site in record["sites"]
    ]
    return _build(lattice.matrix, symbols, coords)


def _element(species: Any) -> str:
    """The one element that fills a site, whatever charges and spins its species have."""
    if isinstance(species, str):
        return symbol(species)
    shares: dict[str, float] = {}
    for one in species:
        name, share = symbol(one["element"]), float(one.get("occu", 1))
        shares[name] = shares.get(name, 0.0) + share
    if len(shares) != 1 or abs(sum(shares.values()) - 1) > 1e-6:
        raise MiadError(PARTLY)
    return next(iter(shares))


def symbol(species: Any) -> str:
    """The element of a species, e.g. Fe of Fe3+; deuterium and tritium are H.

    Raises:
        MiadError: it is of no element; a reason.
    """
    from pymatgen.core import Element

    found = SPECIES.fullmatch(species) if isinstance(species, str) else None
    name = {"D": "H", "T": "H"}.get(found[1], found[1]) if found else ""
    if not Element.is_valid_symbol(name):
        raise MiadError(f"it contains {str(species)[:40]}, which is not an element")
    return name


def _of_optimade(record: Mapping[str, Any]) -> "Structure":
    """The crystal of the attributes of an OPTIMADE structure, whose values may be texts in a table.

    Source: OPTIMADE specification 1.2, section "Structures Entries".
    """
    record = {key: literal(value) if _is_text_of_data(value) else value for key, value in record.items()}
    if list(_given(record, "dimension_types", [1, 1, 1])) != [1, 1, 1]:
        raise MiadError(NOT_PERIODIC)
    if odd := INCOMPLETE & set(_given(record, "structure_features", [])):
        raise MiadError(PARTLY if odd & {"disorder", "assemblies"} else f"it has {', '.join(sorted(odd))} (OPTIMADE)")
    elements = {}
    for one in _given(record, "species", []):
        names, shares = one["chemical_symbols"], one.get("concentration")
        if len(names) != 1 or (shares is not None and abs(float(shares[0]) - 1) > 1e-6):
            raise MiadError(PARTLY)
        elements[one["name"]] = symbol(names[0])
    at_sites = record["species_at_sites"]
    symbols = [elements[name] if name in elements else symbol(name) for name in at_sites]
    lattice = np.array([list(row) for row in record["lattice_vectors"]], dtype=float)
    positions = np.array([list(row) for row in record["cartesian_site_positions"]], dtype=float).reshape(-1, 3)
    return _build(lattice, symbols, positions @ np.linalg.inv(lattice))


def _is_text_of_data(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip()[:1] in ("[", "{")


def _given(record: Mapping[str, Any], key: str, default: Any) -> Any:
    return default if record.get(key) is None else record[key]


def _build(lattice: np.ndarray, symbols: Sequence[str], coords: Any) -> "Structure":
    from pymatgen.core import Lattice, Structure

    frac_coords = np.array(coords, dtype=float).reshape(-1, 3)
    if len(frac_coords) != len(symbols):
        raise MiadError(f"it has {len(symbols)} species, but {len(frac_coords)} positions")
    return Structure(Lattice(np.array(lattice, dtype=float)), list(symbols), frac_coords)
