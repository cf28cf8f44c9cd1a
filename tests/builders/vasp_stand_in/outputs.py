"""VASP's output files, written step by step as VASP does, with the few numbers that custodian and atomate2 read."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.io.vasp.inputs import Incar, Kpoints, Potcar

VERSION = "0.0.0-stand-in-not-vasp"
KBAR = 1602.1766208  # per eV/Å³
OTHER_FILES = ("DOSCAR", "EIGENVAL", "IBZKPT", "PCDAT", "XDATCAR", "PROCAR", "CHG")


@dataclass(frozen=True)
class Step:
    """One ionic step: energy eV, forces (n, 3) eV/Å, stress (3, 3) eV/Å³, lattice (3, 3) Å, frac_coords (n, 3)."""

    energy: float
    forces: np.ndarray
    stress: np.ndarray
    lattice: np.ndarray
    frac_coords: np.ndarray


class Outputs:
    """The output files of one calculation; vasprun.xml stays torn until `finish`."""

    def __init__(
        self, incar: "Incar", kpoints: "Kpoints", potcar: "Potcar", structure: "Structure", electronic: int
    ) -> None:
        """Write the heads of the files; `electronic` is the number of electronic steps that each ionic step takes."""
        self.incar, self.structure, self.electronic = incar, structure, electronic
        self.spins = int(incar.get("ISPIN", 1))
        charges = {single.element: single.zval for single in potcar}
        self.electrons = sum(charges[site.specie.symbol] for site in structure)
        self.bands = int(self.electrons / 2) + 4
        self.is_metal = all(element.is_metal for element in structure.composition)
        self.count = 0
        self.last: Step | None = None
        Path("OSZICAR").write_text("")
        Path("OUTCAR").write_text(_outcar_head(self, incar))
        Path("vasprun.xml").write_text(_xml_head(self, kpoints, potcar))
        for name in ("WAVECAR", "CHGCAR"):
            Path(name).touch()

    def add(self, step: Step) -> None:
        """Write one ionic step; CONTCAR is whole after each."""
        from pymatgen.core import Structure
        from pymatgen.io.vasp.inputs import Poscar

        if self.last is None:
            self._append("vasprun.xml", _xml_structure("initialpos", step))
        self.count, self.last = self.count + 1, step
        rows = [
            f"DAV: {k + 1:3d}    {step.energy:.12E}   -1.0E-05  -1.0E-05   100   1.0E-02"
            for k in range(self.electronic)
        ]
        rows.append(f"{self.count:4d} F= {step.energy:.8E} E0= {step.energy:.8E}  d E =0.000000E+00")
        self._append("OSZICAR", "\n".join(rows))
        self._append(
            "OUTCAR",
            "    total drift:                                0.000000      0.000000      0.000000\n\n"
            f"  free  energy   TOTEN  =  {step.energy:18.8f} eV\n\n"
            f"  energy  without entropy= {step.energy:18.8f}  energy(sigma->0) = {step.energy:18.8f}\n"
            "     LOOP+:  cpu time    0.1000: real time    0.1000\n",
        )
        energy = "".join(
            f'<i name="{name}">{step.energy:16.8f}</i>' for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy")
        )
        self._append(
            "vasprun.xml",
            "<calculation>"
            + f"<scstep><energy>{energy}</energy></scstep>" * self.electronic
            + _xml_structure(None, step)
            + _xml_array("forces", step.forces)
            + _xml_array("stress", -step.stress * KBAR)
            + f"<energy>{energy}</energy>"
            + _xml_bands(self)
            + "</calculation>",
        )
        structure = Structure(step.lattice, self.structure.species, step.frac_coords)
        Poscar(structure).write_file("CONTCAR.new", significant_figures=16)
        Path("CONTCAR.new").rename("CONTCAR")

    def finish(self, has_wavefunctions: bool) -> None:
        """Write what VASP writes at its end."""
        self._append("vasprun.xml", _xml_structure("finalpos", self.last) + "</modeling>")
        self._append("OUTCAR", _OUTCAR_TAIL)
        for name in OTHER_FILES:
            Path(name).write_text("stand-in, not VASP\n")
        for name in ("WAVECAR", "CHGCAR"):
            if has_wavefunctions:
                Path(name).write_text("stand-in, not VASP\n")
            else:
                Path(name).unlink()

    @staticmethod
    def _append(name: str, text: str) -> None:
        with open(name, "a", encoding="utf-8") as file:
            file.write(text + "\n")


def _outcar_head(run: Outputs, incar: "Incar") -> str:
    return f""" stand-in for tests, not VASP: energies by CHGNet
 executed on                  stand-in date {datetime.now(UTC).isoformat()}
 running    1 mpi-ranks, with    1 threads/rank
   ISPIN  =      {run.spins}    spin polarized calculation?
   IBRION =     {int(incar.get("IBRION", -1))}
   number of dos      NEDOS =     11   number of ions     NIONS =  {len(run.structure):6d}
   number of bands    NBANDS=  {run.bands:6d}
   total plane-waves  NPLWV =  1000
 number of electron  {run.electrons:.7f} magnetization  0.0000000
 E-fermi :    1.0000     XC(G=0): -10.0     alpha+bet : -10.0
"""


_OUTCAR_TAIL = """ General timing and accounting informations for this job:
                  Total CPU time used (sec):        1.000
                            User time (sec):        1.000
                          System time (sec):        0.000
                         Elapsed time (sec):        1.000
                   Maximum memory used (kb):      100000.
                   Average memory used (kb):          N/A
"""


def _parameters(run: Outputs) -> dict[str, object]:
    incar = run.incar
    ediff = float(incar.get("EDIFF", 1e-4))
    return {
        "SYSTEM": "stand-in, not VASP",
        "PREC": "accura",
        "ENMAX": float(incar.get("ENCUT", 520)),
        "ENAUG": 600.0,
        "EDIFF": ediff,
        "IALGO": 68,
        "NBANDS": run.bands,
        "NELECT": float(run.electrons),
        "ISPIN": run.spins,
        "ISMEAR": int(incar.get("ISMEAR", 1)),
        "SIGMA": float(incar.get("SIGMA", 0.2)),
        "LREAL": False,
        "IBRION": int(incar.get("IBRION", -1)),
        "NSW": int(incar.get("NSW", 0)),
        "ISIF": int(incar.get("ISIF", 2)),
        "EDIFFG": float(incar.get("EDIFFG", 10 * ediff)),
        "NELM": int(incar.get("NELM", 60)),
        "NELMIN": 2,
        "NELMDL": -5,
        "POTIM": 0.5,
        "LORBIT": int(incar.get("LORBIT", 0)),
        "NEDOS": 11,
        "LDAU": bool(incar.get("LDAU", False)),
        "LHFCALC": False,
        "AEXX": 0.0,
        "HFSCREEN": 0.0,
        "LSORBIT": False,
        "LNONCOLLINEAR": False,
        "GGA": "--",
        "METAGGA": "--",
        "IVDW": 0,
        "LUSE_VDW": False,
        "ICHARG": 2,
        "ISTART": 0,
        "LWAVE": True,
        "LCHARG": True,
        "MAGMOM": [float(moment) for moment in (incar.get("MAGMOM") or [0.6] * len(run.structure))],
    }


def _xml_value(key: str, value: object) -> str:
    if isinstance(value, bool):
        return f'<i type="logical" name="{key}"> {"T" if value else "F"} </i>'
    if isinstance(value, int):
        return f'<i type="int" name="{key}"> {value} </i>'
    if isinstance(value, float):
        return f'<i name="{key}"> {value:.8f} </i>'
    if isinstance(value, list) and all(isinstance(item, int) for item in value):
        return f'<v type="int" name="{key}"> {" ".join(map(str, value))} </v>'
    if isinstance(value, list):
        return f'<v name="{key}"> {" ".join(f"{float(item):.8f}" for item in value)} </v>'
    return f'<i type="string" name="{key}">{value}</i>'


def _xml_array(name: str, rows: np.ndarray) -> str:
    lines = "".join("<v>" + " ".join(f"{number:16.8f}" for number in row) + " </v>" for row in rows)
    return f'<varray name="{name}" >{lines}</varray>'


def _xml_structure(name: str | None, step: Step) -> str:
    named = f' name="{name}"' if name else ""
    volume = f'<i name="volume">{abs(np.linalg.det(step.lattice)):16.8f}</i>'
    reciprocal = _xml_array("rec_basis", np.linalg.inv(step.lattice).T)
    cell = f"<crystal>{_xml_array('basis', step.lattice)}{volume}{reciprocal}</crystal>"
    return f"<structure{named}>{cell}{_xml_array('positions', step.frac_coords)}</structure>"


def _xml_head(run: Outputs, kpoints: "Kpoints", potcar: "Potcar") -> str:
    scheme = "Gamma" if kpoints.style.name == "Gamma" else "Monkhorst-Pack"
    grid = kpoints.kpts[0] if scheme == "Gamma" or kpoints.style.name == "Monkhorst" else (1, 1, 1)
    # A grid is reported, one point of it calculated.
    points = (
        f'<kpoints><generation param="{scheme}"><v type="int" name="divisions"> {" ".join(str(int(n)) for n in grid)}'
        f' </v><v name="usershift"> 0 0 0 </v></generation>{_xml_array("kpointlist", np.zeros((1, 3)))}'
        f"{_xml_array('weights', np.ones((1, 1)))}</kpoints>"
    )
    species = [(symbol, len(list(sites))) for symbol, sites in groupby(site.specie.symbol for site in run.structure)]
    atoms = "".join(
        f"<rc><c>{symbol:2s}</c><c>{index + 1:4d}</c></rc>"
        for index, (symbol, n) in enumerate(species)
        for _ in range(n)
    )
    types = "".join(
        f"<rc><c>{n:4d}</c><c>{symbol:2s}</c><c>{single.keywords['POMASS']:.4f}</c><c>{single.zval:.4f}</c>"
        f"<c>  {single.keywords['TITEL']} </c></rc>"
        for (symbol, n), single in zip(species, potcar, strict=True)
    )
    return "".join(
        (
            '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>',
            '<generator><i name="program" type="string">stand-in, not VASP </i>'
            f'<i name="version" type="string">{VERSION}</i><i name="date" type="string">2000 01 01</i></generator>',
            "<incar>" + "".join(_xml_value(key, value) for key, value in run.incar.items()) + "</incar>",
            points,
            "<parameters>"
            + "".join(_xml_value(key, value) for key, value in _parameters(run).items())
            + "</parameters>",
            f"<atominfo><atoms>{len(run.structure)}</atoms><types>{len(species)}</types>",
            f'<array name="atoms"><set>{atoms}</set></array>',
            f'<array name="atomtypes"><set>{types}</set></array></atominfo>',
        )
    )


def _xml_bands(run: Outputs) -> str:
    """Bands and density of states of a made-up insulator, or of a made-up metal."""
    occupied = int(run.electrons / 2)
    gap = 0.0 if run.is_metal else 1.0
    energies = [1.0 - gap / 2 - 0.1 * (occupied - 1 - b) for b in range(occupied)]
    energies += [1.0 + gap / 2 + 0.1 * b for b in range(run.bands - occupied)]
    rows = "".join(f"<r>{e:10.4f} {float(b < occupied):8.4f}</r>" for b, e in enumerate(energies))
    spins = range(1, run.spins + 1)
    bands = "".join(f'<set comment="spin {s}"><set comment="kpoint 1">{rows}</set></set>' for s in spins)
    states = "".join(f"<r>{e:.4f} 0.1 {(e + 10) / 10:.4f}</r>" for e in np.linspace(-10, 10, 11))
    density = "".join(f'<set comment="spin {s}">{states}</set>' for s in spins)
    return (
        f"<eigenvalues><array><set>{bands}</set></array></eigenvalues>"
        f'<dos><i name="efermi">{1.0:12.6f}</i><total><array><set>{density}</set></array></total></dos>'
    )
