"""Compounds of metals and metalloids: partners by their place in the periodic table, by size and electron count.

Those of two elements and of filled layers (ThCr2Si2: silicides, arsenides, sulfides, borides, aluminides) follow from
metal_rules.csv: structure type, elements of A, B and X, and for Laves phases and their like the limits of the ratio A/X
of the cube roots of the volumes.
"""

from collections.abc import Iterator

from miad.prototypes.properties import ELECTRONS, VOLUMES, rows
from miad.prototypes.structures import Decoration, combine

DIVALENT = "Ca Sr Ba Eu Yb"
TRIVALENT = "Y La Ce Nd Gd Er"
PNICTIDES_AND_TETRELS = "Al Ga In Si Ge Sn Pb P As Sb Bi"
# Groups of elements by the names that they have in metal_rules.csv.
GROUPS = {
    "DIVALENT": DIVALENT,
    "TRIVALENT": TRIVALENT,
    "RARE_EARTHS": "Sc Y La Ce Nd Sm Gd Er Lu",
    "BIG": f"{DIVALENT} Sc Y La Ce Nd Sm Gd Er Lu",
    "EARLY": "Ti Zr Hf V Nb Ta",
    "MIDDLE": "Cr Mo W Mn Re",
    "LATE": "Fe Co Ni Ru Rh Pd Os Ir Pt",
    "COINAGE": "Cu Ag Au Zn Cd Hg",
}
RULES = [{key: cell.format(**GROUPS) for key, cell in rule.items()} for rule in rows("metal_rules.csv")]


def binary() -> Iterator[Decoration]:
    """Compounds of two metals or metalloids."""
    for rule in RULES:
        low, high = float(rule["min_ratio"] or 0), float(rule["max_ratio"] or "inf")
        if not rule["b"]:
            for a, x in combine(rule["a"], rule["x"]):
                if low <= (VOLUMES[a] / VOLUMES[x]) ** (1 / 3) <= high:
                    yield Decoration(rule["structure_type"], {"A": a, "X": x})


def ternary() -> Iterator[Decoration]:
    """Compounds of three metals or metalloids."""
    yield from _half_heuslers()
    yield from _heuslers()
    for rule in RULES:
        if rule["b"]:
            for a, b, x in combine(rule["a"], rule["b"], rule["x"]):
                yield _roles(rule["structure_type"], a, b, x)
    yield from _square_nets()
    yield from _honeycombs()


def _roles(kind: str, a: str, b: str, x: str) -> Decoration:
    return Decoration(kind, {"A": a, "B": b, "X": x})


def _electrons(*symbols: str) -> int:
    return sum(ELECTRONS[symbol] for symbol in symbols)


def _half_heuslers() -> Iterator[Decoration]:
    # 18 or 8 valence electrons; the small metal sits in the tetrahedra (role B).
    hosts = "Li Mg Ca Sc Y La Gd Er Lu Ti Zr Hf V Nb Ta Mn"
    late = "Fe Ru Co Rh Ir Ni Pd Pt Cu Ag Au"
    for a, b, x in combine(hosts, late, PNICTIDES_AND_TETRELS):
        if _electrons(a, b, x) == 18:
            yield _roles("half-heusler", a, b, x)
    for a, b, x in combine("Li Na Cu Ag", "Be Mg Ca Zn Cd Al Ga In", "Si Ge Sn Pb P As Sb Bi"):
        # Closed d shells are not counted here.
        if ELECTRONS[a] % 10 + ELECTRONS[b] % 10 + ELECTRONS[x] == 8:
            yield _roles("half-heusler", a, b, x)


def _heuslers() -> Iterator[Decoration]:
    for a, b, x in combine(
        "Fe Co Ni Cu Ru Rh Pd Mn Au",
        "Sc Ti Zr Hf V Nb Ta Cr Mn Fe Li Mg Er Y",
        "Al Ga In Si Ge Sn Sb",
    ):
        if 22 <= 2 * ELECTRONS[a] + _electrons(b, x) <= 31:
            yield _roles("heusler", a, b, x)
            if ELECTRONS[a] < ELECTRONS[b]:
                yield _roles("inverse-heusler", a, b, x)
    for b, x in combine("Mg Zn Cd Cu Ag Au Pd Al Ca Na", "Si Ge Sn Pb In Tl Sb Bi Ga Al"):
        yield _roles("heusler", "Li", b, x)


def _square_nets() -> Iterator[Decoration]:
    # LiFeAs and ZrSiS are variants of PbFCl: the small atom (role B) fills a flat square net.
    for x, b, a in combine("Li Na K", "Mn Fe Co Zn Mg Cd", "P As Sb Bi"):
        yield _roles("lead-fluoride-chloride", a, b, x)
    for a, b, x in combine("Zr Hf Nb Ta La Ce Gd", "Si Ge Sn As Sb", "S Se Te"):
        yield _roles("lead-fluoride-chloride", a, b, x)


def _honeycombs() -> Iterator[Decoration]:
    # Zintl's count: A and B give what the honeycomb needs, three electrons to a pnictogen, four to a tetrel.
    gives = {"Cu": 1, "Ag": 1, "Au": 1, "Zn": 2, "Li": 1, "Ni": 0, "Pd": 0, "Pt": 0}
    takes = {"P": 3, "As": 3, "Sb": 3, "Si": 4, "Ge": 4, "Sn": 4}
    for a, b, x in combine(f"{DIVALENT} {TRIVALENT}", " ".join(gives), " ".join(takes)):
        if (2 if a in DIVALENT.split() else 3) + gives[b] == takes[x]:
            yield _roles("zirconium-beryllium-silicide", a, b, x)
            yield _roles("lithium-gallium-germanide", a, b, x)
            yield _roles("ordered-aluminium-boride", a, b, x)
