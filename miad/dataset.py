"""The dataset step: read, check and standardise the crystals to learn from."""

from typing import TYPE_CHECKING

from miad.errors import MiadError

if TYPE_CHECKING:
    from pymatgen.core import Structure


def standardise(structure: "Structure") -> "Structure":
    """The cell in which a crystal is learnt: primitive, Niggli reduced, in the standard orientation.

    Only lattice, elements and positions are kept: oxidation states, spins and labels are dropped first, so that
    they do not decide what is primitive. Handedness is kept.

    Args:
        structure: fully occupied sites, any cell, any orientation.

    Returns:
        A new Structure; its lattice is rebuilt from (a, b, c, α, β, γ) by pymatgen's `Lattice.from_parameters`.

    Raises:
        MiadError: a site is partly occupied or holds no element.

    Source: the preparation of CDVAE (Xie et al., arXiv:2110.06197), which DiffCSP and MiAD share.
    """
    from pymatgen.core import DummySpecies, Lattice, Structure

    if not structure.is_ordered:
        raise MiadError("it has partly occupied sites; miad works on ordered crystals only")
    dummies = sorted({str(site.specie) for site in structure if isinstance(site.specie, DummySpecies)})
    if dummies:
        raise MiadError(f"{', '.join(dummies)} is not an element")
    plain = Structure(structure.lattice, [site.specie.Z for site in structure], structure.frac_coords)
    reduced = plain.get_primitive_structure().get_reduced_structure()
    lattice = Lattice.from_parameters(*reduced.lattice.parameters)
    return Structure(lattice, reduced.species, reduced.frac_coords, to_unit_cell=True)
