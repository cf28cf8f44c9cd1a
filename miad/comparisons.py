"""Comparisons of reduced cells of one composition: StructureMatcher's verdicts, each sought once."""

from collections.abc import Sequence

import numpy as np

from miad.crystal import Crystal
from miad.reduced import matcher

UNKNOWN, NO, MAYBE, YES = -1, 0, 1, 2  # MAYBE: the screen did not rule it out


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

    def __init__(self, cells: list[Crystal], is_screened: bool) -> None:
        """Nothing compared yet.

        Args:
            cells: all with the same atoms.
            is_screened: whether to rule out what cannot match (miad.screening) before asking StructureMatcher.
        """
        self.cells = cells
        self._known = np.full((len(cells), len(cells)), UNKNOWN, dtype=np.int8)
        self._screen = None
        if is_screened and len(cells) > 1:
            from miad.screening import Screen

            self._screen = Screen.of(cells)

    def first_match(self, match: str, first: Sequence[int], second: int) -> int | None:
        """The first of the cells `first` that is the same as `second`, in `either` direction or `forward` only."""
        possible = self.candidates(match, first, second)
        return next((int(one) for one in possible if self.is_match(match, one, second)), None)

    def candidates(self, match: str, first: Sequence[int], second: int) -> np.ndarray:
        """Those of the cells `first`, in their order, that could be the same as `second`."""
        rows, one = np.asarray(first, dtype=int), np.array([second])
        if self._screen is None or not len(rows):
            return rows
        could = self._look(rows, one)[:, 0] != NO
        if match == "either":
            could |= self._look(one, rows)[0] != NO
        return rows[could]

    def is_match(self, match: str, first: int, second: int) -> bool:
        """Whether two cells are the same, in `either` direction or `forward` only."""
        return self._fits(first, second) or (match == "either" and self._fits(second, first))

    def _look(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """What is known of these pairs after screening them; on many cells and one it costs little more than on two."""
        block = self._known[np.ix_(first, second)]
        if (block == UNKNOWN).any():
            found = np.where(self._screen.could_match(first, second), MAYBE, NO)
            block = np.where(block == UNKNOWN, found, block)
            self._known[np.ix_(first, second)] = block
        return block

    def _fits(self, first: int, second: int) -> bool:
        if self._known[first, second] in (UNKNOWN, MAYBE):
            self._known[first, second] = YES if fits(self.cells[first], self.cells[second]) else NO
        return bool(self._known[first, second] == YES)
