"""Salts: charges that balance, ratios of radii and tolerance factors in windows a little wider than Pauling's.

Those of two elements follow from salt_rules.csv: charges, limits of the ratio of radii A/X, structure types.
"""

import itertools
from collections.abc import Iterator

from miad.prototypes.properties import ANIONS, CATIONS, rows
from miad.prototypes.structures import Decoration, combine

ALKALI = ("Li", "Na", "K", "Rb", "Cs")
ALKALINE_EARTH = ("Mg", "Ca", "Sr", "Ba")
Ion = tuple[str, float]  # element symbol, radius in Å

# Anions of marcasite are pairs, which are smaller than two single ones.
PAIRED = {symbol: ANIONS[charge][symbol] - 0.15 for charge in (2, 3) for symbol in ANIONS[charge]}
SMALL_IONS = {"O": 1.38, "F": 1.31, "H": 1.35}  # Å, in role B of PbFCl and La2O2S


def salt(kind: str, **ions: Ion) -> Decoration:
    """A decoration by ions, (element symbol, radius in Å) by role."""
    elements = {role: symbol for role, (symbol, _) in ions.items()}
    return Decoration(kind, elements, {role: radius for role, (_, radius) in ions.items()})


def binary() -> Iterator[Decoration]:
    """Salts of two elements."""
    for rule in rows("salt_rules.csv"):
        q_plus, q_minus = int(rule["charge_a"]), int(rule["charge_x"])
        low, high = float(rule["min_ratio"] or 0), float(rule["max_ratio"] or "inf")
        for cation, anion in itertools.product(CATIONS[q_plus].items(), ANIONS[q_minus].items()):
            if low <= cation[1] / anion[1] <= high:
                for kind in rule["structure_types"].split():
                    # In BiF3 the anions are the majority, role A of this type.
                    is_swapped = kind == "d0_3" and q_plus == 3
                    yield salt(kind, A=anion, X=cation) if is_swapped else salt(kind, A=cation, X=anion)
    for a, x in combine("Mn Fe Co Ni Pd Pt", "S Se Te P As Sb"):
        yield salt("marcasite", A=(a, CATIONS[2][a] + 0.1), X=(x, PAIRED[x]))


def ternary() -> Iterator[Decoration]:
    """Salts of three elements."""
    yield from _perovskites()
    yield from _layered_oxides()
    yield from _mixed_anions()
    yield from _antiperovskites()


def tolerance(r_a: float, r_b: float, r_x: float) -> float:
    """Goldschmidt's tolerance factor; the radius of A is raised from six- to twelve-fold coordination."""
    return (1.12 * r_a + r_x) / (2**0.5 * (r_b + r_x))


def _perovskites() -> Iterator[Decoration]:
    for q_a, q_b, q_x in ((1, 2, 1), (2, 4, 2), (3, 3, 2), (1, 5, 2), (2, 1, 1)):
        for (a, r_a), (b, r_b), (x, r_x) in itertools.product(
            CATIONS[q_a].items(), CATIONS[q_b].items(), ANIONS[q_x].items()
        ):
            is_salt = x != "H" or (b in (*ALKALI, *ALKALINE_EARTH, "Pd") and a in (*ALKALI, *ALKALINE_EARTH))
            if 0.82 <= tolerance(r_a, r_b, r_x) <= 1.08 and r_b / r_x > 0.3 and x != "Te" and is_salt:
                yield salt("perovskite", A=(a, 1.12 * r_a), B=(b, r_b), X=(x, r_x))


def _layered_oxides() -> Iterator[Decoration]:
    for (a, r_a), (b, r_b), (x, r_x) in itertools.product(CATIONS[1].items(), CATIONS[3].items(), ANIONS[2].items()):
        if x != "Te" and 0.3 <= r_b / r_x < 0.75 and a != "Cu":
            yield salt("alpha-nafeo2", A=(a, r_a), B=(b, r_b), X=(x, r_x))
        if x == "O" and a in ("Cu", "Ag") and b not in ("B", "Bi", "Au"):
            # Two-fold coordination on a line, with its smaller radii.
            yield salt("delafossite", A=(a, 0.46 if a == "Cu" else 0.67), B=(b, r_b), X=(x, r_x))
    for a, b in combine("Ca Sr Ba", "Fe Ni Cu Pd"):
        yield salt("infinite-layer", A=(a, CATIONS[2][a] + 0.1), B=(b, 0.6), X=("O", 1.4))


def _mixed_anions() -> Iterator[Decoration]:
    for (a, r_a), b, x in itertools.product(CATIONS[2].items(), ("F", "H"), ("Cl", "Br", "I")):
        if r_a >= 0.9:
            yield salt("lead-fluoride-chloride", A=(a, r_a), B=(b, SMALL_IONS[b]), X=(x, ANIONS[1][x]))
    for (a, r_a), x in itertools.product(CATIONS[3].items(), ("F", "Cl", "Br", "I")):
        if r_a >= 0.74:
            yield salt("lead-fluoride-chloride", A=(a, r_a), B=("O", SMALL_IONS["O"]), X=(x, ANIONS[1][x]))
    for a, x in combine("In Sc Y La Ce Nd Sm Gd Er Lu Bi", "S Se Te"):
        yield salt("lanthanum-oxysulfide", A=(a, CATIONS[3][a]), B=("O", SMALL_IONS["O"]), X=(x, ANIONS[2][x]))


def _antiperovskites() -> Iterator[Decoration]:
    # charge of A, its elements, the central anion, the large one
    for charge, metals, centers, others in (
        (1, "Li Na K Ag", "O S", "Cl Br I"),
        (2, "Mg Ca Sr Ba Eu", "N", "P As Sb Bi"),
        (2, "Ca Sr Ba Eu Yb", "O", "Si Ge Sn Pb"),
    ):
        for a, x, b in combine(metals, centers, others):
            radius = {**ANIONS[2], **ANIONS[3]}[x]
            yield Decoration("antiperovskite", {"A": a, "B": b, "X": x}, {"A": CATIONS[charge][a], "X": radius})
    for a, b, x in combine("Ti Mn Fe Co Ni Cr Sc Y La Nd Gd Er Ca Pd", "Al Ga In Ge Sn Zn Tl Pb", "C N"):
        yield Decoration("antiperovskite", {"A": a, "B": b, "X": x})
