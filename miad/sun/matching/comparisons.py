"""Comparisons of reduced cells of one composition by StructureMatcher, each made once, most ruled out beforehand."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from miad.core.crystal import Crystal
from miad.machine.pool import doing
from miad.sun.matching.reduced import matcher

UNKNOWN, NO, MAYBE, YES = -1, 0, 1, 2  # MAYBE: the screen did not rule it out


def fits(first: Crystal, second: Crystal) -> bool:
    """`StructureMatcher().fit` of two reduced crystals of equal reduced formula."""
    if first.num_atoms != second.num_atoms:
        return False  # without supercells StructureMatcher matches only cells of as many sites
    return bool(matcher().fit(first.structure, second.structure, skip_structure_reduction=True))


def has_rms(first: Crystal, second: Crystal) -> bool:
    """`StructureMatcher().get_rms_dist is not None` of two reduced crystals: their mean distance is small enough.

    `fit` asks this of the largest distance of two sites, so that it accepts less.
    """
    if first.num_atoms != second.num_atoms:
        return False
    # get_rms_dist without its reduction, which fit can leave out and get_rms_dist cannot; one match is enough. Private
    # parts of pymatgen, checked on 2026.10.24.
    one, other, size, is_first = matcher()._preprocess(first.structure, second.structure, skip_structure_reduction=True)
    return matcher()._match(one, other, size, is_first, use_rms=True, break_on_match=True) is not None


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

    def could_match(self, first: np.ndarray, second: np.ndarray, is_rms: bool = False) -> np.ndarray:
        """Whether `fits`, or `has_rms`, of cells with these numbers could be true, (n_first, n_second)."""
        from miad.sun.matching.screen import could_match  # compiled, or loaded, when first needed

        # Two of n displacements whose mean is zero and whose mean square is r² differ by sqrt(2 n) r at most, not 2 r.
        wider = max(1.0, (self.coords.shape[1] / 2) ** 0.5) if is_rms else 1.0
        limits = (matcher().ltol, matcher().stol * wider, matcher().angle_tol)
        seconds = (self.lattices[second], self.coords[second], self.anchors[second])
        return could_match(self.lattices[first], self.coords[first], *seconds, self.blocks, limits)


class Comparisons:
    """Comparisons of reduced cells of one composition, each made once, whichever rule asks.

    StructureMatcher is not symmetric. `match` is `either` (one of the two ways round is enough), `sample_first` (one
    way; which one, `is_turned` says) or `sample_first_rms` (the same by `has_rms` instead of `fits`).
    """

    def __init__(self, cells: list[Crystal], is_screened: bool) -> None:
        """Cells with the same atoms; if screened, `Screen` rules out what StructureMatcher need not see."""
        self.cells = cells
        # {whether by `has_rms`: states of all pairs}; made when a rule first asks, since few ask by `has_rms`.
        self._known: dict[bool, np.ndarray] = defaultdict(
            lambda: np.full((len(cells), len(cells)), UNKNOWN, dtype=np.int8)  # (n_cells, n_cells)
        )
        self._screen = Screen.of(cells) if is_screened and len(cells) > 1 else None

    def first_match(
        self, match: str, first: Sequence[int] | np.ndarray, second: int, is_turned: bool = False
    ) -> int | None:
        """The first of the cells `first` that is the same as `second`; if turned, `second` comes first in asking."""
        possible = self.candidates(match, first, second, is_turned)
        return next((int(one) for one in possible if self.is_match(match, one, second, is_turned)), None)

    def candidates(
        self, match: str, first: Sequence[int] | np.ndarray, second: int, is_turned: bool = False
    ) -> np.ndarray:
        """Those of the cells `first`, in their order, that could be the same as `second`."""
        doing(self.cells[second].crystal_id)
        rows, one, is_rms = np.asarray(first, dtype=int), np.array([second]), match == "sample_first_rms"
        if self._screen is None or not len(rows):
            return rows
        could = np.zeros(len(rows), dtype=bool)
        if match == "either" or not is_turned:
            could |= self._look(self._screen, rows, one, is_rms)[:, 0] != NO
        if match == "either" or is_turned:
            could |= self._look(self._screen, one, rows, is_rms)[0] != NO
        return rows[could]

    def is_match(self, match: str, first: int, second: int, is_turned: bool = False) -> bool:
        """Whether two cells are the same; if turned, the second comes first in asking."""
        if match == "either":
            return self._fits(first, second, False) or self._fits(second, first, False)
        pair = (second, first) if is_turned else (first, second)
        return self._fits(*pair, match == "sample_first_rms")

    def _look(self, screen: Screen, first: np.ndarray, second: np.ndarray, is_rms: bool) -> np.ndarray:
        """State of these pairs after screening, (n_first, n_second)."""
        known = self._known[is_rms]
        block = known[np.ix_(first, second)]
        is_unknown = block == UNKNOWN
        if is_unknown.any():
            rows, columns = np.flatnonzero(is_unknown.any(axis=1)), np.flatnonzero(is_unknown.any(axis=0))
            could = screen.could_match(first[rows], second[columns], is_rms)
            part = np.ix_(rows, columns)
            block[part] = np.where(is_unknown[part], np.where(could, MAYBE, NO), block[part])
            known[np.ix_(first, second)] = block
        return block

    def _fits(self, first: int, second: int, is_rms: bool) -> bool:
        known = self._known[is_rms]
        if known[first, second] in (UNKNOWN, MAYBE):
            doing(f"{self.cells[first].crystal_id}\n{self.cells[second].crystal_id}")
            known[first, second] = YES if self._ask(first, second, is_rms) else NO
        return bool(known[first, second] == YES)

    def _ask(self, first: int, second: int, is_rms: bool) -> bool:
        return (has_rms if is_rms else fits)(self.cells[first], self.cells[second])
