"""Comparisons of reduced cells of one composition: StructureMatcher's verdicts, each sought once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from miad.crystal import Crystal
from miad.reduced import matcher
from miad.screening import NO, OPEN, YES

UNKNOWN = -1  # a pair that nobody asked about yet; the others are NO, OPEN and YES


def fits(first: Crystal, second: Crystal) -> bool:
    """`StructureMatcher().fit` of two reduced crystals of equal reduced formula."""
    if first.num_atoms != second.num_atoms:
        return False  # without supercells StructureMatcher matches only cells of as many sites
    judge = matcher()
    pair = judge._preprocess(first.structure, second.structure, skip_structure_reduction=True)
    match = judge._match(*pair, break_on_match=True)
    return match is not None and bool(match[0] <= judge.stol)


class Comparisons:
    """Comparisons of reduced cells of one composition, each made once, whichever rule asks."""

    def __init__(self, cells: list[Crystal], is_compiled: bool) -> None:
        """Nothing compared yet.

        Args:
            cells: all with the same atoms.
            is_compiled: whether to ask the compiled verdicts first, and StructureMatcher only where they are open.
        """
        self.cells = cells
        self._known = np.full((len(cells), len(cells)), UNKNOWN, dtype=np.int8)
        self._stack = Stack.of(cells) if is_compiled else None

    def first_match(self, match: str, first: Sequence[int], second: int) -> int | None:
        """The first of the cells `first` that is the same as `second`, in `either` direction or `forward` only."""
        self.ask(match, first, second)
        return next((one for one in first if self.is_match(match, one, second)), None)

    def is_match(self, match: str, first: int, second: int) -> bool:
        """Whether two cells are the same, in `either` direction or `forward` only."""
        return self._fits(first, second) or (match == "either" and self._fits(second, first))

    def ask(self, match: str, first: Sequence[int], second: int) -> None:
        """Note the compiled verdicts on many cells and one, which costs little more than those on two."""
        if self._stack is None or not len(first):
            return
        rows, one = np.asarray(first), np.array([second])
        for here, there in ((rows, one), (one, rows)) if match == "either" else ((rows, one),):
            block = self._known[np.ix_(here, there)]
            if (block == UNKNOWN).any():
                found = self._stack.verdicts(here, there)
                self._known[np.ix_(here, there)] = np.where(block == UNKNOWN, found, block)

    def _fits(self, first: int, second: int) -> bool:
        if self._known[first, second] in (UNKNOWN, OPEN):
            self._known[first, second] = YES if fits(self.cells[first], self.cells[second]) else NO
        return bool(self._known[first, second] == YES)


@dataclass(frozen=True)
class Stack:
    """Cells of one composition as arrays for the compiled verdicts.

    Attributes:
        lattices: (n_cells, 3, 3) scaled to 1 Å³ per atom.
        coords: (n_cells, n_atoms, 3) fractional, sites sorted by element.
        anchors: (n_cells,) the site that StructureMatcher shifts: the first one of the rarest element.
        blocks: (n_elements + 1,) where each element begins.
    """

    lattices: np.ndarray
    coords: np.ndarray
    anchors: np.ndarray
    blocks: np.ndarray

    @classmethod
    def of(cls, cells: list[Crystal]) -> "Stack":
        """Sort and scale cells."""
        elements, counts = np.unique(cells[0].atomic_numbers, return_counts=True)
        rarity = dict(zip(elements.tolist(), counts.tolist(), strict=True))
        orders = [np.argsort(cell.atomic_numbers, kind="stable") for cell in cells]
        # StructureMatcher takes the first site of the least common element, in the order of the reduced cell.
        rarest = [int(np.argmin([rarity[z] for z in cell.atomic_numbers.tolist()])) for cell in cells]
        return cls(
            np.array([cell.lattice * (cell.num_atoms / cell.volume) ** (1 / 3) for cell in cells]),
            np.array([cell.frac_coords[order] for cell, order in zip(cells, orders, strict=True)]),
            np.array([np.flatnonzero(order == one)[0] for order, one in zip(orders, rarest, strict=True)]),
            np.concatenate([[0], np.cumsum(counts)]),
        )

    def verdicts(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """NO, YES or OPEN for each pair of cells given by their numbers, (n_first, n_second)."""
        from miad.screening.pairs import verdicts

        judge = matcher()
        return verdicts(
            self.lattices[first],
            self.coords[first],
            self.lattices[second],
            self.coords[second],
            self.anchors[second],
            self.blocks,
            judge.ltol,
            judge.stol,
            judge.angle_tol,
        )
