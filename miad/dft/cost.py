"""Estimated cost of a DFT calculation, before it is submitted."""

import bz2
import functools
import json
import math
from pathlib import Path

from miad.core.crystal import Crystal

KPOINT_DENSITY = 64  # per Å⁻³ of reciprocal cell, MPRelaxSet
REFERENCE_ELECTRONS = 100


def core_hours(crystal: Crystal, reference: float) -> float:
    """Rough core-hours of a double relaxation with static calculation; right within a factor of three or so.

    The work of an electronic step grows as k-points · bands² · plane waves. Plane waves grow with the volume and
    k-points fall with it, so that at the fixed k-point density of the sets the square of the valence electrons
    remains; only cells so large that a single k-point is left cost more. The reference are the core-hours of a cell
    with 100 valence electrons, a property of the machine.
    """
    electrons = sum(valence_electrons(int(number)) for number in crystal.atomic_numbers)
    kpoints = KPOINT_DENSITY * (2 * math.pi) ** 3 / crystal.volume
    return reference * (electrons / REFERENCE_ELECTRONS) ** 2 * max(1.0, 1.0 / kpoints)


@functools.cache
def valence_electrons(number: int) -> float:
    """Valence electrons of an element in the pseudopotential of MPRelaxSet, from pymatgen's table of these."""
    from pymatgen.core import Element
    from pymatgen.io.vasp.sets import MPRelaxSet

    symbol = Element.from_Z(number).symbol
    return _charges().get(MPRelaxSet.CONFIG["POTCAR"].get(symbol, symbol), float(min(number, 12)))


@functools.cache
def _charges() -> dict[str, float]:
    """{symbol of a pseudopotential: its valence electrons}, version PBE."""
    import pymatgen.io.vasp

    table = Path(pymatgen.io.vasp.__file__).with_name("potcar-summary-stats.json.bz2")
    with bz2.open(table) as text:
        versions = json.load(text)["PBE"]
    return {one["symbol"]: one["ZVAL"] for variants in versions.values() for one in variants}
