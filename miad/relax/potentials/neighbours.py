"""Pairs of atoms within a radius, periodic images included, for many crystals at once and on any device."""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from miad.relax.geometry import Geometry

CHUNK = 2_000_000  # candidates looked at together; each takes about 100 bytes for a moment
MAX_CANDIDATES = 20_000_000  # of one crystal: seconds of work, ten thousand times what a sound crystal needs


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of atoms, each once.

    Attributes:
        starts, ends: (n_pairs,) atoms of a `Geometry`; starts <= ends.
        images: (n_pairs, 3) whole cells, so that (frac[start] - frac[end] - image) @ lattice is the vector of the pair.
    """

    starts: Tensor
    ends: Tensor
    images: Tensor

    def take(self, chosen: Tensor) -> "Pairs":
        """Some of the pairs, by mask or index."""
        return Pairs(self.starts[chosen], self.ends[chosen], self.images[chosen])

    def renumbered(self, new: Tensor) -> "Pairs":
        """The same pairs of atoms that have other numbers now."""
        return Pairs(new[self.starts], new[self.ends], self.images)

    def vectors(self, geometry: Geometry) -> Tensor:
        """From end to start, (n_pairs, 3) Å."""
        frac = geometry.frac_coords
        apart = frac[self.starts] - frac[self.ends] - self.images
        return torch.bmm(apart[:, None], geometry.lattices[geometry.owners[self.starts]])[:, 0]


def joined(parts: list[Pairs]) -> Pairs:
    """Pairs one after the other."""
    return Pairs(*(torch.cat([getattr(part, name) for part in parts]) for name in ("starts", "ends", "images")))


def num_candidates(geometry: Geometry, cutoff: float) -> Tensor:
    """Number of pairs and images that `pairs_within` tries, (n_crystals,) of float64; huge for flat cells."""
    reach = _reach(geometry.lattices, cutoff)
    images = (2 * reach + 1).prod(dim=1)
    sizes = geometry.sizes.double()
    return torch.nan_to_num(sizes * (sizes + 1) / 2 * images, nan=math.inf)


def pairs_within(geometry: Geometry, cutoff: float, chosen: Tensor) -> Pairs:
    """All pairs closer than a cutoff (Å), in the order of their atoms; an atom and its own images are pairs, too.

    Searched are the chosen crystals, (n_crystals,) of bool; each costs its `num_candidates`.
    """
    device, owners = geometry.owners.device, geometry.owners
    num_atoms = len(owners)
    stops = torch.cumsum(geometry.sizes, dim=0)[owners]  # (n_atoms,) where the crystal of an atom ends
    atoms = torch.arange(num_atoms, device=device)
    partners = torch.where(chosen[owners], stops - atoms, 0)
    starts = torch.repeat_interleave(atoms, partners)
    ends = starts + counted(partners)
    reach = torch.where(chosen[:, None], _reach(geometry.lattices, cutoff), 0).long()  # (n_crystals, 3)
    images = (2 * reach + 1).prod(dim=1)[owners[starts]]  # (n_pairs,)
    before = torch.cumsum(images, dim=0)
    total = int(before[-1]) if len(before) else 0
    marks = torch.arange(0, max(total, 1), CHUNK, device=device)[1:]
    cuts = [0, *torch.searchsorted(before, marks).tolist(), len(starts)]
    parts = [
        _near(geometry, cutoff, starts[begin:end], ends[begin:end], images[begin:end], reach)
        for begin, end in itertools.pairwise(cuts)
    ]
    return joined(parts)


def _near(geometry: Geometry, cutoff: float, starts: Tensor, ends: Tensor, num_images: Tensor, reach: Tensor) -> Pairs:
    """Those images of the pairs that are closer than the cutoff."""
    pair = torch.repeat_interleave(num_images)  # (n_candidates,)
    starts, ends, rest = starts[pair], ends[pair], counted(num_images)
    owners = geometry.owners[starts]
    reach, widths = reach[owners], 2 * reach[owners] + 1  # (n_candidates, 3)
    cells = rest // (widths[:, 1] * widths[:, 2]), rest // widths[:, 2] % widths[:, 1], rest % widths[:, 2]
    offsets = torch.stack(cells, dim=1) - reach  # (n_candidates, 3)
    # An atom meets each of its own images twice, and itself: only what lies ahead counts.
    first, second, third = offsets.unbind(dim=1)
    is_ahead = (first > 0) | ((first == 0) & ((second > 0) | ((second == 0) & (third > 0))))
    apart = geometry.frac_coords[starts] - geometry.frac_coords[ends]
    images = offsets + apart.round().long()
    found = Pairs(starts, ends, images)
    is_near = (found.vectors(geometry) ** 2).sum(dim=1) <= cutoff**2
    return found.take(is_near & ((starts < ends) | is_ahead))


def _reach(lattices: Tensor, cutoff: float) -> Tensor:
    """Cells to look at on each side, (n_crystals, 3) of float64.

    The coordinates of a pair differ by at most half a cell once the nearest image along each axis is taken.
    """
    heights = 1 / torch.linalg.vector_norm(torch.linalg.inv_ex(lattices).inverse, dim=1)
    return torch.floor(cutoff / heights + 0.5)


def counted(counts: Tensor) -> Tensor:
    """0, 1, … up to each count, one after the other: (counts.sum(),)."""
    total = torch.arange(int(counts.sum()), device=counts.device)
    return total - torch.repeat_interleave(torch.cumsum(counts, dim=0) - counts, counts)
