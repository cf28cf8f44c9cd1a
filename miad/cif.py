"""Reading the text of a CIF that others wrote."""

import warnings
from typing import TYPE_CHECKING

import numpy as np

from miad.crystal import NUM_SPECIES
from miad.errors import MiadError

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_CIF = 1_000_000  # characters; 20 atoms take 2,000
MAX_ATOMS = 400  # before reduction; the search for the primitive cell takes seconds there, a minute at 1000


def parse_cif(text: str) -> "Structure":
    """The crystal in a CIF text, in the cell that is written there.

    Raises:
        MiadError: empty, too large, unreadable, partly occupied, not finite, or with what is no element up to 99; the
            message is a reason that begins with "its" or "it": the caller knows whose.
    """
    from pymatgen.core import DummySpecies
    from pymatgen.io.cif import CifParser

    if not text.strip():
        raise MiadError("its cif is empty")
    if len(text) > MAX_CIF:
        raise MiadError(f"its cif has {len(text):,} characters; more than {MAX_CIF:,} are refused unread")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one per rounded coordinate; what matters is an error
            # check_cif compares with the formula only to warn, and takes a third of the time.
            structure = CifParser.from_str(text, check_cif=False).parse_structures(primitive=False)[0]
    except Exception as error:  # the parser raises whatever a broken text makes it trip over
        raise MiadError(f"its cif is unreadable ({type(error).__name__}: {str(error)[:200]})") from error
    if not structure.is_ordered:
        raise MiadError("it has partly occupied sites; miad works on ordered crystals only")
    if len(structure) > MAX_ATOMS:
        raise MiadError(f"it has {len(structure)} atoms; more than {MAX_ATOMS} are refused")
    if not (np.isfinite(structure.lattice.matrix).all() and np.isfinite(structure.frac_coords).all()):
        raise MiadError("its cell or its coordinates are not finite numbers")
    dummies = sorted({site.specie.symbol for site in structure if isinstance(site.specie, DummySpecies)})
    if dummies:
        raise MiadError(f"it contains {', '.join(dummies)}, which is not an element")
    heavy = sorted({site.specie.symbol for site in structure if site.specie.Z >= NUM_SPECIES})
    if heavy:
        raise MiadError(f"it contains {', '.join(heavy)}; miad knows the elements 1 to {NUM_SPECIES - 1}")
    return structure
