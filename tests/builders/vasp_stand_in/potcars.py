"""Synthetic pseudopotentials: headers that pymatgen can read and no physics. `python potcars.py FOLDER` writes them."""

import gzip
import sys
from pathlib import Path

MARK = "SYNTHETIC"  # in the place of the date; what makes results of the stand-in recognisable by their inputs
HEADER = """  PAW_PBE {symbol} {mark}
   {valence:.14f}
 parameters from PSCTR are:
   VRHFIN ={element}: synthetic, not VASP
   LEXCH  = PE
   EATOM  =   100.0000 eV,    7.3500 Ry

   TITEL  = PAW_PBE {symbol} {mark}
   LULTRA =        F    use ultrasoft PP ?
   IUNSCR =        1    unscreen: 0-lin 1-nonlin 2-no
   RPACOR =    1.500    partial core radius
   POMASS =  {mass:8.3f}; ZVAL   = {valence:8.3f}    mass and valenz
   RCORE  =    1.900    outmost cutoff radius
   RWIGS  =    2.480; RWIGS  =    1.312    wigner-seitz radius (au A)
   ENMAX  =  250.000; ENMIN  =  180.000 eV
   ICORE  =        2    local potential
   LCOR   =        T    correct aug charges
   LPAW   =        T    paw PP
   EAUG   =  300.000
   DEXC   =     .000
   RMAX   =    2.000    core radius for proj-oper
   RAUG   =    1.300    factor for augmentation sphere
   RDEP   =    2.000    core radius for depl-charge
   QCUT   =   -5.000; QGAM   =   10.000    optimization parameters

   Description
     l     E      TYP  RCUT    TYP  RCUT
   0   .000     23  1.900
   Error from kinetic energy argument (eV)
   NDATA  =      100
   STEP   =   20.000   1.050
   1.00 .500 .100
END of PSCTR-controll parameters
 local part
  10.0 0.1 0.2 0.3
 End of Dataset
"""


def valence(symbol: str) -> float:
    """Valence electrons of a potential such as Fe_pv, by the group of its element."""
    from pymatgen.core import Element

    element = Element(symbol.split("_")[0])
    if element.is_lanthanoid or element.is_actinoid:
        return 11.0
    count = element.group if element.group <= 12 else element.group - 10
    return float(count + (6 if "_pv" in symbol else 8 if "_sv" in symbol else 0))


def write(folder: Path) -> None:
    """Write FOLDER/POT_GGA_PAW_PBE/POTCAR.*.gz for every element of the Materials Project's sets."""
    from pymatgen.core import Element
    from pymatgen.io.vasp.sets import MPRelaxSet

    folder = folder / "POT_GGA_PAW_PBE"
    folder.mkdir(parents=True, exist_ok=True)
    for element, symbol in MPRelaxSet.CONFIG["POTCAR"].items():
        text = HEADER.format(
            symbol=symbol, element=element, mark=MARK, valence=valence(symbol), mass=float(Element(element).atomic_mass)
        )
        with gzip.open(folder / f"POTCAR.{symbol}.gz", "wt") as file:
            file.write(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
