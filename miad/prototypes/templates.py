"""Cells of competing phases without their elements: AFLOW's prototypes, which pymatgen ships, and our structure types.

Source: Mehl et al., Computational Materials Science 136, S1 (2017), and parts 2 and 3 of that library.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miad.prototypes.structures import STRUCTURE_TYPES, StructureType

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_ATOMS = 8  # in the primitive cell
LARGER = ("A2B_hP9_152_c_a", "A2B3_hR10_167_c_e")  # α-quartz and corundum, which too many oxides have to be left out
STAND_INS = ("Na", "Mg", "Cl", "Al", "Si")  # elements in the places of roles; no two behave alike in any matcher


@dataclass(frozen=True, eq=False)
class Template:
    """A primitive cell whose sites have roles in the place of elements.

    Attributes:
        name: AFLOW's label with its usual name or first compound, or the name of the structure type.
        lattice: (3, 3), rows are vectors, of one Å³ per atom.
        frac_coords: (n_atoms, 3).
        roles: (n_atoms,) numbers 0, 1, …
        is_even: whether an exchange of two roles gives the same crystal.
    """

    name: str
    lattice: np.ndarray
    frac_coords: np.ndarray
    roles: np.ndarray
    is_even: bool = False

    @property
    def num_roles(self) -> int:
        """Number of elements."""
        return int(self.roles.max()) + 1


def of_structure(name: str, structure: "Structure") -> Template:
    """The template of a primitive cell; roles are numbered in the alphabetical order of the symbols."""
    symbols = sorted({site.specie.symbol for site in structure})
    roles = np.array([symbols.index(site.specie.symbol) for site in structure])
    lattice = structure.lattice.matrix / (structure.volume / len(structure)) ** (1 / 3)
    return Template(name, lattice, structure.frac_coords, roles, len(symbols) == 2 and _is_even(structure, symbols))


def _is_even(structure: "Structure", symbols: list[str]) -> bool:
    from pymatgen.core.structure_matcher import StructureMatcher

    if len(set(structure.composition.values())) > 1:
        return False
    other = structure.copy()
    other.replace_species({symbols[0]: symbols[1], symbols[1]: symbols[0]})
    return bool(StructureMatcher().fit(structure, other))


@functools.cache
def aflow() -> dict[str, "Structure"]:
    """{label: primitive cell} of AFLOW's prototypes; a label that several have is told apart by their compounds."""
    import pymatgen.analysis.prototypes
    from monty.serialization import loadfn

    library = loadfn(Path(pymatgen.analysis.prototypes.__file__).parent / "aflow_prototypes.json.gz")
    found = {}
    for record in library:
        structure = record["snl"].structure
        label = record["tags"]["aflow"]
        name = label if label not in found else f"{label}:{structure.composition.reduced_formula}"
        found[name] = structure.get_primitive_structure()
    return found


@functools.cache
def binary_templates() -> list[Template]:
    """The templates of two elements, each crystal once, in a fixed order."""
    chosen = {
        name: one
        for name, one in aflow().items()
        if len(one.composition) == 2 and (len(one) <= MAX_ATOMS or name in LARGER)
    }
    for name, one in _ours():
        if not any(_alike(one, other) for other in chosen.values()):
            chosen[name] = one
    return [of_structure(name, one) for name, one in chosen.items()]


def _ours() -> Iterator[tuple[str, "Structure"]]:
    for name, kind in STRUCTURE_TYPES.items():
        if len(kind.roles) == 2:
            elements = dict(zip(kind.roles, STAND_INS, strict=False))
            yield name, of_type(kind, elements)


def of_type(kind: StructureType, elements: dict[str, str]) -> "Structure":
    """A structure type with {role: element}, each role of the same volume; a template has no scale."""
    return kind.build(elements, volumes=dict.fromkeys(kind.roles, 15.0))


def _alike(one: "Structure", other: "Structure") -> bool:
    from pymatgen.core.structure_matcher import StructureMatcher

    if len(one) != len(other) or sorted(one.composition.values()) != sorted(other.composition.values()):
        return False
    return bool(StructureMatcher().fit_anonymous(one, other))
