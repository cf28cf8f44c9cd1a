"""Sizes and valences of the elements, as the decorations use them, and the tables of this folder."""

import csv
from importlib.resources import files


def rows(name: str) -> list[dict[str, str]]:
    """Rows of a table of this folder, e.g. structure_types.csv."""
    with files("miad.prototypes").joinpath(name).open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


# Ionic radii, Å, by oxidation state: Shannon, Acta Cryst. A32, 751 (1976), six-fold coordination, high spin; those of
# H, N, P and their like from the distances in their simplest crystals. Anions by the number of their charges.
CATIONS: dict[int, dict[str, float]] = {}
ANIONS: dict[int, dict[str, float]] = {}
for _ion in rows("ions.csv"):
    _charge = int(_ion["charge"])
    _radii = (CATIONS if _charge > 0 else ANIONS).setdefault(abs(_charge), {})
    _radii[_ion["symbol"]] = float(_ion["radius"])

_ELEMENTS = {row["symbol"]: row for row in rows("elements.csv")}
# Å³ per atom in compounds of metals: the elements' own volumes for metals, smaller ones for what is open when pure.
VOLUMES = {symbol: float(row["volume"]) for symbol, row in _ELEMENTS.items()}
# Valence electrons as counted in the rules for Heusler and half Heusler compounds.
ELECTRONS = {symbol: int(row["electrons"]) for symbol, row in _ELEMENTS.items() if row["electrons"]}
NONMETALS = frozenset(symbol for symbol, row in _ELEMENTS.items() if row["is_nonmetal"])
# Bond length, and edges a and c of the hexagonal cell, Å.
DIMERS = {
    symbol: (float(row["dimer_length"]), float(row["dimer_a"]), float(row["dimer_c"]))
    for symbol, row in _ELEMENTS.items()
    if row["dimer_length"]
}
