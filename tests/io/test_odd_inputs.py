"""Inputs of other programs as they write them, each with the crystal that is right, or the reason for refusing it.

Written by somebody who did not write the readers: by the rules of CIF 1.1, of each format, and of chemistry.
"""

import io
import json
import zipfile
from pathlib import Path

import gemmi
import pandas
import pytest
from pymatgen.core import Lattice, Species, Structure

from miad.core.errors import MiadError
from miad.io.any_format import read_any


def cell(a: float, b: float = 0, c: float = 0, angles: tuple[float, ...] = (90, 90, 90)) -> str:
    lengths = zip("abc", (a, b or a, c or a), strict=True)
    text = "".join(f"_cell_length_{axis} {length}\n" for axis, length in lengths)
    return text + "".join(
        f"_cell_angle_{name} {angle}\n" for name, angle in zip(("alpha", "beta", "gamma"), angles, strict=True)
    )


def operations(group: str) -> str:
    found = gemmi.find_spacegroup_by_name(group).operations()
    tag = "loop_\n_space_group_symop_id\n_space_group_symop_operation_xyz\n"
    return tag + "".join(f"{number} '{one.triplet()}'\n" for number, one in enumerate(found, 1))


XYZ = "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
LABELS, TYPES = f"loop_\n_atom_site_label\n{XYZ}", f"loop_\n_atom_site_label\n_atom_site_type_symbol\n{XYZ}"
HM = "_symmetry_space_group_name_H-M"
HEXAGONAL, OBLIQUE = (90, 90, 120), (90, 99.2, 90)


def salt(
    symmetry: str = f"{HM} 'F m -3 m'\n", sites: str = "Na1 Na 0 0 0\nCl1 Cl .5 .5 .5\n", tags: str = TYPES
) -> str:
    return f"data_x\n{cell(5.64)}{symmetry}{tags}{sites}"


def alone(label: str) -> str:
    """Rock salt whose cation has a label and no type."""
    return salt(sites=f"{label} 0 0 0\nCl1 .5 .5 .5\n", tags=LABELS)


def zirconia(symmetry: str) -> str:
    sites = "Zr1 Zr .2754 .0395 .2083\nO1 O .07 .3317 .3447\nO2 O .4496 .7569 .4792\n"
    return f"data_x\n{cell(5.1, 5.2, 5.3, OBLIQUE)}{symmetry}\n{TYPES}{sites}"


def corundum(symmetry: str) -> str:
    return f"data_x\n{cell(4.758, 0, 12.99, HEXAGONAL)}{symmetry}\n{TYPES}Al1 Al 0 0 .3522\nO1 O .3063 0 .25\n"


def diamond(symmetry: str, x: float = 0) -> str:
    return f"data_x\n{cell(5.43)}{symmetry}\n{TYPES}Si1 Si {x} {x} {x}\n"


FORSTERITE = f"""data_global
_chemical_name_mineral 'Forsterite'
loop_
_publ_author_name
'Hazen R M'
_publ_section_title
;
 Effects of temperature on the crystal structure of forsterite
 T = 23 C
;
_database_code_amcsd 0000082
_chemical_formula_sum 'Mg2 Si O4'
{cell(4.756, 10.207, 5.98)}{HM} 'P b n m'
{LABELS}MgM1 0 0 0
MgM2 .9915 .2774 .25
Si .4262 .094 .25
O1 .7657 .0913 .25
O2 .2215 .4474 .25
O3 .2777 .1628 .0331
"""
LONG = "_shelx_hkl_file\n;\n" + "   1  -2   3  100.00    1.00   1\n" * 40_000 + ";\n"
SPIN = Structure(Lattice.cubic(4.2), [Species("Fe", 3, spin=5), "O2-"], [[0] * 3, [0.5] * 3])
ICSD = (
    "#(C) 2023 by FIZ Karlsruhe\ndata_18189-ICSD\n_chemical_formula_sum 'Cl1 Na1'\n_cell_formula_units_Z 4\n"
    + cell(5.6401).replace("5.6401", "5.6401(2)").replace(" 90", " 90.")
    + "_space_group_name_H-M_alt 'F m -3 m'\n_space_group_IT_number 225\n"
    + operations("F m -3 m")
    + TYPES.replace("symbol\n", "symbol\n_atom_site_symmetry_multiplicity\n_atom_site_Wyckoff_symbol\n")
    + "_atom_site_B_iso_or_equiv\n_atom_site_occupancy\nNa1 Na1+ 4 a 0 0 0 . 1.\nCl1 Cl1- 4 b .5 .5 .5 . 1.\n#End\n"
)
GSAS = "data_x_publ\n_pd_block_id a\ndata_x_phase_1\n" + salt().removeprefix("data_x\n") + "data_x_pwd_0\n_pd_x 1\n"
JOURNAL = "data_global\n_publ_section_comment\n;\n_atom_site_U_iso is free\n;\n# _atom_site_label follows\n"
VESTA = salt(
    f"{HM}_alt 'F m -3 m'\n".replace("_symmetry_space", "_space") + operations("F m -3 m"),
    "   Na1 1.0 0.000 0.000 0.000 Uiso ? Na\n   Cl1 1.0 0.500 0.500 0.500 Uiso ? Cl\n",
    f"loop_\n _atom_site_label\n _atom_site_occupancy\n{XYZ}_atom_site_adp_type\n_atom_site_U_iso_or_equiv\n"
    "_atom_site_type_symbol\n",
)
CIFS = {
    "VESTA": (VESTA, "Na4 Cl4"),
    "ICSD": (ICSD, "Na4 Cl4"),
    "Materials Studio": (salt(f"{HM} 'FM-3M'\n"), "Na4 Cl4"),
    "AMCSD": (FORSTERITE, "Mg8 Si4 O16"),
    "AMCSD of another formula": (FORSTERITE.replace("Mg2 Si", "Mg3 Si"), "its formula is"),
    "GSAS-II": (GSAS, "Na4 Cl4"),
    "SHELXL with its reflections": (salt() + LONG, "Na4 Cl4"),
    "pymatgen with spins": (SPIN.to(fmt="cif"), "Fe1 O1"),
    "a journal's block that quotes sites": (JOURNAL + salt(), "Na4 Cl4"),
    "old notation": (salt(f"{HM} 'F m 3 m'\n"), "Na4 Cl4"),
    "a symbol in a text field": (salt(f"{HM}\n;\nF m -3 m\n;\n"), "Na4 Cl4"),
    "screw axis in brackets": (zirconia(f"{HM} 'P2(1)/c'"), "Zr4 O8"),
    "another cell of a group": (zirconia(f"{HM} 'P 1 21/n 1'"), "Zr4 O8"),
    "unique axis against the cell": (zirconia(f"{HM} 'P 1 1 21/b'"), "cell does not fit"),
    "Hall symbol with a quote": (corundum("_space_group_name_Hall '-R 3 2\"c'"), "Al12 O18"),
    "hexagonal axes of ICSD": (corundum(f"{HM} 'R -3 c H'"), "Al12 O18"),
    "second origin of ICSD": (diamond(f"{HM} 'F d -3 m Z'", 0.125), "Si8"),
    "an open origin": (diamond(f"{HM} 'F d -3 m'"), "several settings"),
    "an open origin that Z decides": (
        diamond(f"_chemical_formula_sum Si\n_cell_formula_units_Z 8\n{HM} 'F d -3 m'"),
        "Si8",
    ),
    "only the reference setting": (salt("_space_group_name_H-M_ref 'F m -3 m'\n"), "symmetry is told by"),
    "only Schoenflies": (salt("_space_group_name_Schoenflies 'O_h^5'\n"), "symmetry is told by"),
    "only a cubic cell": (salt("_symmetry_cell_setting cubic\n"), "symmetry is told by"),
    "no symmetry, triclinic": (salt("_symmetry_cell_setting triclinic\n"), "Na1 Cl1"),
    "half of the operations": (salt(f"{HM} 'F m -3 m'\n" + operations("P m -3 m")), "listed operations"),
    "a charge in a label": (alone("Na1+"), "Na4 Cl4"),
    "a tetrahedral site": (alone("T1"), "may be one element or two"),
    "two elements in a label": (alone("Fe0.5Ni0.5"), "may be one element or two"),
    "water in a label": (alone("H2O"), "may be one element or two"),
    "a peak of SHELXL": (alone("Q1"), "not an element"),
    "a dummy site": (
        salt(sites="Na1 Na 0 0 0 d\nCl1 Cl .5 .5 .5 d\nC1 C .25 .25 .25 dum\n", tags=TYPES + "_atom_site_calc_flag\n"),
        "Na4 Cl4",
    ),
    "an author's apostrophe": ("data_x\n_publ_author_name 'O'Brien, J.'\n" + salt()[7:], "Na4 Cl4"),
    "a loop in one line": (salt().replace(TYPES, TYPES.replace("\n", " ")), "Na4 Cl4"),
}

CSCL = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
OPTIMADE = {
    "lattice_vectors": CSCL.lattice.matrix.tolist(),
    "cartesian_site_positions": CSCL.cart_coords.tolist(),
    "species_at_sites": ["Cs", "Cl"],
}


def frame(properties: str, rows: str, more: str = "") -> str:
    lattice = 'Lattice="4.1 0 0 0 4.1 0 0 0 4.1"'
    return f'2\n{lattice} Properties={properties} {more} pbc="T T T"\n{rows}'


def optimade(**more: object) -> str:
    return json.dumps({"data": [{"id": "a", "type": "structures", "attributes": {**OPTIMADE, **more}}]})


def archive(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as content:
        for name, text in files.items():
            content.writestr(name, text)
    return packed.getvalue()


def parquet(**columns: object) -> bytes:
    packed = io.BytesIO()
    pandas.DataFrame(columns).to_parquet(packed)
    return packed.getvalue()


POS = "Cs 0 0 0\nCl 2.05 2.05 2.05\n"
ATTACHED = [{"name": "Cs", "chemical_symbols": ["Cs"], "concentration": [1.0], "attached": ["H"], "nattached": [3]}]
SPECIES = json.dumps(CSCL.as_dict())
FILES: dict[str, tuple[str, str | bytes, str]] = {
    "xyz: MACE": ("a.xyz", frame("species:S:1:pos:R:3", POS, "energy=-6.8 MACE_energy=-6.7"), "Cs1 Cl1 at -3.4"),
    "xyz: OVITO": ("a.xyz", frame("id:I:1:pos:R:3:species:S:1", "1 0 0 0 Cs\n2 2.05 2.05 2.05 Cl\n"), "Cs1 Cl1"),
    "xyz: occupancies": ("a.xyz", frame("species:S:1:pos:R:3:occ:R:1", "Cs 0 0 0 .5\nCl 2 2 2 1\n"), "partly occupied"),
    "xyz: fractional": ("a.xyz", frame("species:S:1:frac_pos:R:3", "Cs 0 0 0\nCl .5 .5 .5\n"), "no positions"),
    "xyz: dummy": ("a.xyz", frame("species:S:1:pos:R:3", POS.replace("Cs", "X")), "not an element"),
    "xyz: energy of Fortran": ("a.xyz", frame("species:S:1:pos:R:3", POS, "energy=-6.8D+00"), "Cs1 Cl1"),
    "optimade": ("a.json", optimade(nperiodic_dimensions=3), "Cs1 Cl1"),
    "optimade: slab": ("a.json", optimade(nperiodic_dimensions=2), "not periodic"),
    "optimade: molecule": ("a.json", optimade(nperiodic_dimensions=0), "not periodic"),
    "optimade: attached": ("a.json", optimade(species=ATTACHED), "site_attachments"),
    "optimade: assemblies": ("a.json", optimade(assemblies=[{"sites_in_groups": [[0], [1]]}]), "partly occupied"),
    "json: deuterium": ("a.json", SPECIES.replace('"Cl"', '"D"'), "Cs1 H1"),
    "json: vacancy": ("a.json", SPECIES.replace('"Cl"', '"Vac"'), "not an element"),
    "json: text in a record": ("a.json", json.dumps([{"structure": SPECIES}]), "Cs1 Cl1"),
    "csv: repr": ("a.tsv", "id\tstructure\n1\t" + repr(CSCL).replace("\n", " ") + "\n", "unreadable"),
    "csv: python": ("a.csv", 'id;structure\n1;"' + str(CSCL.as_dict()) + '"\n', "Cs1 Cl1"),
    "parquet": ("a.parquet", parquet(cif=[CSCL.to(fmt="cif")], energy_per_atom=[-3.4]), "Cs1 Cl1 at -3.4"),
    "zip of macOS": ("a.zip", archive({"gen/1.cif": salt(), "__MACOSX/gen/._1.cif": "x"}), "Na4 Cl4"),
    **{f"cif: {name}": ("a.cif", text, right) for name, (text, right) in CIFS.items()},
}


@pytest.mark.parametrize("name", FILES)
def test_an_input_is_read_right_or_refused(tmp_path: Path, name: str) -> None:
    file, content, right = FILES[name]
    path = tmp_path / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        (found,) = read_any(path, "a")
    except MiadError as error:
        assert right in str(error)
        return
    energy = "" if found.energy_per_atom is None else f" at {found.energy_per_atom:g}"
    told = str(found.failure) if found.failure else found.structure.composition.formula + energy
    assert right in told if found.failure else told == right
    assert len(told) < 300
