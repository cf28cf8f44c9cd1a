"""The calculation itself: inputs as VASP reads them, CHGNet in the place of DFT, and faults on request.

Faults are read from the JSON file named by VASP_STAND_IN_SCRIPT, a list of
`{"kind": …, "formula": "NaCl", "stage": "relax_2", "times": 1}`; formula, stage and times may be left out. Beside it
`<script>.log` gains one line per call, by which tests count what was run. Kinds:

    unconverged  no ionic step converges electronically
    zbrent       the line search fails after the second ionic step
    walltime     no ionic step after the second, until STOPCAR is found
    hang         no ionic step after the second, whatever happens
    crash        segmentation fault after the second ionic step
    garbage      vasprun.xml is unreadable, all else looks well
    no_wavecar   WAVECAR and CHGCAR are not written
    slow         half a second more per ionic step
"""

import functools
import json
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.builders.vasp_stand_in.outputs import Outputs, Step

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.io.vasp.inputs import Incar, Kpoints, Potcar

ELECTRONIC_STEPS = 5
FMAX = 0.05  # eV/Å, on forces and cell gradient
SEGMENTATION_FAULT = 139


@dataclass(frozen=True)
class Inputs:
    """The input files of VASP, as read from its folder."""

    incar: "Incar"
    kpoints: "Kpoints"
    potcar: "Potcar"
    structure: "Structure"

    @classmethod
    def read(cls) -> "Inputs":
        """The four input files of this folder."""
        from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar, Potcar

        poscar = Poscar.from_file("POSCAR", check_for_potcar=False, read_velocities=False)
        potcar = Potcar.from_file("POTCAR")
        named = [single.element for single in potcar]
        if poscar.site_symbols != named:
            raise SystemExit(f"POSCAR has {poscar.site_symbols}, POTCAR has {named}")
        return cls(Incar.from_file("INCAR"), Kpoints.from_file("KPOINTS"), potcar, poscar.structure)


@functools.cache
def load() -> object:
    """CHGNet's calculator."""
    import contextlib
    import io

    warnings.filterwarnings("ignore")
    import ase.filters
    import ase.optimize  # noqa: F401 (loaded here, so that forked processes need not)
    import pymatgen.entries.compatibility
    import pymatgen.io.ase  # noqa: F401
    import torch
    from chgnet.model.dynamics import CHGNetCalculator

    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()):
        return CHGNetCalculator(use_device="cpu")


def main() -> int:
    """Calculate in the current folder; returns the exit code."""
    warnings.filterwarnings("ignore")
    inputs = Inputs.read()
    fault = scripted_fault(inputs.structure.composition.reduced_formula, Path.cwd().name)
    print(" NOT VASP: a stand-in for tests, energies by CHGNet", flush=True)
    electronic = int(inputs.incar.get("NELM", 60)) if fault == "unconverged" else ELECTRONIC_STEPS
    outputs = Outputs(inputs.incar, inputs.kpoints, inputs.potcar, inputs.structure, electronic)
    code = None
    for step in relaxation(inputs):
        outputs.add(step)
        if fault == "slow":
            time.sleep(0.5)
        if outputs.count == 2:
            code = strike(fault)
        # Two steps are made in any case, so that a stopped run has got somewhere.
        if code is not None or (outputs.count >= 2 and stop_was_asked()):
            break
    else:
        if outputs.count < 2:  # it converged too early for a second step
            code = strike(fault)
            stop_was_asked()
        print(" reached required accuracy - stopping structural energy minimisation", flush=True)
    if code is not None:
        return code
    outputs.finish(has_wavefunctions=fault != "no_wavecar")
    if fault == "garbage":
        Path("vasprun.xml").write_text("<modeling> <<< disk full")
    return 0


def strike(fault: str | None) -> int | None:
    """Let a fault happen that ends the run or keeps it from ending; the exit code if it has ended."""
    if fault == "zbrent":
        print(" ZBRENT: fatal error in bracketing", flush=True)
        return 1
    if fault == "crash":
        print(" forrtl: severe (174): SIGSEGV, segmentation fault occurred", flush=True)
        return SEGMENTATION_FAULT
    while fault == "hang" or (fault == "walltime" and not Path("STOPCAR").exists()):
        time.sleep(0.05)
    return None


def stop_was_asked() -> bool:
    """Whether STOPCAR is there; like VASP, take it away."""
    is_asked = Path("STOPCAR").exists()
    Path("STOPCAR").unlink(missing_ok=True)
    return is_asked


def relaxation(inputs: Inputs):
    """Yield a Step for each ionic step: one for NSW = 0, else until the forces are small or NSW is reached."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import LBFGS
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms = AseAtomsAdaptor.get_atoms(inputs.structure)
    atoms.info = {}
    atoms.calc = load()
    offset = correction(inputs)

    def step() -> Step:
        energy = float(atoms.get_potential_energy()) - offset
        stress = atoms.get_stress(voigt=False)
        return Step(energy, atoms.get_forces().copy(), stress, atoms.cell.array.copy(), atoms.get_scaled_positions())

    moves = int(inputs.incar.get("NSW", 0))
    if moves == 0 or int(inputs.incar.get("IBRION", -1)) < 0:
        yield step()
        return
    target = FrechetCellFilter(atoms) if int(inputs.incar.get("ISIF", 2)) >= 3 else atoms
    for _ in LBFGS(target, logfile=None).irun(fmax=FMAX, steps=moves - 2):
        yield step()


def correction(inputs: Inputs) -> float:
    """The MP2020 correction of this crystal, eV.

    CHGNet was trained on corrected energies; VASP's are not. Taking the correction off makes the stand-in's energies
    what VASP's would be, and energies that are not corrected, or corrected twice, are found to be off.
    """
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    incar, structure = inputs.incar, inputs.structure
    symbols = [single.element for single in inputs.potcar]
    hubbards = dict(zip(symbols, incar.get("LDAUU", [0.0] * len(symbols)), strict=True)) if incar.get("LDAU") else {}
    parameters = {
        "run_type": "GGA+U" if hubbards else "GGA",
        "is_hubbard": bool(hubbards),
        "hubbards": hubbards,
        "potcar_symbols": [f"PAW_PBE {single.symbol}" for single in inputs.potcar],
    }
    entry = ComputedStructureEntry(structure, 0.0, parameters=parameters)
    corrected = MaterialsProject2020Compatibility().process_entry(entry)
    return 0.0 if corrected is None else float(np.sum([part.value for part in corrected.energy_adjustments]))


def scripted_fault(formula: str, stage: str) -> str | None:
    """The fault that the script asks for in this call, if any; the call is written down."""
    script = os.environ.get("VASP_STAND_IN_SCRIPT")
    if not script:
        return None
    with open(script + ".log", "a", encoding="utf-8") as log:
        log.write(json.dumps({"formula": formula, "stage": stage, "folder": os.getcwd()}) + "\n")
    for number, rule in enumerate(json.loads(Path(script).read_text(encoding="utf-8"))):
        if rule.get("formula", formula) == formula and rule.get("stage", stage) == stage:
            for count in range(rule.get("times", 1 << 30)):
                try:
                    Path(f"{script}.{number}.{count}").touch(exist_ok=False)
                except FileExistsError:
                    continue
                return rule["kind"]
    return None
