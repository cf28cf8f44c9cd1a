"""Sizes and valences of the elements, as the decorations use them, and the tables of this folder."""

import csv
from importlib.resources import files

DIMERS = {"H": 0.75, "N": 1.11, "O": 1.23, "F": 1.43, "Cl": 2.0, "Br": 2.32}  # bond lengths, Å
NONMETALS = frozenset(("H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Se", "Br", "I", "Te", "As"))


def rows(name: str) -> list[dict[str, str]]:
    """Rows of a table of this folder, e.g. structure_types.csv."""
    with files("miad.prototypes").joinpath(name).open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _table(text: str, kind: type = float) -> dict:
    words = text.split()
    return {symbol: kind(value) for symbol, value in zip(words[::2], words[1::2], strict=True)}


# Ionic radii, Å, by oxidation state: Shannon, Acta Cryst. A32, 751 (1976), six-fold coordination, high spin; those of
# H, N, P and their like from the distances in their simplest crystals.
CATIONS: dict[int, dict[str, float]] = {
    1: _table("Li 0.76 Na 1.02 K 1.38 Rb 1.52 Cs 1.67 Cu 0.77 Ag 1.15 Tl 1.50"),
    2: _table(
        """Be 0.45 Mg 0.72 Ca 1.00 Sr 1.18 Ba 1.35 Eu 1.17 Yb 1.02 Ti 0.86 V 0.79 Cr 0.80 Mn 0.83 Fe 0.78 Co 0.745
        Ni 0.69 Cu 0.73 Zn 0.74 Cd 0.95 Hg 1.02 Pd 0.86 Pt 0.80 Ge 0.73 Sn 1.18 Pb 1.19"""
    ),
    3: _table(
        """B 0.27 Al 0.535 Ga 0.62 In 0.80 Tl 0.885 Sc 0.745 Y 0.90 La 1.03 Ce 1.01 Nd 0.983 Sm 0.958 Gd 0.938 Er 0.89
        Lu 0.861 Ti 0.67 V 0.64 Cr 0.615 Mn 0.645 Fe 0.645 Co 0.61 Ni 0.60 Rh 0.665 Ir 0.68 Au 0.85 Sb 0.76 Bi 1.03"""
    ),
    4: _table(
        """Ti 0.605 Zr 0.72 Hf 0.71 V 0.58 Nb 0.68 Ta 0.68 Mo 0.65 W 0.66 Mn 0.53 Re 0.63 Ru 0.62 Os 0.63 Rh 0.60
        Ir 0.625 Pd 0.615 Pt 0.625 Si 0.40 Ge 0.53 Sn 0.69 Pb 0.775 Ce 0.87 Te 0.97"""
    ),
    5: _table("Nb 0.64 Ta 0.64 V 0.54"),
    6: _table("W 0.60 Mo 0.59 Re 0.55"),
}
ANIONS: dict[int, dict[str, float]] = {
    1: _table("H 1.40 F 1.33 Cl 1.81 Br 1.96 I 2.20"),
    2: _table("O 1.40 S 1.84 Se 1.98 Te 2.21"),
    3: _table("N 1.46 P 2.00 As 2.10 Sb 2.30 Bi 2.38"),
}
# Å³ per atom in compounds of metals: the elements' own volumes for metals, smaller ones for what is open when pure.
VOLUMES: dict[str, float] = _table(
    """H 4 Li 18 Be 8.1 B 7.3 C 7 N 8 O 10 F 11 Na 33 Mg 22 Al 16.5 Si 15 P 15 S 16 Cl 22 K 60 Ca 38 Sc 24.5 Ti 17.5
    V 13.6 Cr 11.6 Mn 11.2 Fe 11.4 Co 11 Ni 11 Cu 12 Zn 15 Ga 19 Ge 18 As 18.5 Se 20 Br 27 Rb 75 Sr 53 Y 32.5 Zr 23.3
    Nb 18.3 Mo 15.8 Ru 13.8 Rh 14 Pd 15.3 Ag 17.8 Cd 22 In 26 Sn 27 Sb 26 Te 28 I 35 Cs 95 Ba 62 La 37 Ce 35 Nd 34
    Sm 33 Eu 44 Gd 33 Er 30.5 Yb 38 Lu 29.5 Hf 22.3 Ta 18.3 W 16 Re 14.8 Os 14.2 Ir 14.5 Pt 15.7 Au 18 Hg 26 Tl 29.5
    Pb 31 Bi 33"""
)
# Valence electrons as counted in the rules for Heusler and half Heusler compounds.
ELECTRONS: dict[str, int] = _table(
    """Li 1 Na 1 Be 2 Mg 2 Ca 2 Sc 3 Y 3 La 3 Nd 3 Gd 3 Er 3 Lu 3 Ti 4 Zr 4 Hf 4 V 5 Nb 5 Ta 5 Cr 6 Mn 7 Fe 8 Ru 8 Os 8
    Co 9 Rh 9 Ir 9 Ni 10 Pd 10 Pt 10 Cu 11 Ag 11 Au 11 Zn 12 Cd 12 Al 3 Ga 3 In 3 Si 4 Ge 4 Sn 4 Pb 4 N 5 P 5 As 5 Sb 5
    Bi 5""",
    int,
)
