"""The graph that CHGNet sees: bonds within 6 Å and angles between bonds within 3 Å, for several crystals at once.

CHGNet's own converter makes one Python object per bond and searches anew at every step. Here everything is an array on
the device; each bond is kept once, for the model's messages along it run both ways; and the search goes a skin beyond
the cutoffs, so that it is repeated only for crystals that have moved by as much. What the model sees are always exactly
the bonds within the cutoffs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from miad.relax.geometry import Geometry, owners_of
from miad.relax.potentials.neighbours import MAX_CANDIDATES, Pairs, counted, joined, num_candidates, pairs_within

BOND_CUTOFF, ANGLE_CUTOFF = 6.0, 3.0  # Å, of CHGNet 0.3.0
SKIN = 0.5  # Å, added to both cutoffs in the search
BYTES_PER_BOND, BYTES_PER_ANGLE = 30_000, 34_000  # of one evaluation, measured; a GPU is measured anew
BYTES_PER_CORNER = 100  # of the search for angles


@dataclass(frozen=True, eq=False)
class Graph:
    """Bonds and angles of a batch of crystals; bonds shorter than 3 Å come first.

    Attributes:
        atomic_numbers: (n_atoms,) of all crystals one after the other.
        owners: (n_atoms,) which crystal an atom belongs to.
        num_crystals: how many.
        vectors: (n_bonds, 3) Å, from `ends` to `starts`: start minus end; float64.
        starts, ends: (n_bonds,) atoms.
        num_short: how many bonds are shorter than 3 Å; they have an index as seen from their start, b, and another as
            seen from their end, b + num_short.
        corners: (n_angles, 2) pairs of short bonds, as seen from the atom that they share; each pair once.
    """

    atomic_numbers: Tensor
    owners: Tensor
    num_crystals: int
    vectors: Tensor
    starts: Tensor
    ends: Tensor
    num_short: int
    corners: Tensor


@dataclass(frozen=True, eq=False)
class _Found:
    """The pairs of a batch of crystals, as of one search or several.

    Attributes:
        seen: the geometry that each crystal was searched at.
        near, far: pairs within the cutoff of angles and skin, and those beyond it.
        corners: (n_corners, 2) near pairs that share an atom; pair p is 2 p seen from its start, 2 p + 1 from its end.
    """

    seen: Geometry
    near: Pairs
    far: Pairs
    corners: Tensor

    def of(self, kept: Tensor, seen: Geometry, new: Tensor | None = None) -> "_Found":
        """The pairs of the kept atoms, (n_atoms,) of bool; whole crystals are kept, so both ends or none.

        Their new geometry is `seen`, in which the atoms have other numbers if there are `new` ones.
        """
        is_near = kept[self.near.starts]
        near, far = self.near.take(is_near), self.far.take(kept[self.far.starts])
        if new is not None:
            near, far = near.renumbered(new), far.renumbered(new)
        corners = self.corners[is_near[self.corners[:, 0] // 2]]
        return _Found(seen, near, far, 2 * (torch.cumsum(is_near, dim=0) - 1)[corners // 2] + corners % 2)


class Lists:
    """The pairs of a batch of crystals that come and go, searched anew where a crystal has moved by the skin (Å).

    The evaluation of one crystal may take `limit` bytes.
    """

    def __init__(self, limit: float, skin: float = SKIN, device: str = "cpu") -> None:
        self.limit, self.skin = limit, skin
        self.num_searches = 0  # of crystals, for the tests
        none = torch.zeros(0, dtype=torch.long, device=device)
        nothing = torch.zeros(0, 3, dtype=torch.float64, device=device)
        pairs = Pairs(none, none, nothing.long())
        seen = Geometry(nothing.new_zeros(0, 3, 3), nothing, none, none, none)
        self._found = _Found(seen, pairs, pairs, none.new_zeros(0, 2))
        self._now: tuple[Tensor, Tensor, Tensor, Tensor]  # vectors of near and far pairs, and which are within a cutoff

    def refresh(self, geometry: Geometry) -> tuple[Tensor, dict[int, str]]:
        """Bring the lists up to a geometry; crystals that were not known are at its end.

        Returns:
            Bytes that the evaluation of each crystal takes, (n_crystals,), and {index: reason} of those that cannot be
            evaluated.
        """
        stale = self._stale(geometry)
        problems = self._search(geometry, stale) if bool(stale.any()) else {}
        found = self._found
        near, far = found.near.vectors(geometry), found.far.vectors(geometry)
        is_short = torch.linalg.vector_norm(near, dim=1) < ANGLE_CUTOFF
        is_bond = torch.linalg.vector_norm(far, dim=1) < BOND_CUTOFF
        self._now = near, far, is_short, is_bond
        num_bonds = _counts(found.near.starts, geometry) + _counts(found.far.starts[is_bond], geometry)
        loads = BYTES_PER_BOND * num_bonds + BYTES_PER_ANGLE * _pairs_at(found.near.take(is_short), geometry)
        for index in _indices(loads > self.limit):
            heavy = f"it needs {loads[index] / 1e9:.1f} GB, and {self.limit / 1e9:.1f} GB are allowed"
            problems.setdefault(index, f"out of memory: {heavy}")
        lonely = dict.fromkeys(_indices(num_bonds == 0), "no atom has a neighbour within 6 Å")
        return loads, lonely | problems

    def graph(self, geometry: Geometry, chosen: Tensor) -> Graph:
        """The graph of the chosen crystals, (n_crystals,) of bool, at the geometry of the last `refresh`."""
        near, far, is_short, is_bond = self._now
        pairs, long_pairs, corners = self._found.near, self._found.far, self._found.corners
        atoms = chosen[geometry.owners]
        is_near = atoms[pairs.starts]
        is_middle, is_short = is_near & ~is_short, is_near & is_short
        is_bond = is_bond & atoms[long_pairs.starts]
        rank, num_short = torch.cumsum(is_short, dim=0) - 1, int(is_short.sum())
        corners = corners[is_short[corners // 2].all(dim=1)]
        bonds = joined([pairs.take(is_short), pairs.take(is_middle), long_pairs.take(is_bond)])
        bonds = bonds.renumbered(torch.cumsum(atoms, dim=0) - 1)
        return Graph(
            atomic_numbers=geometry.atomic_numbers[atoms],
            owners=(torch.cumsum(chosen, dim=0) - 1)[geometry.owners[atoms]],
            num_crystals=int(chosen.sum()),
            vectors=torch.cat([near[is_short], near[is_middle], far[is_bond]]),
            starts=bonds.starts,
            ends=bonds.ends,
            num_short=num_short,
            corners=rank[corners // 2] + num_short * (corners % 2),
        )

    def select(self, kept: Tensor) -> None:
        """Forget all crystals but the kept ones, (n_crystals,) of bool."""
        old = self._found.seen
        atoms, sizes = kept[old.owners], old.sizes[kept]
        seen = Geometry(old.lattices[kept], old.frac_coords[atoms], old.atomic_numbers[atoms], sizes, owners_of(sizes))
        self._found = self._found.of(atoms, seen, torch.cumsum(atoms, dim=0) - 1)

    def _stale(self, geometry: Geometry) -> Tensor:
        """Crystals that might have pairs within a cutoff that are not listed, (n_crystals,) of bool."""
        stale = torch.ones_like(geometry.sizes, dtype=torch.bool)
        seen = self._found.seen
        known, atoms = len(seen.sizes), len(seen.owners)
        lattices = geometry.lattices[:known]
        # An unlisted pair is at least (1 - strain) (cutoff + skin) - 2 · displacement apart.
        unit = torch.eye(3, dtype=lattices.dtype, device=lattices.device)
        strain = torch.linalg.matrix_norm(torch.linalg.solve(seen.lattices, lattices) - unit)
        moved = geometry.frac_coords[:atoms] - seen.frac_coords
        drift = moved.new_zeros(known, 3).index_add(0, seen.owners, moved) / seen.sizes[:, None]
        moved = moved - drift[seen.owners]  # which is harmless
        lengths = torch.linalg.vector_norm(torch.bmm(moved[:, None], lattices[seen.owners])[:, 0], dim=1)
        farthest = lengths.new_zeros(known).scatter_reduce(0, seen.owners, lengths, "amax")
        stale[:known] = ~((1 - strain) * (BOND_CUTOFF + self.skin) - 2 * farthest >= BOND_CUTOFF)
        return stale

    def _search(self, geometry: Geometry, stale: Tensor) -> dict[int, str]:
        """Make the lists of the stale crystals anew; {index: reason} of those with too many pairs to try."""
        candidates = num_candidates(geometry, BOND_CUTOFF + self.skin)
        sizes, volumes = geometry.sizes.double(), torch.linalg.det(geometry.lattices).abs()
        expected = BYTES_PER_BOND * sizes**2 / volumes * (2 / 3 * torch.pi * BOND_CUTOFF**3)
        refused = stale & ~((candidates <= MAX_CANDIDATES) & (expected <= 3 * self.limit))
        problems = dict.fromkeys(_indices(refused), "out of memory: its cell is too small or too flat")
        searched = stale & ~refused
        self.num_searches += int(searched.sum())
        found = pairs_within(geometry, BOND_CUTOFF + self.skin, searched)
        is_near = torch.linalg.vector_norm(found.vectors(geometry), dim=1) < ANGLE_CUTOFF + self.skin
        near, far = found.take(is_near), found.take(~is_near)
        crowded = searched & (BYTES_PER_CORNER * _pairs_at(near, geometry) > self.limit)
        problems |= dict.fromkeys(_indices(crowded), "out of memory: too many angles")
        near = near.take(~crowded[geometry.owners[near.starts]])
        self._add(geometry, stale, near, far)
        return problems

    def _add(self, geometry: Geometry, stale: Tensor, near: Pairs, far: Pairs) -> None:
        """Put the pairs of the stale crystals in the place of those that they had."""
        seen = self._found.seen
        known, atoms = len(seen.sizes), len(seen.owners)
        lattices, coords = geometry.lattices.clone(), geometry.frac_coords.clone()
        old, old_atoms = ~stale[:known], ~stale[seen.owners]
        lattices[:known][old], coords[:atoms][old_atoms] = seen.lattices[old], seen.frac_coords[old_atoms]
        seen = Geometry(lattices, coords, geometry.atomic_numbers, geometry.sizes, geometry.owners)
        kept = self._found.of(old_atoms, seen)
        corners = torch.cat([kept.corners, _corners(near, len(geometry.owners)) + 2 * len(kept.near.starts)])
        # All at once, so that an error on the way leaves lists that belong together.
        self._found = _Found(seen, joined([kept.near, near]), joined([kept.far, far]), corners)


def _counts(starts: Tensor, geometry: Geometry) -> Tensor:
    """Number of pairs of each crystal, (n_crystals,)."""
    return torch.bincount(geometry.owners[starts], minlength=len(geometry.sizes))


def _pairs_at(near: Pairs, geometry: Geometry) -> Tensor:
    """Number of pairs of near pairs that share an atom, (n_crystals,)."""
    touching = torch.bincount(torch.cat([near.starts, near.ends]), minlength=len(geometry.owners))
    corners = touching * (touching - 1) // 2
    return torch.zeros_like(geometry.sizes).index_add(0, geometry.owners, corners)


def _indices(mask: Tensor) -> list[int]:
    return torch.nonzero(mask).flatten().tolist()


def _corners(near: Pairs, num_atoms: int) -> Tensor:
    """All pairs of near pairs that share an atom, (n_corners, 2), numbered as in `_Found`."""
    index = torch.arange(len(near.starts), device=near.starts.device)
    atoms, codes = torch.cat([near.starts, near.ends]), torch.cat([2 * index, 2 * index + 1])
    order = torch.argsort(atoms, stable=True)
    atoms, codes = atoms[order], codes[order]
    stops = torch.cumsum(torch.bincount(atoms, minlength=num_atoms), dim=0)[atoms]
    here = torch.arange(len(atoms), device=atoms.device)
    partners = stops - here - 1  # later entries of the same atom
    first = torch.repeat_interleave(here, partners)
    second = first + 1 + counted(partners)
    return torch.stack([codes[first], codes[second]], dim=1)
