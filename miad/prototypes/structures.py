"""Structure types of few atoms in the primitive cell, and their cells from radii or volumes.

The types stand in structure_types.csv: Wyckoff positions of the conventional cell in the standard setting (origin
choice 1 where there are two), with free parameters at their textbook values; the potential relaxes them. Sources:
Wyckoff, Crystal Structures; Villars & Calvert, Pearson's Handbook.
"""

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from miad.prototypes.properties import DIMERS, rows

if TYPE_CHECKING:
    from pymatgen.core import Structure

Site = tuple[str, float, float, float]


@dataclass(frozen=True)
class Decoration:
    """Elements in the places of a structure type, chosen by chemistry, not by stability, which the hull decides.

    Attributes:
        kind: name of the structure type.
        elements: element symbol by role.
        radii: Å by role, for salts; empty for what is packed by volume.
    """

    kind: str
    elements: dict[str, str]
    radii: dict[str, float] = field(default_factory=dict)


def combine(*groups: str) -> Iterator[tuple[str, ...]]:
    """Every choice of one symbol from each group; a group is text such as `Fe Co Ni`."""
    return itertools.product(*(group.split() for group in groups))


@dataclass(frozen=True)
class StructureType:
    """One structure type.

    Attributes:
        name: beginning of the ids of its crystals.
        group: number of its space group.
        sites: (role, x, y, z), one per Wyckoff position; a decoration puts an element in the place of each role.
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

        Its size follows from radii (Å), by the tightest of the type's bonds, else from volumes (Å³ per atom) by role.
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
    # With an edge of 10 Å the tolerances of distance make sense; `build` rescales the cell.
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


def _read_site(text: str) -> Site:
    """A site such as `X 1/3 2/3 0.25`."""
    role, x, y, z = text.split()
    return role, float(Fraction(x)), float(Fraction(y)), float(Fraction(z))


def _read_types() -> Iterator[StructureType]:
    """The types of structure_types.csv, then dimers standing on a rhombohedral lattice, as in beta-oxygen."""
    for row in rows("structure_types.csv"):
        yield StructureType(
            row["name"],
            int(row["group"]),
            tuple(_read_site(text) for text in row["sites"].split("; ")),
            float(row["c_over_a"]),
            float(row["b_over_a"]),
            tuple(row["bonds"].split()),
            float(row["openness"]),
        )
    for symbol, (length, a, c) in DIMERS.items():
        sites = (("A", 0.0, 0.0, length / 2 / c),)
        yield StructureType(f"dimers-{symbol}", 166, sites, c_over_a=c / a, bonds=("AA",))


STRUCTURE_TYPES = {kind.name: kind for kind in _read_types()}
