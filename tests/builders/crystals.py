"""Crystals made by hand, and other descriptions of the same crystal."""

import numpy as np

from miad.core.crystal import Crystal


def rock_salt(name: str, anion: int = 17, a: float = 5.64) -> Crystal:
    """Conventional NaCl, 8 atoms; a in Å."""
    face = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    coords = np.vstack([face, (face + 0.5) % 1])
    return Crystal(name, np.eye(3) * a, coords, np.array([11] * 4 + [anion] * 4))


def caesium_chloride(name: str, a: float = 3.5) -> Crystal:
    """NaCl in the CsCl structure; never rock salt."""
    return Crystal(name, np.eye(3) * a, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([11, 17]))


def disguises(crystal: Crystal) -> list[Crystal]:
    """The same crystal in other cells, orders and orientations."""
    structure = crystal.structure
    generator = np.random.default_rng(1)
    order = generator.permutation(crystal.num_atoms)
    rotation = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    primitive = structure.get_primitive_structure()
    shifted = (crystal.frac_coords + np.array([0.13, 0.27, 0.41])) % 1
    sheared = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]])
    return [
        crystal.replace(crystal_id="same"),
        Crystal.from_structure("primitive", primitive),
        Crystal.from_structure("supercell", structure * (2, 1, 1)),
        Crystal.from_structure("sheared", primitive * sheared),
        crystal.replace(crystal_id="shifted", frac_coords=shifted),
        crystal.replace(crystal_id="rotated", lattice=crystal.lattice @ rotation),
        crystal.replace(
            crystal_id="permuted",
            frac_coords=crystal.frac_coords[order],
            atomic_numbers=crystal.atomic_numbers[order],
        ),
        crystal.replace(crystal_id="swollen", lattice=crystal.lattice * 1.03),
    ]
