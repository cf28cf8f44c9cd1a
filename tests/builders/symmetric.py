"""Crystals made by their space group, without the wait."""

import functools

from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.groups import SpaceGroup


@functools.cache
def _kept(group: str) -> SpaceGroup:
    # pymatgen forgets a space group that nobody holds, and takes up to a second to make it again.
    return SpaceGroup(group)


def symmetric(group: str, lattice: Lattice, species: list[str], coords: list[list[float]]) -> Structure:
    """The conventional cell of a space group such as `Fm-3m`, from one site of each orbit."""
    _kept(group)
    return Structure.from_spacegroup(group, lattice, species, coords)
