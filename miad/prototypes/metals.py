"""Compounds of metals and metalloids: partners by their place in the periodic table, by size and electron count."""

from collections.abc import Iterator

from miad.prototypes.decorations import Decoration, combine
from miad.prototypes.properties import ELECTRONS, VOLUMES

RARE_EARTHS = "Sc Y La Ce Nd Sm Gd Er Lu"
EARLY = "Ti Zr Hf V Nb Ta"
MIDDLE = "Cr Mo W Mn Re"
LATE = "Fe Co Ni Ru Rh Pd Os Ir Pt"
COINAGE = "Cu Ag Au Zn Cd Hg"
BIG = f"Ca Sr Ba Eu Yb {RARE_EARTHS}"
DIVALENT = "Ca Sr Ba Eu Yb"
TRIVALENT = "Y La Ce Nd Gd Er"
PNICTIDES_AND_TETRELS = "Al Ga In Si Ge Sn Pb P As Sb Bi"

# structure type, elements of A, elements of X; Laves phases and their like have windows of size in SIZE_RATIOS
BINARY_RULES: tuple[tuple[str, str, str], ...] = (
    ("cscl", f"Li Mg Ca Sr Al {RARE_EARTHS} Yb Ti Zr Hf", f"{LATE} {COINAGE}"),
    ("cscl", f"Li Ca Sr {RARE_EARTHS}", "Mg Tl In Al"),
    ("cscl", "Mn V Nb Ta Be Ga", "Ru Rh Os Co Ni Fe Pd Cu Au"),
    ("l1_0", "Fe Mn Co Ni Ti Zn Cd Mg Al V Cr Cu In Zr Hf", "Pt Pd Au Rh Ir Ni Cu Ag Hg"),
    ("chromium-boride", "Ca Sr Ba Yb Y La Nd Gd Er Zr Hf", "Si Ge Sn Ni Pd Pt Rh Al Ga Au"),
    ("chromium-boride", f"{EARLY} Cr Mo W Fe Co Ni Mn", "B"),
    ("tungsten-carbide", f"{EARLY} Mo W Re Ru Os", "B C N P"),
    ("rocksalt", f"{RARE_EARTHS} {EARLY} Cr Mo W Mn Fe", "C N"),
    ("rocksalt", f"{BIG} {EARLY} Ni Pd", "H"),
    ("fluorite", f"{RARE_EARTHS} Ca Mg {EARLY} Cr Ni Pd", "H"),
    ("antifluorite", "Be Mg Li", "C Si Ge Sn Pb"),
    ("fluorite", "Pt Au Co Ni Pd Ir Rh", "Al Ga In Sn Si P"),
    ("nias", "Fe Co Ni Ru Rh Pd Ir Pt Mn Cr V Ti", "As Sb Bi Sn Te Ge Pb"),
    ("laves-c15", f"{BIG} Mg Ti Zr Hf Nb Ta K Na Bi Pb", f"{LATE} {MIDDLE} Al Mg Zn Cu V Be Au Bi Ag"),
    ("aluminium-boride", f"Mg Al Li Ca {EARLY} {MIDDLE} Sc Y Gd Er Lu", "B"),
    ("aluminium-boride", BIG, "Si Ge Ga Al Hg Cd Be"),
    ("calcium-indide", BIG, "In Hg Cd Zn Tl Au"),
    ("thorium-silicide", BIG, "Si Ge"),
    ("molybdenum-silicide", f"{MIDDLE} {EARLY}", "Si Ge Al"),
    ("molybdenum-silicide", "Cu Ag Au Pd Ni Zn Cd Hg Al Pt", "Ti Zr Hf Mn Cr Sc"),
    ("molybdenum-silicide", "Mn Ti Zr Cr V", "Au Pd Ag"),
    ("copper-aluminide", "Fe Mn Ni Co Pd Rh Pt Cu Au", "Sn Al Ge In Pb Ti Zr Hf Ta"),
    ("copper-aluminide", "B Be", "Fe Co Ni Cr Mo W Ta Mn"),
    ("copper-antimonide", "Mn Cr Cu Fe Sc Ti", "As Sb Bi Al"),
    ("l1_2", "Ni Pd Pt Rh Ir Co Cu Au Ag Fe", "Al Ga Ti Zr Hf V Nb Ta Mn Cr Mg Sn In Sc Y Zn Cd Li Si Ge"),
    ("l1_2", "Al Ga In Tl Sn Pb", f"{RARE_EARTHS} Ca Yb Eu Mg Zr Na"),
    ("l1_2", "Pd Pt Rh", "La Ce Nd Sm Gd Er Lu"),
    ("d0_22", "Al Ga Ni Pd Pt Au", EARLY),
    ("d0_3", "Fe Mg Li Cu Ni Mn Ag", "Al Si Ga Ge Sn Sb In La Ce Nd Hg Pb"),
    ("calcium-copper-5", "Ca Sr Ba Eu Yb Y La Ce Nd Sm Gd Er Lu", "Cu Ni Co Zn Fe Pt Ag Au Rh"),
    ("gold-beryllium-5", "Zr Hf Er Lu Y Gd Mg Ag Au Ca", "Ni Cu Be Co Pt"),
    ("barium-aluminide-4", "Ca Sr Ba Eu La Ce Nd Yb", "Al Ga In Zn Cd Au"),
    ("iron-nitride-4", "Fe Mn Ni Co Cr Pd Ti", "N C H B"),
    ("calcium-carbide", f"Ca Sr Ba {RARE_EARTHS} Yb", "C"),
    ("niobium-monoxide", "Nb V Ti", "O"),
    ("boron-nitride", "B Ca Sr K Ba", "N Cu Ag Au"),
)
# Lowest and highest ratio of the cube roots of the volumes A/X.
SIZE_RATIOS = {"laves-c15": (1.08, 1.62), "calcium-copper-5": (1.2, 1.8), "gold-beryllium-5": (1.12, 1.6)}


def _size_ratio(a: str, x: str) -> float:
    return (VOLUMES[a] / VOLUMES[x]) ** (1 / 3)


def binary() -> Iterator[Decoration]:
    """Compounds of two metals or metalloids."""
    for kind, first, second in BINARY_RULES:
        low, high = SIZE_RATIOS.get(kind, (0.0, 9.9))
        if (kind, first) == ("copper-aluminide", "Fe Mn Ni Co Pd Rh Pt Cu Au"):
            high = 1.05
        for a, x in combine(first, second):
            if low <= _size_ratio(a, x) <= high:
                yield Decoration(kind, {"A": a, "X": x})


def ternary() -> Iterator[Decoration]:
    """Compounds of three metals or metalloids."""
    yield from _half_heuslers()
    yield from _heuslers()
    yield from _filled_layers()
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


def _filled_layers() -> Iterator[Decoration]:
    # elements of A, B and X in ThCr2Si2: silicides, arsenides, sulfides, borides, aluminides
    for first, second, third in (
        (f"{TRIVALENT} Ca Sr", "Mn Fe Co Ni Cu Ru Rh Pd Ag Pt Cr Ir", "Si Ge"),
        (f"{DIVALENT} La K", "Cr Mn Fe Co Ni Ru Rh Pd Zn Ir", "P As"),
        ("K Rb Cs Tl", "Fe Co Ni Cu", "S Se"),
        (TRIVALENT, "Co Fe Ni Rh", "B"),
        ("Ca Sr Ba La", "Al Ga Zn", "Ge Si"),
    ):
        for a, b, x in combine(first, second, third):
            yield _roles("thorium-chromium-silicide", a, b, x)
    for first, second, third in (
        (f"Mg {DIVALENT}", "Mg Mn Zn Cd", "N P As Sb Bi"),
        (f"{DIVALENT} Y Gd", "Al Ga", "Si Ge"),
    ):
        for a, b, x in combine(first, second, third):
            yield _roles("calcium-aluminium-silicide", a, b, x)


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
