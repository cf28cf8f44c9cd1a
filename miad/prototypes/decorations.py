"""Which elements go where: charge balance and radius ratios for salts, size and electron counts for metals.

The lists are chosen by chemistry, not by what turns out stable; the hull decides that afterwards.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

ALKALI = ("Li", "Na", "K", "Rb", "Cs")
ALKALINE_EARTH = ("Mg", "Ca", "Sr", "Ba")
LANTHANIDES = ("La", "Ce", "Nd", "Sm", "Gd", "Er", "Lu")
RARE_EARTHS = ("Sc", "Y", *LANTHANIDES)
DIMERS = {"H": 0.75, "N": 1.11, "O": 1.23, "F": 1.43, "Cl": 2.0, "Br": 2.32}  # bond lengths, Å

# Ionic radii, Å, by oxidation state (Shannon, six-fold coordination, high spin; H- after Pauling's crystals).
CATIONS: dict[int, dict[str, float]] = {
    1: {"Li": 0.76, "Na": 1.02, "K": 1.38, "Rb": 1.52, "Cs": 1.67, "Cu": 0.77, "Ag": 1.15, "Tl": 1.50},
    2: {
        "Be": 0.45,
        "Mg": 0.72,
        "Ca": 1.00,
        "Sr": 1.18,
        "Ba": 1.35,
        "Eu": 1.17,
        "Yb": 1.02,
        "Ti": 0.86,
        "V": 0.79,
        "Cr": 0.80,
        "Mn": 0.83,
        "Fe": 0.78,
        "Co": 0.745,
        "Ni": 0.69,
        "Cu": 0.73,
        "Zn": 0.74,
        "Cd": 0.95,
        "Hg": 1.02,
        "Pd": 0.86,
        "Pt": 0.80,
        "Ge": 0.73,
        "Sn": 1.18,
        "Pb": 1.19,
    },
    3: {
        "B": 0.27,
        "Al": 0.535,
        "Ga": 0.62,
        "In": 0.80,
        "Tl": 0.885,
        "Sc": 0.745,
        "Y": 0.90,
        "La": 1.03,
        "Ce": 1.01,
        "Nd": 0.983,
        "Sm": 0.958,
        "Gd": 0.938,
        "Er": 0.89,
        "Lu": 0.861,
        "Ti": 0.67,
        "V": 0.64,
        "Cr": 0.615,
        "Mn": 0.645,
        "Fe": 0.645,
        "Co": 0.61,
        "Ni": 0.60,
        "Rh": 0.665,
        "Ir": 0.68,
        "Au": 0.85,
        "Sb": 0.76,
        "Bi": 1.03,
    },
    4: {
        "Ti": 0.605,
        "Zr": 0.72,
        "Hf": 0.71,
        "V": 0.58,
        "Nb": 0.68,
        "Ta": 0.68,
        "Mo": 0.65,
        "W": 0.66,
        "Mn": 0.53,
        "Re": 0.63,
        "Ru": 0.62,
        "Os": 0.63,
        "Rh": 0.60,
        "Ir": 0.625,
        "Pd": 0.615,
        "Pt": 0.625,
        "Si": 0.40,
        "Ge": 0.53,
        "Sn": 0.69,
        "Pb": 0.775,
        "Ce": 0.87,
        "Te": 0.97,
    },
    5: {"Nb": 0.64, "Ta": 0.64, "V": 0.54},
    6: {"W": 0.60, "Mo": 0.59, "Re": 0.55},
}
ANIONS: dict[int, dict[str, float]] = {
    1: {"H": 1.40, "F": 1.33, "Cl": 1.81, "Br": 1.96, "I": 2.20},
    2: {"O": 1.40, "S": 1.84, "Se": 1.98, "Te": 2.21},
    3: {"N": 1.46, "P": 2.00, "As": 2.10, "Sb": 2.30, "Bi": 2.38},
}
HALIDES = ("F", "Cl", "Br", "I")

# Å³ per atom in compounds of metals: the elements' own volumes for metals, smaller ones for what is open when pure.
VOLUMES: dict[str, float] = {
    "H": 4,
    "Li": 18,
    "Be": 8.1,
    "B": 7.3,
    "C": 7,
    "N": 8,
    "O": 10,
    "F": 11,
    "Na": 33,
    "Mg": 22,
    "Al": 16.5,
    "Si": 15,
    "P": 15,
    "S": 16,
    "Cl": 22,
    "K": 60,
    "Ca": 38,
    "Sc": 24.5,
    "Ti": 17.5,
    "V": 13.6,
    "Cr": 11.6,
    "Mn": 11.2,
    "Fe": 11.4,
    "Co": 11,
    "Ni": 11,
    "Cu": 12,
    "Zn": 15,
    "Ga": 19,
    "Ge": 18,
    "As": 18.5,
    "Se": 20,
    "Br": 27,
    "Rb": 75,
    "Sr": 53,
    "Y": 32.5,
    "Zr": 23.3,
    "Nb": 18.3,
    "Mo": 15.8,
    "Ru": 13.8,
    "Rh": 14,
    "Pd": 15.3,
    "Ag": 17.8,
    "Cd": 22,
    "In": 26,
    "Sn": 27,
    "Sb": 26,
    "Te": 28,
    "I": 35,
    "Cs": 95,
    "Ba": 62,
    "La": 37,
    "Ce": 35,
    "Nd": 34,
    "Sm": 33,
    "Eu": 44,
    "Gd": 33,
    "Er": 30.5,
    "Yb": 38,
    "Lu": 29.5,
    "Hf": 22.3,
    "Ta": 18.3,
    "W": 16,
    "Re": 14.8,
    "Os": 14.2,
    "Ir": 14.5,
    "Pt": 15.7,
    "Au": 18,
    "Hg": 26,
    "Tl": 29.5,
    "Pb": 31,
    "Bi": 33,
}
# Valence electrons as counted in the rules for Heusler and half Heusler compounds.
ELECTRONS: dict[str, int] = {
    "Li": 1,
    "Na": 1,
    "Be": 2,
    "Mg": 2,
    "Ca": 2,
    "Sc": 3,
    "Y": 3,
    "La": 3,
    "Nd": 3,
    "Gd": 3,
    "Er": 3,
    "Lu": 3,
    "Ti": 4,
    "Zr": 4,
    "Hf": 4,
    "V": 5,
    "Nb": 5,
    "Ta": 5,
    "Cr": 6,
    "Mn": 7,
    "Fe": 8,
    "Ru": 8,
    "Os": 8,
    "Co": 9,
    "Rh": 9,
    "Ir": 9,
    "Ni": 10,
    "Pd": 10,
    "Pt": 10,
    "Cu": 11,
    "Ag": 11,
    "Au": 11,
    "Zn": 12,
    "Cd": 12,
    "Al": 3,
    "Ga": 3,
    "In": 3,
    "Si": 4,
    "Ge": 4,
    "Sn": 4,
    "Pb": 4,
    "N": 5,
    "P": 5,
    "As": 5,
    "Sb": 5,
    "Bi": 5,
}


@dataclass(frozen=True)
class Decoration:
    """Elements in the places of a structure type.

    Attributes:
        kind: name of the structure type.
        elements: element symbol by role.
        radii: Å by role, for salts; empty for what is packed by volume.
    """

    kind: str
    elements: dict[str, str]
    radii: dict[str, float] = field(default_factory=dict)


def decorations() -> Iterator[Decoration]:
    """All candidates of the built-in data set, in a fixed order, without repetition."""
    seen = set()
    for decoration in itertools.chain(_elements(), _binary_salts(), _ternary_salts(), _metals(), _ternary_metals()):
        key = (decoration.kind, *sorted(decoration.elements.items()))
        if key not in seen and len(set(decoration.elements.values())) == len(decoration.elements):
            seen.add(key)
            yield decoration


def _elements() -> Iterator[Decoration]:
    nonmetals = {"H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Se", "Br", "I", "Te", "As"}
    special = {
        "dhcp": ("La", "Ce", "Nd", "Y"),
        "samarium": ("Sm", "Li", "Na", "Gd"),
        "diamond": ("C", "Si", "Ge", "Sn"),
        "beta-tin": ("Sn", "Si", "Ge"),
        "indium": ("In", "Ga", "Mn"),
        "arsenic": ("As", "Sb", "Bi", "P", "Te"),
        "selenium": ("S", "Se", "Te"),
        "graphite": ("C", "B"),
        "mercury": ("Hg",),
        "gallium": ("Ga", "B"),
        "iodine": ("I", "Br", "Cl"),
        "black-phosphorus": ("P", "As"),
        "simple-hexagonal": ("Sn", "Si", "Te"),
        "fcc": ("B", "Te"),
        "bcc": ("Te",),
        "hcp": ("B",),
    }
    for kind, symbols in special.items():
        yield from (Decoration(kind, {"A": symbol}) for symbol in symbols)
    for symbol, bond in DIMERS.items():
        yield Decoration(f"dimers-{symbol}", {"A": symbol}, {"A": bond / 2})
    for kind, symbol in itertools.product(("fcc", "bcc", "hcp"), VOLUMES):
        if symbol not in nonmetals:
            yield Decoration(kind, {"A": symbol})


def _pairs(cation: int, anion: int, low: float, high: float) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Cations and anions whose ratio of radii lies in a window; the anions include none of ratio beyond reason."""
    for (metal, r_plus), (other, r_minus) in itertools.product(CATIONS[cation].items(), ANIONS[anion].items()):
        if low <= r_plus / r_minus <= high:
            yield metal, other, {"A": r_plus, "X": r_minus}


def _binary_salts() -> Iterator[Decoration]:
    # (charge of A, charge of X, lower and upper ratio of radii, structure types); windows are wider than Pauling's.
    rules = (
        (1, 1, 0.0, 9.9, ("rocksalt",)),
        (1, 1, 0.6, 9.9, ("cscl",)),
        (1, 1, 0.0, 0.62, ("zincblende", "wurtzite")),
        (2, 2, 0.0, 9.9, ("rocksalt",)),
        (2, 2, 0.55, 9.9, ("cscl",)),
        (2, 2, 0.0, 0.62, ("zincblende", "wurtzite")),
        (2, 2, 0.25, 0.6, ("nias",)),
        (2, 2, 0.4, 0.9, ("litharge",)),
        (2, 2, 0.35, 0.65, ("cooperite",)),
        (3, 3, 0.0, 9.9, ("rocksalt",)),
        (3, 3, 0.0, 0.5, ("zincblende", "wurtzite")),
        (3, 3, 0.2, 0.5, ("nias",)),
        (2, 1, 0.55, 9.9, ("fluorite",)),
        (2, 1, 0.3, 1.0, ("rutile",)),
        (2, 1, 0.3, 0.75, ("cadmium-iodide",)),
        (2, 1, 0.3, 0.75, ("cadmium-chloride",)),
        (4, 2, 0.4, 9.9, ("fluorite",)),
        (4, 2, 0.25, 0.6, ("rutile",)),
        (4, 2, 0.2, 0.55, ("cadmium-iodide",)),
        (4, 2, 0.25, 0.4, ("molybdenite",)),
        (4, 2, 0.38, 0.55, ("anatase",)),
        (1, 2, 0.25, 9.9, ("antifluorite",)),
        (1, 2, 0.3, 0.85, ("cuprite",)),
        (3, 2, 0.55, 9.9, ("lanthanum-oxide",)),
        (3, 2, 0.25, 0.6, ("tetradymite",)),
        (3, 2, 0.5, 0.8, ("lanthanum-oxide",)),
        (1, 3, 0.4, 9.9, ("lithium-nitride", "d0_3", "anti-rhenium-trioxide")),
        (3, 1, 0.3, 0.8, ("rhenium-trioxide",)),
        (3, 1, 0.5, 9.9, ("d0_3",)),
        (6, 2, 0.35, 0.6, ("rhenium-trioxide",)),
    )
    for cation, anion, low, high, kinds in rules:
        for metal, other, radii in _pairs(cation, anion, low, high):
            # Phosphorus and its like reduce noble metals; their salts of high charge are no salts.
            for kind in kinds:
                swapped = kind == "d0_3" and cation == 3
                roles = {"A": other, "X": metal} if swapped else {"A": metal, "X": other}
                sizes = {"A": radii["X"], "X": radii["A"]} if swapped else radii
                yield Decoration(kind, roles, sizes)
    yield from (
        Decoration("marcasite", {"A": a, "X": x}, {"A": r + 0.1, "X": ANIONS[q][x] - 0.15})
        for a, r in CATIONS[2].items()
        if a in ("Fe", "Ni", "Co", "Mn", "Pd", "Pt")
        for q, x in ((2, "S"), (2, "Se"), (2, "Te"), (3, "P"), (3, "As"), (3, "Sb"))
    )


def tolerance(r_a: float, r_b: float, r_x: float) -> float:
    """Goldschmidt's tolerance factor; the radius of A is raised from six- to twelve-fold coordination."""
    return (1.12 * r_a + r_x) / (2**0.5 * (r_b + r_x))


def _ternary_salts() -> Iterator[Decoration]:
    for q_a, q_b, q_x in ((1, 2, 1), (2, 4, 2), (3, 3, 2), (1, 5, 2), (2, 1, 1)):
        for (a, r_a), (b, r_b), (x, r_x) in itertools.product(
            CATIONS[q_a].items(), CATIONS[q_b].items(), ANIONS[q_x].items()
        ):
            is_hydride = x == "H" and not (b in (*ALKALI, *ALKALINE_EARTH, "Pd") and a in (*ALKALI, *ALKALINE_EARTH))
            if 0.82 <= tolerance(r_a, r_b, r_x) <= 1.08 and r_b / r_x > 0.3 and x != "Te" and not is_hydride:
                yield Decoration("perovskite", {"A": a, "B": b, "X": x}, {"A": 1.12 * r_a, "B": r_b, "X": r_x})
    for (a, r_a), (b, r_b), (x, r_x) in itertools.product(CATIONS[1].items(), CATIONS[3].items(), ANIONS[2].items()):
        elements, radii = {"A": a, "B": b, "X": x}, {"A": r_a, "B": r_b, "X": r_x}
        if x != "Te" and 0.3 <= r_b / r_x < 0.75 and a not in ("Cu",):
            yield Decoration("alpha-nafeo2", elements, radii)
        if x == "O" and a in ("Cu", "Ag") and b not in ("B", "Bi", "Au"):
            yield Decoration("delafossite", elements, {**radii, "A": 0.46 if a == "Cu" else 0.67})
    for (a, r_a), b in itertools.product(CATIONS[2].items(), ("Fe", "Ni", "Cu", "Pd")):
        if a in ("Ca", "Sr", "Ba"):
            yield Decoration("infinite-layer", {"A": a, "B": b, "X": "O"}, {"A": r_a + 0.1, "B": 0.6, "X": 1.4})
    for (a, r_a), (b, r_b), (x, r_x) in itertools.product(
        CATIONS[2].items(), (("F", 1.31), ("H", 1.35)), list(ANIONS[1].items())[2:]
    ):
        if r_a >= 0.9:
            yield Decoration("lead-fluoride-chloride", {"A": a, "B": b, "X": x}, {"A": r_a, "B": r_b, "X": r_x})
    for (a, r_a), (x, r_x) in itertools.product(CATIONS[3].items(), ANIONS[1].items()):
        if r_a >= 0.74 and x != "H":
            yield Decoration("lead-fluoride-chloride", {"A": a, "B": "O", "X": x}, {"A": r_a, "B": 1.38, "X": r_x})
    for (a, r_a), (x, r_x) in itertools.product(CATIONS[3].items(), list(ANIONS[2].items())[1:]):
        if a in RARE_EARTHS or a in ("Bi", "In"):
            yield Decoration("lanthanum-oxysulfide", {"A": a, "B": "O", "X": x}, {"A": r_a, "B": 1.38, "X": r_x})
    yield from _antiperovskites()


def _antiperovskites() -> Iterator[Decoration]:
    def salt(a: str, q_a: int, x: str, r_x: float, b: str) -> Decoration:
        return Decoration("antiperovskite", {"A": a, "B": b, "X": x}, {"A": CATIONS[q_a][a], "X": r_x})

    yield from (
        salt(a, 1, x, 1.4 if x == "O" else 1.84, b) for a in ("Li", "Na", "K", "Ag") for x in "OS" for b in HALIDES[1:]
    )
    yield from (salt(a, 2, "N", 1.46, b) for a in (*ALKALINE_EARTH, "Eu") for b in ("P", "As", "Sb", "Bi"))
    yield from (salt(a, 2, "O", 1.4, b) for a in ("Ca", "Sr", "Ba", "Eu", "Yb") for b in ("Si", "Ge", "Sn", "Pb"))
    metals = ("Ti", "Mn", "Fe", "Co", "Ni", "Cr", "Sc", "Y", "La", "Nd", "Gd", "Er", "Ca", "Pd")
    for a, b, x in itertools.product(metals, ("Al", "Ga", "In", "Ge", "Sn", "Zn", "Tl", "Pb"), ("C", "N")):
        yield Decoration("antiperovskite", {"A": a, "B": b, "X": x})


def _metals() -> Iterator[Decoration]:
    def product(kind: str, first: tuple[str, ...], second: tuple[str, ...], low: float = 0.0, high: float = 9.9):
        for a, x in itertools.product(first, second):
            if low <= (VOLUMES[a] / VOLUMES[x]) ** (1 / 3) <= high:
                yield Decoration(kind, {"A": a, "X": x})

    early = ("Ti", "Zr", "Hf", "V", "Nb", "Ta")
    middle = ("Cr", "Mo", "W", "Mn", "Re")
    late = ("Fe", "Co", "Ni", "Ru", "Rh", "Pd", "Os", "Ir", "Pt")
    coinage = ("Cu", "Ag", "Au", "Zn", "Cd", "Hg")
    big = ("Ca", "Sr", "Ba", "Eu", "Yb", *RARE_EARTHS)
    post = ("Al", "Ga", "In", "Tl", "Sn", "Pb")
    # Electropositive partners with late ones: CsCl; both late: L1_0; size ratio near 1.225: Laves phases.
    yield from product("cscl", ("Li", "Mg", "Ca", "Sr", "Al", *RARE_EARTHS, "Yb", "Ti", "Zr", "Hf"), (*late, *coinage))
    yield from product("cscl", ("Li", "Ca", "Sr", *RARE_EARTHS), ("Mg", "Tl", "In", "Al"))
    yield from product(
        "cscl", ("Mn", "V", "Nb", "Ta", "Be", "Ga"), ("Ru", "Rh", "Os", "Co", "Ni", "Fe", "Pd", "Cu", "Au")
    )
    yield from product(
        "l1_0",
        ("Fe", "Mn", "Co", "Ni", "Ti", "Zn", "Cd", "Mg", "Al", "V", "Cr", "Cu", "In", "Zr", "Hf"),
        ("Pt", "Pd", "Au", "Rh", "Ir", "Ni", "Cu", "Ag", "Hg"),
    )
    yield from product(
        "chromium-boride",
        ("Ca", "Sr", "Ba", "Yb", "Y", "La", "Nd", "Gd", "Er", "Zr", "Hf"),
        ("Si", "Ge", "Sn", "Ni", "Pd", "Pt", "Rh", "Al", "Ga", "Au"),
    )
    yield from product("chromium-boride", (*early, "Cr", "Mo", "W", "Fe", "Co", "Ni", "Mn"), ("B",))
    yield from product("tungsten-carbide", (*early, "Mo", "W", "Re", "Ru", "Os"), ("B", "C", "N", "P"))
    yield from product("rocksalt", (*RARE_EARTHS, *early, "Cr", "Mo", "W", "Mn", "Fe"), ("C", "N"))
    yield from product("rocksalt", (*big, *early, "Ni", "Pd"), ("H",))
    yield from product("fluorite", (*RARE_EARTHS, "Ca", "Mg", *early, "Cr", "Ni", "Pd"), ("H",))
    yield from product("antifluorite", ("Be", "Mg", "Li"), ("C", "Si", "Ge", "Sn", "Pb"))
    yield from product("fluorite", ("Pt", "Au", "Co", "Ni", "Pd", "Ir", "Rh"), ("Al", "Ga", "In", "Sn", "Si", "P"))
    yield from product(
        "nias", (*late[:6], "Ir", "Pt", "Mn", "Cr", "V", "Ti"), ("As", "Sb", "Bi", "Sn", "Te", "Ge", "Pb")
    )
    yield from product(
        "laves-c15",
        (*big, "Mg", "Ti", "Zr", "Hf", "Nb", "Ta", "K", "Na", "Bi", "Pb"),
        (*late, *middle, "Al", "Mg", "Zn", "Cu", "V", "Be", "Au", "Bi", "Ag"),
        1.08,
        1.62,
    )
    yield from product(
        "aluminium-boride", ("Mg", "Al", "Li", "Ca", *early, *middle, "Sc", "Y", "Gd", "Er", "Lu"), ("B",)
    )
    yield from product("aluminium-boride", big, ("Si", "Ge", "Ga", "Al", "Hg", "Cd", "Be"))
    yield from product("calcium-indide", big, ("In", "Hg", "Cd", "Zn", "Tl", "Au"))
    yield from product("thorium-silicide", big, ("Si", "Ge"))
    yield from product("molybdenum-silicide", (*middle, *early), ("Si", "Ge", "Al"))
    yield from product(
        "molybdenum-silicide",
        ("Cu", "Ag", "Au", "Pd", "Ni", "Zn", "Cd", "Hg", "Al", "Pt"),
        ("Ti", "Zr", "Hf", "Mn", "Cr", "Sc"),
    )
    yield from product("molybdenum-silicide", ("Mn", "Ti", "Zr", "Cr", "V"), ("Au", "Pd", "Ag"))
    yield from product(
        "copper-aluminide",
        ("Fe", "Mn", "Ni", "Co", "Pd", "Rh", "Pt", "Cu", "Au"),
        ("Sn", "Al", "Ge", "In", "Pb", "Ti", "Zr", "Hf", "Ta"),
        0,
        1.05,
    )
    yield from product("copper-aluminide", ("B", "Be"), ("Fe", "Co", "Ni", "Cr", "Mo", "W", "Ta", "Mn"))
    yield from product("copper-antimonide", ("Mn", "Cr", "Cu", "Fe", "Sc", "Ti"), ("As", "Sb", "Bi", "Al"))
    yield from product(
        "l1_2",
        ("Ni", "Pd", "Pt", "Rh", "Ir", "Co", "Cu", "Au", "Ag", "Fe"),
        (
            "Al",
            "Ga",
            "Ti",
            "Zr",
            "Hf",
            "V",
            "Nb",
            "Ta",
            "Mn",
            "Cr",
            "Mg",
            "Sn",
            "In",
            "Sc",
            "Y",
            "Zn",
            "Cd",
            "Li",
            "Si",
            "Ge",
        ),
    )
    yield from product("l1_2", post, (*RARE_EARTHS, "Ca", "Yb", "Eu", "Mg", "Zr", "Na"))
    yield from product("l1_2", ("Pd", "Pt", "Rh"), LANTHANIDES)
    yield from product("d0_22", ("Al", "Ga", "Ni", "Pd", "Pt", "Au"), ("Ti", "Zr", "Hf", "V", "Nb", "Ta"))
    yield from product(
        "d0_3",
        ("Fe", "Mg", "Li", "Cu", "Ni", "Mn", "Ag"),
        ("Al", "Si", "Ga", "Ge", "Sn", "Sb", "In", *LANTHANIDES[:3], "Hg", "Pb"),
    )
    yield from product(
        "calcium-copper-5", big[:5] + RARE_EARTHS[1:], ("Cu", "Ni", "Co", "Zn", "Fe", "Pt", "Ag", "Au", "Rh"), 1.2, 1.8
    )
    yield from product(
        "gold-beryllium-5",
        ("Zr", "Hf", "Er", "Lu", "Y", "Gd", "Mg", "Ag", "Au", "Ca"),
        ("Ni", "Cu", "Be", "Co", "Pt"),
        1.12,
        1.6,
    )
    yield from product(
        "barium-aluminide-4", ("Ca", "Sr", "Ba", "Eu", "La", "Ce", "Nd", "Yb"), ("Al", "Ga", "In", "Zn", "Cd", "Au")
    )
    yield from product("iron-nitride-4", ("Fe", "Mn", "Ni", "Co", "Cr", "Pd", "Ti"), ("N", "C", "H", "B"))
    yield from product("calcium-carbide", ("Ca", "Sr", "Ba", *RARE_EARTHS, "Yb"), ("C",))
    yield from product("niobium-monoxide", ("Nb", "V", "Ti"), ("O",))
    yield from product("boron-nitride", ("B", "Ca", "Sr", "K", "Ba"), ("N", "Cu", "Ag", "Au"))


def _ternary_metals() -> Iterator[Decoration]:
    def electrons(*symbols: str) -> int:
        return sum(ELECTRONS[symbol] for symbol in symbols)

    # Half Heusler: 8 or 18 valence electrons; the small metal sits in the tetrahedra (role B).
    late = ("Fe", "Ru", "Co", "Rh", "Ir", "Ni", "Pd", "Pt", "Cu", "Ag", "Au")
    hosts = ("Li", "Mg", "Ca", "Sc", "Y", "La", "Gd", "Er", "Lu", "Ti", "Zr", "Hf", "V", "Nb", "Ta", "Mn")
    anions = ("Al", "Ga", "In", "Si", "Ge", "Sn", "Pb", "P", "As", "Sb", "Bi")
    for a, b, x in itertools.product(hosts, late, anions):
        if electrons(a, b, x) == 18:
            yield Decoration("half-heusler", {"A": a, "B": b, "X": x})
    for a, b, x in itertools.product(
        ("Li", "Na", "Cu", "Ag"), ("Be", "Mg", "Ca", "Zn", "Cd", "Al", "Ga", "In"), anions
    ):
        if (ELECTRONS[a] - (10 if a in ("Cu", "Ag") else 0)) + ELECTRONS[b] % 10 + ELECTRONS[x] == 8 and x not in (
            "Al",
            "Ga",
            "In",
        ):
            yield Decoration("half-heusler", {"A": a, "B": b, "X": x})
    # Heusler: 22 to 31 electrons for X2YZ of transition metals.
    for a, b, x in itertools.product(
        ("Fe", "Co", "Ni", "Cu", "Ru", "Rh", "Pd", "Mn", "Au"),
        ("Sc", "Ti", "Zr", "Hf", "V", "Nb", "Ta", "Cr", "Mn", "Fe", "Li", "Mg", "Er", "Y"),
        ("Al", "Ga", "In", "Si", "Ge", "Sn", "Sb"),
    ):
        if 22 <= 2 * ELECTRONS[a] + electrons(b, x) <= 31:
            yield Decoration("heusler", {"A": a, "B": b, "X": x})
            if ELECTRONS[a] < ELECTRONS[b]:
                yield Decoration("inverse-heusler", {"A": a, "B": b, "X": x})
    for b, x in itertools.product(
        ("Mg", "Zn", "Cd", "Cu", "Ag", "Au", "Pd", "Al", "Ca", "Na"),
        ("Si", "Ge", "Sn", "Pb", "In", "Tl", "Sb", "Bi", "Ga", "Al"),
    ):
        yield Decoration("heusler", {"A": "Li", "B": b, "X": x})
    yield from _layered_metals()


def _layered_metals() -> Iterator[Decoration]:
    divalent, trivalent = ("Ca", "Sr", "Ba", "Eu", "Yb"), ("Y", "La", "Ce", "Nd", "Gd", "Er")
    silicides = itertools.product(
        (*trivalent, "Ca", "Sr"), ("Mn", "Fe", "Co", "Ni", "Cu", "Ru", "Rh", "Pd", "Ag", "Pt", "Cr", "Ir"), ("Si", "Ge")
    )
    arsenides = itertools.product(
        (*divalent, "La", "K"), ("Cr", "Mn", "Fe", "Co", "Ni", "Ru", "Rh", "Pd", "Zn", "Ir"), ("P", "As")
    )
    sulfides = itertools.product(("K", "Rb", "Cs", "Tl"), ("Fe", "Co", "Ni", "Cu"), ("S", "Se"))
    borides = itertools.product(trivalent, ("Co", "Fe", "Ni", "Rh"), ("B",))
    aluminides = itertools.product(("Ca", "Sr", "Ba", "La"), ("Al", "Ga", "Zn"), ("Ge", "Si"))
    for a, b, x in itertools.chain(silicides, arsenides, sulfides, borides, aluminides):
        yield Decoration("thorium-chromium-silicide", {"A": a, "B": b, "X": x})
    for a, b, x in itertools.product(("Mg", *divalent), ("Mg", "Mn", "Zn", "Cd"), ("N", "P", "As", "Sb", "Bi")):
        yield Decoration("calcium-aluminium-silicide", {"A": a, "B": b, "X": x})
    for a, b, x in itertools.product((*divalent, "Y", "Gd"), ("Al", "Ga"), ("Si", "Ge")):
        yield Decoration("calcium-aluminium-silicide", {"A": a, "B": b, "X": x})
    # LiFeAs and ZrSiS are variants of PbFCl: the small atom (role B) fills a flat square net.
    for x, b, a in itertools.product(("Li", "Na", "K"), ("Mn", "Fe", "Co", "Zn", "Mg", "Cd"), ("P", "As", "Sb", "Bi")):
        yield Decoration("lead-fluoride-chloride", {"A": a, "B": b, "X": x})
    for a, b, x in itertools.product(
        ("Zr", "Hf", "Nb", "Ta", "La", "Ce", "Gd"), ("Si", "Ge", "Sn", "As", "Sb"), ("S", "Se", "Te")
    ):
        yield Decoration("lead-fluoride-chloride", {"A": a, "B": b, "X": x})
    for a, b, x in itertools.product(
        (*divalent, *trivalent), ("Cu", "Ag", "Au", "Zn", "Li", "Ni", "Pd", "Pt"), ("P", "As", "Sb", "Si", "Ge", "Sn")
    ):
        charge = (2 if a in divalent else 3) + {"Cu": 1, "Ag": 1, "Au": 1, "Li": 1, "Zn": 2}.get(b, 0)
        if charge == (3 if x in ("P", "As", "Sb") else 4):
            yield Decoration("zirconium-beryllium-silicide", {"A": a, "B": b, "X": x})
            yield Decoration("lithium-gallium-germanide", {"A": a, "B": b, "X": x})
            yield Decoration("ordered-aluminium-boride", {"A": a, "B": b, "X": x})
