"""Comparisons of reduced cells of one composition by StructureMatcher, each made once, most ruled out beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from miad.core.crystal import Crystal
from miad.sun.matching.reduced import matcher

UNKNOWN, NO, MAYBE, YES = -1, 0, 1, 2  # MAYBE: the screen did not rule it out


def fits(first: Crystal, second: Crystal) -> bool:
    """`StructureMatcher().fit` of two reduced crystals of equal reduced formula."""
    if first.num_atoms != second.num_atoms:
        return False  # without supercells StructureMatcher matches only cells of as many sites
    return bool(matcher().fit(first.structure, second.structure, skip_structure_reduction=True))


@dataclass(frozen=True)
class Screen:
    """Reduced cells of the same atoms as arrays, to rule out pairs that cannot match.

    Attributes:
        lattices: (n_cells, 3, 3) scaled to 1 Å³ per atom, rows are vectors.
        coords: (n_cells, n_atoms, 3) fractional, sites sorted by element, the rarest first.
        anchors: (n_cells,) the site that StructureMatcher shifts: the first one of the rarest element.
        blocks: (n_elements + 1,) where each element begins among the sites.
    """

    lattices: np.ndarray
    coords: np.ndarray
    anchors: np.ndarray
    blocks: np.ndarray

    @classmethod
    def of(cls, cells: list[Crystal]) -> "Screen":
        """Sort and scale cells."""
        elements, counts = np.unique(cells[0].atomic_numbers, return_counts=True)
        # The rarest element comes first: its sites tell most cells apart.
        order = np.argsort(counts, kind="stable")
        rank = {int(elements[place]): number for number, place in enumerate(order)}
        ranks = [np.array([rank[z] for z in cell.atomic_numbers.tolist()]) for cell in cells]
        orders = [np.argsort(one, kind="stable") for one in ranks]
        # StructureMatcher takes the first site of the least common element, in the order of the reduced cell.
        rarity = counts[order]
        rarest = [int(np.argmin(rarity[one])) for one in ranks]
        return cls(
            np.array([cell.lattice * (cell.num_atoms / cell.volume) ** (1 / 3) for cell in cells]),
            np.array([cell.frac_coords[order] for cell, order in zip(cells, orders, strict=True)]),
            np.array([np.flatnonzero(order == one)[0] for order, one in zip(orders, rarest, strict=True)]),
            np.concatenate([[0], np.cumsum(rarity)]),
        )

    def could_match(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Whether `StructureMatcher.fit` of cells with these numbers could be true, (n_first, n_second)."""
        from miad.sun.matching.screen import could_match  # compiled, or loaded, when first needed

        limits = (matcher().ltol, matcher().stol, matcher().angle_tol)
        seconds = (self.lattices[second], self.coords[second], self.anchors[second])
        return could_match(self.lattices[first], self.coords[first], *seconds, self.blocks, limits)


class Comparisons:
    """Comparisons of reduced cells of one composition, each made once, whichever rule asks."""

    def __init__(self, cells: list[Crystal], is_screened: bool) -> None:
        """Cells with the same atoms; if screened, `Screen` rules out what StructureMatcher need not see."""
        self.cells = cells
        self._known = np.full((len(cells), len(cells)), UNKNOWN, dtype=np.int8)
        self._screen = Screen.of(cells) if is_screened and len(cells) > 1 else None

    def first_match(self, match: str, first: Sequence[int] | np.ndarray, second: int) -> int | None:
        """The first of the cells `first` that is the same as `second`, in `either` direction or `forward` only."""
        possible = self.candidates(match, first, second)
        return next((int(one) for one in possible if self.is_match(match, one, second)), None)

    def candidates(self, match: str, first: Sequence[int] | np.ndarray, second: int) -> np.ndarray:
        """Those of the cells `first`, in their order, that could be the same as `second`."""
        rows, one = np.asarray(first, dtype=int), np.array([second])
        if self._screen is None or not len(rows):
            return rows
        could = self._look(self._screen, rows, one)[:, 0] != NO
        if match == "either":
            could |= self._look(self._screen, one, rows)[0] != NO
        return rows[could]

    def is_match(self, match: str, first: int, second: int) -> bool:
        """Whether two cells are the same, in `either` direction or `forward` only."""
        return self._fits(first, second) or (match == "either" and self._fits(second, first))

    def _look(self, screen: Screen, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """State of these pairs after screening, (n_first, n_second)."""
        block = self._known[np.ix_(first, second)]
        is_unknown = block == UNKNOWN
        if is_unknown.any():
            rows, columns = np.flatnonzero(is_unknown.any(axis=1)), np.flatnonzero(is_unknown.any(axis=0))
            could = screen.could_match(first[rows], second[columns])
            part = np.ix_(rows, columns)
            block[part] = np.where(is_unknown[part], np.where(could, MAYBE, NO), block[part])
            self._known[np.ix_(first, second)] = block
        return block

    def _fits(self, first: int, second: int) -> bool:
        if self._known[first, second] in (UNKNOWN, MAYBE):
            self._known[first, second] = YES if fits(self.cells[first], self.cells[second]) else NO
        return bool(self._known[first, second] == YES)
