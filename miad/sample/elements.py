"""Groups of elements by name, and the atomic numbers of what a list of symbols and groups means."""

from collections.abc import Iterable

from miad.config.validation import did_you_mean
from miad.core.crystal import KNOWN_ELEMENTS, NUM_SPECIES
from miad.core.errors import MiadError

KNOWN = range(1, NUM_SPECIES)
# IUPAC's names, as far as it has one; of the elements that miad knows.
GROUPS: dict[str, tuple[int, ...]] = {
    "alkali_metals": (3, 11, 19, 37, 55, 87),
    "alkaline_earths": (4, 12, 20, 38, 56, 88),
    "pnictogens": (7, 15, 33, 51, 83),
    "chalcogens": (8, 16, 34, 52, 84),
    "halogens": (9, 17, 35, 53, 85),
    "noble_gases": (2, 10, 18, 36, 54, 86),
    "lanthanides": tuple(range(57, 72)),  # La to Lu
    "actinides": tuple(range(89, NUM_SPECIES)),  # from Ac on
    "rare_earths": (21, 39, *range(57, 72)),  # Sc, Y and the lanthanides
    "transition_metals": (*range(21, 31), *range(39, 49), *range(72, 81)),  # groups 3 to 12 without the lanthanides
    # Without an isotope that is stable; Bi, whose half-life is longer than the age of the universe, counts as stable.
    "radioactive": (43, 61, *range(84, NUM_SPECIES)),
    # Be, As, Cd, Hg, Tl, Pb: poisonous as elements and in most compounds. Elements of which that is true of some
    # compounds only (Cr, Ni, Se, Sb, Te, Ba, Os) are not counted, nor what is only radioactive.
    "toxic": (4, 33, 48, 80, 81, 82),
}


def number(symbol: str, key: str, others: Iterable[str] = ()) -> int:
    """Atomic number of a symbol that stands under `key` of the settings, where `others` may stand too.

    A MiadError if miad knows no such element.
    """
    from pymatgen.core import Element

    if symbol in GROUPS:
        raise MiadError(f"{key}: {symbol} is a group; only symbols of elements can stand here.")
    if not Element.is_valid_symbol(symbol):
        what = "neither an element nor a group" if others else "no element"
        is_symbol = Element.is_valid_symbol(symbol.capitalize())
        meant = f" Did you mean {symbol.capitalize()}?" if is_symbol else did_you_mean(symbol, others) if others else ""
        raise MiadError(f"{key}: {symbol} is {what}.{meant}")
    found = Element(symbol).Z
    if found not in KNOWN:
        raise MiadError(f"{key}: {symbol} is too heavy; {KNOWN_ELEMENTS}.")
    return found


def numbers(names: Iterable[str], key: str) -> set[int]:
    """Atomic numbers of symbols and groups; a MiadError if a name is neither."""
    return {one for name in names for one in (GROUPS[name] if name in GROUPS else (number(name, key, GROUPS),))}


def symbols(numbers: Iterable[int]) -> str:
    """Symbols of atomic numbers, for messages."""
    from pymatgen.core import Element

    return ", ".join(Element.from_Z(one).symbol for one in sorted(set(numbers)))
