"""The graph that CHGNet sees: bonds within 6 Å and angles between bonds within 3 Å, for several crystals at once.

CHGNet's own converter makes one Python object per bond and searches anew at every step. Here everything is an array on
the device; each bond is kept once, for the model's messages along it run both ways; and the search goes a skin beyond
the cutoffs, so that it is repeated only for crystals that have moved by as much. What the model sees are always exactly
the bonds within the cutoffs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from miad.relax.optimisers.batch import Geometry
from miad.relax.potentials.neighbours import MAX_CANDIDATES, Pairs, joined, num_candidates, pairs_within

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


class Lists:
    """The pairs of a batch of crystals that come and go, searched anew where a crystal has moved by the skin.

    Args:
        limit: bytes that the evaluation of one crystal may take.
        skin: Å.
    """

    def __init__(self, limit: float, skin: float = SKIN) -> None:
        self.limit, self.skin = limit, skin
        self.num_searches = 0  # of crystals, for the tests
        self._seen: Geometry | None = None  # the geometry that the lists were made for
        self._near: Pairs | None = None  # within ANGLE_CUTOFF and skin
        self._far: Pairs | None = None  # beyond, within BOND_CUTOFF and skin
        self._corners: Tensor | None = (
            None  # (n_corners, 2) of near pairs p: p as seen from its start, -1 - p from its end
        )
        self._now: tuple[Tensor, ...] = ()

    def refresh(self, geometry: Geometry) -> tuple[Tensor, dict[int, str]]:
        """Bring the lists up to a geometry; crystals that were not known are at its end.

        Returns:
            Bytes that the evaluation of each crystal takes, (n_crystals,), and why some cannot be evaluated.
        """
        problems: dict[int, str] = {}
        stale = self._stale(geometry)
        if bool(stale.any()):
            problems = self._search(geometry, stale)
        near, far = self._near.vectors(geometry), self._far.vectors(geometry)
        near_lengths, far_lengths = torch.linalg.vector_norm(near, dim=1), torch.linalg.vector_norm(far, dim=1)
        is_short, is_bond = near_lengths < ANGLE_CUTOFF, far_lengths < BOND_CUTOFF
        self._now = near, far, is_short, is_bond
        num_bonds = _counts(self._near.starts, geometry) + _counts(self._far.starts[is_bond], geometry)
        loads = BYTES_PER_BOND * num_bonds + BYTES_PER_ANGLE * self._num_corners(is_short, geometry)
        lonely, heavy = (num_bonds == 0), (loads > self.limit)
        for index in torch.nonzero(lonely | heavy).flatten().tolist():
            reason = (
                "no atom has a neighbour within 6 Å" if lonely[index] else too_large(float(loads[index]), self.limit)
            )
            problems.setdefault(index, reason)
        return loads, problems

    def graph(self, geometry: Geometry, chosen: Tensor) -> Graph:
        """The graph of the chosen crystals, (n_crystals,) of bool, at the geometry of the last `refresh`."""
        near, far, is_short, is_bond = self._now
        pairs, long_pairs, corners = self._near, self._far, self._corners
        atoms, new = chosen[geometry.owners], torch.arange(len(geometry.owners), device=chosen.device)
        if not bool(chosen.all()):
            new = torch.cumsum(atoms, dim=0) - 1
            is_short, is_bond = is_short & atoms[pairs.starts], is_bond & atoms[long_pairs.starts]
            is_middle = ~is_short & atoms[pairs.starts]
        else:
            is_middle = ~is_short
        rank, num_short = torch.cumsum(is_short, dim=0) - 1, int(is_short.sum())
        pair = torch.where(corners < 0, -1 - corners, corners)
        kept = is_short[pair].all(dim=1)
        seen = torch.where(corners < 0, rank[pair] + num_short, rank[pair])[kept]
        bonds = joined([pairs.take(is_short), pairs.take(is_middle), long_pairs.take(is_bond)]).renumbered(new)
        ranks = torch.cumsum(chosen, dim=0) - 1
        return Graph(
            atomic_numbers=geometry.atomic_numbers[atoms],
            owners=ranks[geometry.owners[atoms]],
            num_crystals=int(chosen.sum()),
            vectors=torch.cat([near[is_short], near[is_middle], far[is_bond]]),
            starts=bonds.starts,
            ends=bonds.ends,
            num_short=num_short,
            corners=seen,
        )

    def select(self, kept: Tensor) -> None:
        """Forget all crystals but the kept ones, (n_crystals,) of bool."""
        old = self._seen
        atoms = kept[old.owners]
        self._drop(atoms)
        new = torch.cumsum(atoms, dim=0) - 1
        self._near, self._far = self._near.renumbered(new), self._far.renumbered(new)
        sizes = old.sizes[kept]
        owners = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
        self._seen = Geometry(old.lattices[kept], old.frac_coords[atoms], old.atomic_numbers[atoms], sizes, owners)
        self._now = ()

    def _stale(self, geometry: Geometry) -> Tensor:
        """Which crystals might have pairs within a cutoff that are not listed, (n_crystals,) of bool."""
        stale = torch.ones_like(geometry.sizes, dtype=torch.bool)
        seen = self._seen
        if seen is None or not len(seen.sizes):
            return stale
        known, atoms = len(seen.sizes), len(seen.owners)
        lattices = geometry.lattices[:known]
        # An unlisted pair is at least (1 - strain) (cutoff + skin) - 2 · displacement apart.
        strain = torch.linalg.solve(seen.lattices, lattices) - torch.eye(
            3, dtype=lattices.dtype, device=lattices.device
        )
        strain = torch.linalg.matrix_norm(strain)
        moved = geometry.frac_coords[:atoms] - seen.frac_coords
        zeros = moved.new_zeros(known, 3)
        moved = moved - (zeros.index_add(0, seen.owners, moved) / seen.sizes[:, None])[seen.owners]  # drift is harmless
        lengths = torch.linalg.vector_norm(torch.bmm(moved[:, None], lattices[seen.owners])[:, 0], dim=1)
        farthest = lengths.new_zeros(known).scatter_reduce(0, seen.owners, lengths, "amax")
        stale[:known] = ~((1 - strain) * (BOND_CUTOFF + self.skin) - 2 * farthest >= BOND_CUTOFF)
        return stale

    def _search(self, geometry: Geometry, stale: Tensor) -> dict[int, str]:
        """Make the lists of the stale crystals anew; says which have too many pairs to try."""
        candidates = num_candidates(geometry, BOND_CUTOFF + self.skin)
        sizes, volumes = geometry.sizes.double(), torch.linalg.det(geometry.lattices).abs()
        expected = BYTES_PER_BOND * sizes**2 / volumes * (2 / 3 * torch.pi * BOND_CUTOFF**3)
        refused = stale & ~((candidates <= MAX_CANDIDATES) & (expected <= 3 * self.limit))
        problems = dict.fromkeys(_indices(refused), "out of memory: its cell is too small or too flat")
        searched = stale & ~refused
        self.num_searches += int(searched.sum())
        found = pairs_within(geometry, BOND_CUTOFF + self.skin, searched)
        lengths = torch.linalg.vector_norm(found.vectors(geometry), dim=1)
        is_near = lengths < ANGLE_CUTOFF + self.skin
        near, far = found.take(is_near), found.take(~is_near)
        crowded = searched & (BYTES_PER_CORNER * _pairs_at(near, geometry) > self.limit)
        problems |= dict.fromkeys(_indices(crowded), "out of memory: too many angles")
        near = near.take(~crowded[geometry.owners[near.starts]])
        corners = _corners(near, len(geometry.owners))
        if self._seen is not None and len(self._seen.sizes):
            known = len(self._seen.sizes)
            self._drop(~stale[:known][self._seen.owners])
            corners = torch.where(corners < 0, corners - len(self._near.starts), corners + len(self._near.starts))
            near, far = joined([self._near, near]), joined([self._far, far])
            corners = torch.cat([self._corners, corners])
            fresh = stale[geometry.owners]
            fresh_lattices = stale[:, None, None]
            grown = [geometry.lattices.clone(), geometry.frac_coords.clone()]
            grown[0][:known] = torch.where(fresh_lattices[:known], geometry.lattices[:known], self._seen.lattices)
            atoms = len(self._seen.owners)
            grown[1][:atoms] = torch.where(fresh[:atoms, None], geometry.frac_coords[:atoms], self._seen.frac_coords)
            geometry = Geometry(*grown, geometry.atomic_numbers, geometry.sizes, geometry.owners)
        self._seen, self._near, self._far, self._corners = geometry, near, far, corners
        return problems

    def _drop(self, kept_atoms: Tensor) -> None:
        """Forget the pairs of all atoms but the kept ones; whole crystals are dropped, so both ends or none."""
        near_kept = kept_atoms[self._near.starts]
        rank = torch.cumsum(near_kept, dim=0) - 1
        pair = torch.where(self._corners < 0, -1 - self._corners, self._corners)
        corners_kept = near_kept[pair[:, 0]]
        corners = torch.where(self._corners < 0, -1 - rank[pair], rank[pair])
        near, far = self._near.take(near_kept), self._far.take(kept_atoms[self._far.starts])
        # All at once, so that an error on the way leaves lists that belong together.
        self._corners, self._near, self._far = corners[corners_kept], near, far

    def _num_corners(self, is_short: Tensor, geometry: Geometry) -> Tensor:
        """Angles of each crystal, (n_crystals,)."""
        return _pairs_at(self._near.take(is_short), geometry)


def too_large(needed: float, limit: float) -> str:
    """Why a crystal cannot be evaluated in the memory that there is."""
    return f"out of memory: it needs {needed / 1e9:.1f} GB, and {limit / 1e9:.1f} GB are allowed"


def _counts(starts: Tensor, geometry: Geometry) -> Tensor:
    """How many pairs each crystal has, (n_crystals,)."""
    return torch.bincount(geometry.owners[starts], minlength=len(geometry.sizes))


def _pairs_at(near: Pairs, geometry: Geometry) -> Tensor:
    """How many pairs of near pairs share an atom, (n_crystals,)."""
    touching = torch.bincount(torch.cat([near.starts, near.ends]), minlength=len(geometry.owners))
    corners = touching * (touching - 1) // 2
    return torch.zeros_like(geometry.sizes).index_add(0, geometry.owners, corners)


def _indices(mask: Tensor) -> list[int]:
    return torch.nonzero(mask).flatten().tolist()


def _corners(near: Pairs, num_atoms: int) -> Tensor:
    """All pairs of near pairs that share an atom, (n_corners, 2): p as seen from its start, -1 - p from its end."""
    index = torch.arange(len(near.starts), device=near.starts.device)
    atoms, codes = torch.cat([near.starts, near.ends]), torch.cat([index, -1 - index])
    order = torch.argsort(atoms, stable=True)
    atoms, codes = atoms[order], codes[order]
    stops = torch.cumsum(torch.bincount(atoms, minlength=num_atoms), dim=0)[atoms]
    here = torch.arange(len(atoms), device=atoms.device)
    partners = stops - here - 1  # later entries of the same atom
    first = torch.repeat_interleave(here, partners)
    starts = torch.cumsum(partners, dim=0) - partners
    second = first + 1 + torch.arange(len(first), device=first.device) - torch.repeat_interleave(starts, partners)
    return torch.stack([codes[first], codes[second]], dim=1)
