"""Comparisons as MatterGen makes them by default: elements that can replace each other may be swapped.

Of two crystals of equal reduced formula that StructureMatcher tells apart, the first is made a random alloy: elements
of similar radius and electronegativity (a modified Hume-Rothery rule) share their sites in the ratio of the formula.
It is the same as the second if that one is an ordering of the alloy.

Source: Zeni et al., Nature 639, 624 (2025); `DefaultDisorderedStructureMatcher` of the package mattergen 1.0.3.
"""

import itertools
from functools import cache
from typing import TYPE_CHECKING

from miad.core.crystal import Crystal
from miad.sun.matching.comparisons import Comparisons, fits

if TYPE_CHECKING:
    from pymatgen.core import Element, Structure
    from pymatgen.core.structure_matcher import StructureMatcher

MAX_RADIUS_DIFFERENCE = 0.3  # of the mean of two atomic radii
MAX_ELECTRONEGATIVITY_DIFFERENCE = 1.0  # Pauling's scale


class DisorderedComparisons(Comparisons):
    """Comparisons of reduced cells of one reduced formula; the alloy may have a smaller cell than its orderings."""

    def __init__(self, cells: list[Crystal]) -> None:
        """Cells of any number of atoms."""
        super().__init__(cells, is_screened=False)
        self._alloys: dict[int, Structure | None] = {}

    def _ask(self, first: int, second: int, is_rms: bool) -> bool:
        one, other = self.cells[first], self.cells[second]
        if fits(one, other):
            return True
        if first not in self._alloys:
            self._alloys[first] = alloy(one)
        mixed = self._alloys[first]
        return mixed is not None and bool(_matcher().fit(mixed, other.structure, skip_structure_reduction=True))


def alloy(crystal: Crystal) -> "Structure | None":
    """The reduced cell of a crystal with replaceable elements spread over their sites; None if it has none."""
    structure = crystal.structure
    groups: list[set] = []
    for pair in itertools.combinations(structure.composition, 2):
        if is_replaceable(*pair):
            joined = set(pair).union(*(group for group in groups if not group.isdisjoint(pair)))
            groups = [*(group for group in groups if group.isdisjoint(pair)), joined]
    if not groups:
        return None
    for elements in groups:
        shares = {element: structure.composition[element] for element in elements}
        total = sum(shares.values())
        mixture = {element: share / total for element, share in shares.items()}
        structure.replace_species(dict.fromkeys(elements, mixture))
    return structure.get_reduced_structure("niggli").get_primitive_structure()


def is_replaceable(one: "Element", other: "Element") -> bool:
    """Whether two elements can replace each other in an alloy; false if a radius or electronegativity is unknown."""
    radius, other_radius = one.atomic_radius, other.atomic_radius
    if radius is None or other_radius is None:
        return False
    difference = abs(radius - other_radius) / ((radius + other_radius) / 2)
    return difference <= MAX_RADIUS_DIFFERENCE and abs(one.X - other.X) <= MAX_ELECTRONEGATIVITY_DIFFERENCE


@cache
def _matcher() -> "StructureMatcher":
    from pymatgen.core.structure_matcher import OrderDisorderElementComparator, StructureMatcher

    return StructureMatcher(
        comparator=OrderDisorderElementComparator(), attempt_supercell=True, allow_subset=True, primitive_cell=True
    )
