"""Screening of decorated cells: their energies at a few volumes, without relaxation, many cells at once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from miad.core.crystal import Crystal
from miad.prototypes.properties import VOLUMES
from miad.prototypes.templates import Template

if TYPE_CHECKING:
    from miad.relax.potentials.chgnet_network import Network

# Linear scales of the guessed cell. The outer ones are asked for only where the energy still falls towards them.
STEPS = (0.78, 0.86, 0.945, 1.04, 1.14, 1.26)
FIRST = (2, 3)
# Volume over the sum of the elements' volumes, its logarithm by the squared difference of electronegativities: fitted
# to the relaxed crystals of the data set, whose edges it misses by 5 %.
SHRINKS = 0.041
MEMORY = 0.4e9  # bytes of one batch, of the relaxations too: larger ones are no faster on a core
MOST_GAIN = 0.3  # eV/atom, of the parabola below its points; more means a wall of repulsion among them
FLAT = 1e9  # eV/atom, of what has no energy
# Å; closer atoms have no energy. CHGNet has never seen any: it gives -2 eV/atom to atoms 1e-12 Å apart, and no number
# to those in one place, so that rounding would decide.
CLOSEST = 0.5


@dataclass(frozen=True, eq=False)
class Screened:
    """A decorated template at its best volume.

    Attributes:
        crystal: the cell at that volume, not relaxed.
        energy: eV/atom, of the parabola through the lowest points.
    """

    crystal: Crystal
    energy: float


def decorated(template: Template, symbols: tuple[str, ...]) -> Crystal:
    """The cell of a template with an element in the place of each role, at the guessed volume."""
    from pymatgen.core import Element

    numbers = np.array([Element(symbols[role]).Z for role in template.roles])
    difference = max(Element(one).X for one in symbols) - min(Element(one).X for one in symbols)
    volume = sum(VOLUMES[symbols[role]] for role in template.roles) * np.exp(-SHRINKS * difference**2)
    lattice = template.lattice * (volume / len(numbers)) ** (1 / 3)
    coords = np.mod(np.mod(template.frac_coords, 1.0), 1.0)
    return Crystal(f"{template.name}/{'-'.join(symbols)}", lattice, coords, numbers, source_id=template.name)


def screen(crystals: list[Crystal], network: "Network") -> list[Screened]:
    """The energies of cells at the best of some volumes each, in the order given."""
    found: list[dict[int, float]] = [{} for _ in crystals]
    wanted = [(index, step) for index in range(len(crystals)) for step in FIRST]
    while wanted:
        cells = [scaled(crystals[index], STEPS[step]) for index, step in wanted]
        for (index, step), energy in zip(wanted, energies(cells, network), strict=True):
            found[index][step] = energy
        wanted = [(index, step) for index, known in enumerate(found) for step in _next(known)]
    return [_best(crystal, known) for crystal, known in zip(crystals, found, strict=True)]


def _next(known: dict[int, float]) -> list[int]:
    """The neighbour of the lowest point that has no energy yet, if there is one."""
    lowest = min(known, key=known.__getitem__)
    return [step for step in (lowest - 1, lowest + 1) if 0 <= step < len(STEPS) and step not in known]


def _best(crystal: Crystal, known: dict[int, float]) -> Screened:
    """The lowest point of the parabola in 1/scale², in which energies of solids nearly are parabolas (Birch)."""
    lowest = min(known, key=known.__getitem__)
    scale, energy = STEPS[lowest], known[lowest]
    near = [lowest - 1, lowest, lowest + 1]
    if set(near) <= set(known) and max(known[step] for step in near) < FLAT:
        a, b, c = np.polyfit([STEPS[step] ** -2 for step in near], [known[step] for step in near], 2)
        place = -b / (2 * a)
        fitted = float(a * place**2 + b * place + c)
        if a > 0 and fitted > energy - MOST_GAIN:
            scale, energy = float(place**-0.5), fitted
    return Screened(scaled(crystal, scale), energy)


def scaled(crystal: Crystal, scale: float) -> Crystal:
    """The crystal with edges `scale` times as long."""
    return crystal.replace(lattice=crystal.lattice * scale)


def energies(crystals: list[Crystal], network: "Network") -> list[float]:
    """CHGNet's energies of cells as they are, eV/atom, (n_crystals,).

    FLAT of those that it cannot evaluate, and of those with atoms closer than CLOSEST.
    """
    import torch

    from miad.core.cells import compact
    from miad.relax.geometry import geometry_of
    from miad.relax.memory import Budget
    from miad.relax.potentials.chgnet_graph import Lists

    cells = [compact(crystal.lattice, crystal.frac_coords) for crystal in crystals]
    lattices, coords = zip(*cells, strict=True)
    geometry = geometry_of(list(lattices), list(coords), [crystal.atomic_numbers for crystal in crystals], "cpu")
    lists = Lists(MEMORY, skin=0.0)
    loads, problems = lists.refresh(geometry)
    sound = [index for index in range(len(crystals)) if index not in problems]
    found = np.full(len(crystals), FLAT)
    for group in Budget("cpu", MEMORY).groups(loads[sound].tolist()):
        chosen = torch.zeros(len(crystals), dtype=torch.bool)
        chosen[[sound[index] for index in group]] = True
        graph = lists.graph(geometry, chosen)
        totals = network.energies(graph) / geometry.sizes[chosen]
        is_close = torch.linalg.vector_norm(graph.vectors, dim=1) < CLOSEST  # (n_bonds,)
        totals[graph.owners[graph.starts[is_close]]] = FLAT
        found[chosen.numpy()] = totals.numpy()
    return np.where(np.isfinite(found), found, FLAT).tolist()
