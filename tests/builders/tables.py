"""Crystals as the tables and JSON of other programs hold them."""

from typing import Any

from pymatgen.core import Structure


def optimade(identity: str, structure: Structure) -> dict[str, Any]:
    """The entry of a structure in an OPTIMADE response."""
    symbols = [site.specie.symbol for site in structure]
    return {
        "id": identity,
        "type": "structures",
        "attributes": {
            "lattice_vectors": structure.lattice.matrix.tolist(),
            "cartesian_site_positions": structure.cart_coords.tolist(),
            "species_at_sites": symbols,
            "species": [
                {"name": one, "chemical_symbols": [one], "concentration": [1.0]} for one in sorted(set(symbols))
            ],
            "dimension_types": [1, 1, 1],
            "nperiodic_dimensions": 3,
            "structure_features": [],
        },
    }
