"""Textbook structure types of at most six atoms in the primitive cell, and their cells from radii.

Coordinates are Wyckoff positions of the conventional cell in the standard setting (origin choice 1 where there are
two), with free parameters at their textbook values; the potential relaxes them. Sources: Wyckoff, Crystal
Structures; Villars & Calvert, Pearson's Handbook; the Strukturbericht names are given where they exist.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core import Structure

Site = tuple[str, float, float, float]
THIRD, SIXTH = 1 / 3, 1 / 6


@dataclass(frozen=True)
class StructureType:
    """One structure type.

    Attributes:
        name: what the ids of its crystals begin with.
        group: number of its space group.
        sites: (role, x, y, z), one per Wyckoff position; the role is what a decoration replaces by an element.
        c_over_a, b_over_a: shape of the conventional cell; groups 143…194 are hexagonal.
        bonds: pairs of roles whose closest contacts are sums of radii when radii are given.
        openness: volume relative to the sum of the elements' volumes when they are not.
    """

    name: str
    group: int
    sites: tuple[Site, ...]
    c_over_a: float = 1.0
    b_over_a: float = 1.0
    bonds: tuple[str, ...] = ("AX",)
    openness: float = 1.0

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles, in alphabetical order."""
        return tuple(sorted({site[0] for site in self.sites}))

    def build(
        self, elements: Mapping[str, str], *, volumes: Mapping[str, float], radii: Mapping[str, float] | None = None
    ) -> "Structure":
        """The primitive cell with elements in their places.

        Args:
            elements: element symbol of every role.
            volumes: Å³ per atom of every role; used unless radii are given.
            radii: Å of every role in the type's bonds; the tightest bond sets the cell.
        """
        from pymatgen.core import Lattice, Structure

        cell = _primitive(self)
        if radii:
            scale = max((radii[bond[0]] + radii[bond[1]]) / cell.closest[bond] for bond in self.bonds)
        else:
            wanted = self.openness * sum(volumes[role] for role in cell.roles)
            scale = (wanted / abs(np.linalg.det(cell.lattice))) ** (1 / 3)
        return Structure(Lattice(cell.lattice * scale), [elements[role] for role in cell.roles], cell.frac_coords)


@dataclass(frozen=True, eq=False)
class _Cell:
    """A primitive cell of any size: lattice (3, 3), frac_coords (n_atoms, 3), and the closest distance of each bond."""

    lattice: np.ndarray
    frac_coords: np.ndarray
    roles: tuple[str, ...]
    closest: dict[str, float]


@functools.cache
def _primitive(kind: StructureType) -> _Cell:
    from pymatgen.core import Lattice, Structure

    hexagonal = 143 <= kind.group <= 194
    # An edge of 10 Å keeps the tolerances of distance meaningful; whoever uses the cell rescales it.
    lattice = Lattice.from_parameters(10, 10 * kind.b_over_a, 10 * kind.c_over_a, 90, 90, 120 if hexagonal else 90)
    roles = [site[0] for site in kind.sites]
    stand_ins = {"A": "Na", "B": "Mg", "X": "Cl"}
    structure = Structure.from_spacegroup(
        kind.group, lattice, [stand_ins[role] for role in roles], [site[1:] for site in kind.sites]
    ).get_primitive_structure(tolerance=0.01)
    names = {symbol: role for role, symbol in stand_ins.items()}
    found = tuple(names[site.specie.symbol] for site in structure)
    centers, neighbors, _, distances = structure.get_neighbor_list(12.0)
    pairs = [found[i] + found[j] for i, j in zip(centers, neighbors, strict=True)]
    closest = {bond: min(d for pair, d in zip(pairs, distances, strict=True) if pair == bond) for bond in set(pairs)}
    return _Cell(np.array(structure.lattice.matrix), np.array(structure.frac_coords), found, closest)


def _types(*types: StructureType) -> dict[str, StructureType]:
    return {kind.name: kind for kind in types}


ELEMENTS = _types(
    StructureType("fcc", 225, (("A", 0, 0, 0),)),  # A1
    StructureType("bcc", 229, (("A", 0, 0, 0),)),  # A2
    StructureType("hcp", 194, (("A", THIRD, 2 / 3, 0.25),), c_over_a=1.62),  # A3
    StructureType("dhcp", 194, (("A", 0, 0, 0), ("A", THIRD, 2 / 3, 0.25)), c_over_a=3.23),  # A3'
    StructureType("samarium", 166, (("A", 0, 0, 0), ("A", 0, 0, 0.2222)), c_over_a=7.25),
    StructureType("diamond", 227, (("A", 0, 0, 0),), openness=1.1),  # A4
    StructureType("beta-tin", 141, (("A", 0, 0, 0),), c_over_a=0.546),  # A5
    StructureType("indium", 139, (("A", 0, 0, 0),), c_over_a=1.52),  # A6
    StructureType("arsenic", 166, (("A", 0, 0, 0.23),), c_over_a=2.65, openness=1.1),  # A7
    StructureType("selenium", 152, (("A", 0.24, 0, THIRD),), c_over_a=1.2, openness=1.3),  # A8
    StructureType("graphite", 194, (("A", 0, 0, 0.25), ("A", THIRD, 2 / 3, 0.25)), c_over_a=2.72, openness=1.0),  # A9
    StructureType("mercury", 166, (("A", 0, 0, 0),), c_over_a=1.93),  # A10
    StructureType("gallium", 64, (("A", 0, 0.155, 0.081),), b_over_a=1.695, c_over_a=1.0),  # A11
    StructureType("iodine", 64, (("A", 0, 0.154, 0.117),), b_over_a=0.66, c_over_a=1.35, openness=1.8),  # A14
    StructureType("black-phosphorus", 64, (("A", 0, 0.102, 0.081),), b_over_a=3.162, c_over_a=1.321, openness=1.2),
    StructureType("simple-hexagonal", 191, (("A", 0, 0, 0),), c_over_a=0.93),
)

BINARY = _types(
    StructureType("rocksalt", 225, (("A", 0, 0, 0), ("X", 0.5, 0.5, 0.5))),  # B1
    StructureType("cscl", 221, (("A", 0, 0, 0), ("X", 0.5, 0.5, 0.5))),  # B2
    StructureType("zincblende", 216, (("A", 0, 0, 0), ("X", 0.25, 0.25, 0.25)), openness=1.3),  # B3
    StructureType("wurtzite", 186, (("A", THIRD, 2 / 3, 0), ("X", THIRD, 2 / 3, 0.375)), c_over_a=1.633, openness=1.3),
    StructureType("nias", 194, (("A", 0, 0, 0), ("X", THIRD, 2 / 3, 0.25)), c_over_a=1.5),  # B8_1
    StructureType("boron-nitride", 194, (("A", THIRD, 2 / 3, 0.25), ("X", THIRD, 2 / 3, 0.75)), c_over_a=2.6),  # B_k
    StructureType("tungsten-carbide", 187, (("A", 0, 0, 0), ("X", THIRD, 2 / 3, 0.5)), c_over_a=0.976),  # B_h
    StructureType("litharge", 129, (("X", 0, 0, 0), ("A", 0, 0.5, 0.2345)), c_over_a=1.264),  # B10
    StructureType("cooperite", 131, (("A", 0, 0.5, 0), ("X", 0, 0, 0.25)), c_over_a=1.76),  # B17
    StructureType("chromium-boride", 63, (("A", 0, 0.146, 0.25), ("X", 0, 0.44, 0.25)), b_over_a=2.6, c_over_a=1.0),
    StructureType("l1_0", 123, (("A", 0, 0, 0), ("X", 0.5, 0.5, 0.5)), c_over_a=1.35),  # primitive tetragonal axes
    StructureType("niobium-monoxide", 221, (("A", 0, 0.5, 0.5), ("X", 0.5, 0, 0))),
    StructureType("fluorite", 225, (("A", 0, 0, 0), ("X", 0.25, 0.25, 0.25))),  # C1
    StructureType("antifluorite", 225, (("X", 0, 0, 0), ("A", 0.25, 0.25, 0.25))),
    StructureType("cuprite", 224, (("X", 0, 0, 0), ("A", 0.25, 0.25, 0.25))),  # C3
    StructureType("rutile", 136, (("A", 0, 0, 0), ("X", 0.305, 0.305, 0)), c_over_a=0.65),  # C4
    StructureType("anatase", 141, (("A", 0, 0, 0), ("X", 0, 0, 0.208)), c_over_a=2.51),  # C5
    StructureType("cadmium-iodide", 164, (("A", 0, 0, 0), ("X", THIRD, 2 / 3, 0.25)), c_over_a=1.6),  # C6
    StructureType("cadmium-chloride", 166, (("A", 0, 0, 0), ("X", 0, 0, 0.253)), c_over_a=4.6),  # C19
    StructureType("molybdenite", 194, (("A", THIRD, 2 / 3, 0.25), ("X", THIRD, 2 / 3, 0.62)), c_over_a=3.9),  # C7
    StructureType("calcium-carbide", 139, (("A", 0, 0, 0), ("X", 0, 0, 0.4)), c_over_a=1.6),  # C11a
    StructureType("molybdenum-silicide", 139, (("A", 0, 0, 0), ("X", 0, 0, THIRD)), c_over_a=2.45),  # C11b
    StructureType("laves-c15", 227, (("A", 0, 0, 0), ("X", 0.625, 0.625, 0.625)), openness=0.93),
    StructureType("copper-aluminide", 140, (("A", 0, 0, 0.25), ("X", 0.158, 0.658, 0)), c_over_a=0.8),  # C16
    StructureType("marcasite", 58, (("A", 0, 0, 0), ("X", 0.19, 0.37, 0)), b_over_a=1.22, c_over_a=0.75),  # C18
    StructureType("aluminium-boride", 191, (("A", 0, 0, 0), ("X", THIRD, 2 / 3, 0.5)), c_over_a=1.08),  # C32
    StructureType("calcium-indide", 194, (("A", 0, 0, 0.25), ("X", THIRD, 2 / 3, 0.455)), c_over_a=1.58),
    StructureType("thorium-silicide", 141, (("A", 0, 0, 0), ("X", 0, 0, 0.416)), c_over_a=3.4),  # C_c
    StructureType("copper-antimonide", 129, (("X", 0, 0.5, 0.7), ("A", 0, 0, 0), ("A", 0, 0.5, 0.27)), c_over_a=1.52),
    StructureType("l1_2", 221, (("X", 0, 0, 0), ("A", 0, 0.5, 0.5))),
    StructureType("d0_3", 225, (("X", 0, 0, 0), ("A", 0.5, 0.5, 0.5), ("A", 0.25, 0.25, 0.25))),
    StructureType("d0_22", 139, (("X", 0, 0, 0), ("A", 0, 0, 0.5), ("A", 0, 0.5, 0.25)), c_over_a=2.1),
    StructureType("rhenium-trioxide", 221, (("A", 0, 0, 0), ("X", 0.5, 0, 0))),  # D0_9
    StructureType("anti-rhenium-trioxide", 221, (("X", 0, 0, 0), ("A", 0.5, 0, 0))),
    StructureType("lithium-nitride", 191, (("X", 0, 0, 0), ("A", THIRD, 2 / 3, 0), ("A", 0, 0, 0.5)), c_over_a=1.06),
    StructureType(
        "lanthanum-oxide", 164, (("A", THIRD, 2 / 3, 0.245), ("X", 0, 0, 0), ("X", THIRD, 2 / 3, 0.645)), c_over_a=1.56
    ),  # D5_2
    StructureType("tetradymite", 166, (("A", 0, 0, 0.4), ("X", 0, 0, 0), ("X", 0, 0, 0.21)), c_over_a=6.9),
    StructureType(
        "calcium-copper-5", 191, (("A", 0, 0, 0), ("X", THIRD, 2 / 3, 0), ("X", 0.5, 0, 0.5)), c_over_a=0.8
    ),  # D2_d
    StructureType("barium-aluminide-4", 139, (("A", 0, 0, 0), ("X", 0, 0.5, 0.25), ("X", 0, 0, 0.38)), c_over_a=2.47),
    StructureType("iron-nitride-4", 221, (("A", 0, 0, 0), ("A", 0, 0.5, 0.5), ("X", 0.5, 0.5, 0.5))),
    StructureType(
        "gold-beryllium-5", 216, (("A", 0, 0, 0), ("X", 0.25, 0.25, 0.25), ("X", 0.625, 0.625, 0.625)), openness=0.95
    ),
)

TERNARY = _types(
    StructureType("perovskite", 221, (("A", 0, 0, 0), ("B", 0.5, 0.5, 0.5), ("X", 0.5, 0.5, 0)), bonds=("AX", "BX")),
    StructureType("antiperovskite", 221, (("B", 0, 0, 0), ("X", 0.5, 0.5, 0.5), ("A", 0.5, 0.5, 0)), bonds=("AX",)),
    StructureType("half-heusler", 216, (("A", 0, 0, 0), ("B", 0.25, 0.25, 0.25), ("X", 0.5, 0.5, 0.5)), openness=1.15),
    StructureType("heusler", 225, (("A", 0.25, 0.25, 0.25), ("B", 0, 0, 0), ("X", 0.5, 0.5, 0.5)), openness=0.98),
    StructureType(
        "inverse-heusler",
        216,
        (("A", 0, 0, 0), ("A", 0.75, 0.75, 0.75), ("B", 0.25, 0.25, 0.25), ("X", 0.5, 0.5, 0.5)),
        openness=0.98,
    ),
    StructureType(
        "alpha-nafeo2", 166, (("A", 0, 0, 0.5), ("B", 0, 0, 0), ("X", 0, 0, 0.26)), c_over_a=5.0, bonds=("AX", "BX")
    ),
    StructureType(
        "delafossite", 166, (("A", 0, 0, 0), ("B", 0, 0, 0.5), ("X", 0, 0, 0.11)), c_over_a=5.6, bonds=("AX", "BX")
    ),
    StructureType(
        "thorium-chromium-silicide", 139, (("A", 0, 0, 0), ("B", 0, 0.5, 0.25), ("X", 0, 0, 0.37)), c_over_a=2.6
    ),
    StructureType(
        "lead-fluoride-chloride",
        129,
        (("A", 0, 0.5, 0.2), ("B", 0, 0, 0), ("X", 0, 0.5, 0.65)),
        c_over_a=1.76,
        bonds=("AB", "AX"),
    ),
    StructureType(
        "calcium-aluminium-silicide",
        164,
        (("A", 0, 0, 0), ("B", THIRD, 2 / 3, 0.63), ("X", THIRD, 2 / 3, 0.26)),
        c_over_a=1.65,
        openness=1.1,
    ),
    StructureType(
        "lanthanum-oxysulfide",
        164,
        (("A", THIRD, 2 / 3, 0.28), ("B", THIRD, 2 / 3, 0.63), ("X", 0, 0, 0)),
        c_over_a=1.7,
        bonds=("AB", "AX"),
    ),
    StructureType(
        "infinite-layer",
        123,
        (("A", 0.5, 0.5, 0.5), ("B", 0, 0, 0), ("X", 0.5, 0, 0)),
        c_over_a=0.87,
        bonds=("AX", "BX"),
    ),
    StructureType(
        "ordered-aluminium-boride",
        187,
        (("A", 0, 0, 0), ("B", THIRD, 2 / 3, 0.5), ("X", 2 / 3, THIRD, 0.5)),
        c_over_a=1.1,
    ),
    StructureType(
        "zirconium-beryllium-silicide",
        194,
        (("A", 0, 0, 0), ("B", THIRD, 2 / 3, 0.75), ("X", THIRD, 2 / 3, 0.25)),
        c_over_a=1.9,
        openness=1.05,
    ),
    StructureType(
        "lithium-gallium-germanide",
        186,
        (("A", 0, 0, 0.25), ("B", THIRD, 2 / 3, 0.0), ("X", THIRD, 2 / 3, 0.39)),
        c_over_a=1.6,
        openness=1.15,
    ),
)

MOLECULAR = _types(
    *(
        # Dimers standing on a rhombohedral lattice, as in beta-oxygen; the bond differs from element to element.
        StructureType(f"dimers-{symbol}", 166, (("A", 0, 0, bond / 2 / c),), c_over_a=c / a, bonds=("AA",))
        for symbol, a, c, bond in (
            ("H", 3.75, 9.2, 0.75),
            ("N", 3.8, 10.5, 1.11),
            ("O", 3.3, 11.3, 1.23),
            ("F", 3.4, 9.9, 1.43),
            ("Cl", 4.3, 12.0, 2.0),
            ("Br", 4.6, 12.9, 2.32),
        )
    ),
)
STRUCTURE_TYPES: dict[str, StructureType] = {**ELEMENTS, **BINARY, **TERNARY, **MOLECULAR}
