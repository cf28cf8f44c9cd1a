"""Finished runs of one ionic step, at an energy of choice, without any calculation."""

import gzip
import os
from pathlib import Path

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Kpoints, Poscar, Potcar
from pymatgen.io.vasp.sets import MPRelaxSet, MPStaticSet

from tests.builders.vasp_stand_in.outputs import Outputs, Step


def write_run(folder: Path, structure: Structure, energy: float, pseudopotentials: Path, is_static: bool) -> None:
    """VASP's outputs of one ionic step at a given energy, eV per cell, written by the stand-in."""
    inputs = (MPStaticSet if is_static else MPRelaxSet)(structure)
    symbols = [MPRelaxSet.CONFIG["POTCAR"][symbol] for symbol in Poscar(inputs.structure).site_symbols]
    packed = [(pseudopotentials / f"POTCAR.{symbol}.gz").read_bytes() for symbol in symbols]
    text = "".join(gzip.decompress(one).decode() for one in packed)
    folder.mkdir(parents=True)
    before = Path.cwd()
    os.chdir(folder)
    try:
        outputs = Outputs(inputs.incar, Kpoints.gamma_automatic((2, 2, 2)), Potcar.from_str(text), inputs.structure, 5)
        cell = inputs.structure
        count = len(cell)
        outputs.add(Step(energy, np.zeros((count, 3)), np.zeros((3, 3)), cell.lattice.matrix, cell.frac_coords))
        outputs.finish(has_wavefunctions=True)
    finally:
        os.chdir(before)
