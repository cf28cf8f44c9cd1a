"""CIF texts, good and bad."""

import itertools
import time

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from miad.core.errors import MiadError
from miad.io import cif_block
from miad.io.cif import parse_cif

CSCL = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def with_cell(**changes: str) -> str:
    text = CSCL.to(fmt="cif")
    for old, new in changes.items():
        assert f"_cell_{old}   4.1" in text
        text = text.replace(f"_cell_{old}   4.10000000", f"_cell_{old}   {new}")
    return text


def test_a_cif_gives_its_crystal_with_and_without_symmetry():
    rutile = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0] * 3, [0.305, 0.305, 0]]
    )
    for symprec in (None, 0.01):
        parsed = parse_cif(rutile.to(fmt="cif", symprec=symprec))
        assert len(parsed) == 6
        assert StructureMatcher(scale=False).fit(parsed, rutile)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("data_\nloop_\n_atom_site_label\n", "has no _cell_length_a"),
        ("Once upon a time", "unreadable"),
        ("\x00" * 100, "unreadable"),
        (with_cell(length_a="nan"), "not finite"),
        (with_cell(length_a="0.0"), "its cell cannot be"),
        ("x" * 1_000_001, "1,000,001 characters"),
        (CSCL.to(fmt="cif").replace("Cs", "Fm"), "contains Fm; miad knows the elements 1 to 99"),
        (CSCL.to(fmt="cif").replace("Cs", "Qq"), "contains Qq, which is not an element"),
    ],
)
def test_a_bad_cif_has_a_reason(text, reason):
    with pytest.raises(MiadError, match=reason):
        parse_cif(text)


def test_partly_occupied_sites_are_refused():
    alloy = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(MiadError, match="partly occupied"):
        parse_cif(alloy.to(fmt="cif"))


def test_crystals_of_too_many_atoms_are_refused(monkeypatch):
    monkeypatch.setattr(cif_block, "MAX_ATOMS", 15)
    with pytest.raises(MiadError, match="16 sites"):
        parse_cif((CSCL * (2, 2, 2)).to(fmt="cif"))


def listing(sites: np.ndarray, operations: list[str]) -> str:
    """A CIF of sites (n_sites, 3) and operations, as text."""
    cell = "".join(f"_cell_length_{one} 20\n" for one in "abc")
    cell += "".join(f"_cell_angle_{one} 90\n" for one in ("alpha", "beta", "gamma"))
    loop = "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{one}'\n" for one in operations)
    loop += "loop_\n_atom_site_label\n" + "".join(f"_atom_site_fract_{axis}\n" for axis in "xyz")
    rows = "".join(f"Na {' '.join(f'{x:.4f}' for x in site)}\n" for site in sites)
    return f"data_x\n{cell}{loop}{rows}"


SHIFTS = [f"x+{i}/5,y+{j}/4,z+{k}/4" for i, j, k in itertools.product(range(5), range(4), range(4))]


@pytest.mark.parametrize(
    ("num_sites", "operations", "reason"),
    [
        (200, SHIFTS, "lists 200 sites and 80 symmetry operations, which make more than 400 atoms"),
        (401, ["x,y,z"], "lists 401 sites"),
        (1, ["x,y,z"] * 5_000, "lists 5,000 symmetry operations"),
        (400, [f"x+{i}/720,y,z" for i in range(720)], "lists 400 sites and 720 symmetry operations"),
    ],
)
def test_many_sites_and_operations_are_refused_at_once(num_sites: int, operations: list[str], reason: str) -> None:
    text = listing(np.random.default_rng(0).random((num_sites, 3)), operations)
    start = time.process_time()
    with pytest.raises(MiadError, match=reason):
        parse_cif(text)
    assert time.process_time() - start < 10  # pymatgen: a minute for the first


def test_operations_that_give_the_same_positions_add_no_atoms() -> None:
    corner = np.random.default_rng(0).random((4, 3)) * 0.15
    assert len(parse_cif(listing(corner, SHIFTS * 3))) == 4 * 80


SALT = """data_salt
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0 0 0 1
Cl1 Cl 0.5 0.5 0.5 1
"""
FIELD = """_refine_special_details
;
data_inner block quoted in a text field
loop_
 _symmetry_equiv_pos_as_xyz
 x,y,z
;
"""


def changed(*changes: str) -> str:
    """The CIF of rock salt with texts replaced, given as old, new, old, new, ..."""
    text = SALT
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    return text


RIGHT = {
    "as it is": SALT,
    "text in a field is opaque": changed("loop_\n", FIELD + "loop_\n"),
    "occupancy .": changed("0.5 1\n", "0.5 .\n"),
    "occupancy ?": changed("0.5 1\n", "0.5 ?\n"),
    "occupancy with its uncertainty": changed("0.5 1\n", "0.5 1.00(2)\n"),
    "an empty site": changed("0.5 1\n", "0.5 1\nK1 K 0.25 0.25 0.25 0\n"),
    "Hall symbol": changed("_symmetry_space_group_name_H-M 'F m -3 m'", "_symmetry_space_group_name_Hall '-F 4 2 3'"),
    "dotted tags": changed("_atom_site_", "_atom_site.", "_cell_", "_cell.", "_symmetry_", "_symmetry."),
    "tags in capitals": changed("_atom_site_", "_ATOM_SITE_", "_cell_length", "_Cell_Length", "loop_", "LOOP_"),
    "charges": changed("Na1 Na ", "Na1 Na1+ ", "Cl1 Cl ", "Cl1 Cl- "),
    "charges behind": changed("Na1 Na ", "Na1 Na+1 ", "Cl1 Cl ", "Cl1 Cl0- "),
    "capitals": changed("Na1 Na ", "Na1 NA ", "Cl1 Cl ", "Cl1 CL "),
    "labels only": changed("_atom_site_type_symbol\n", "", "Na1 Na ", "Na1A ", "Cl1 Cl ", "Cl_2 "),
    "symbols only": changed("_atom_site_label\n", "", "Na1 Na ", "Na ", "Cl1 Cl ", "Cl "),
    "uncertainties": changed("5.64", "5.640(2)", "0.5 0.5 0.5", "0.500(3) 0.5000(1) .5"),
    "minus of a word processor": changed("0.5 0.5 0.5", "\u22120.5 0.5 \u20130.5", "-3 m", "\u22123 m"),
    "quoted numbers": changed("5.64", "'5.64'"),
    "byte order mark and names": "\ufeff# M\u00fcller \u5f20\n" + SALT,
    "ends of lines of old programs": changed("\n", "\r").replace("loop_", FIELD.replace("\n", "\r") + "loop_"),
    "a block of the journal before": "data_global\n_journal_year 2001\n" + SALT,
    "a name with spaces": changed("data_salt", "data_rock salt, 'halite"),
    "a tag behind the name": changed("data_salt\n", "data_salt "),
    "formula unit and Z": changed("loop_", "_chemical_formula_sum 'Cl Na'\n_cell_formula_units_Z 4\nloop_"),
    "formula unit": changed("loop_", "_chemical_formula_sum 'Na Cl'\nloop_"),
    "formula of the cell and Z": changed("loop_", "_chemical_formula_sum 'Na4 Cl4'\n_cell_formula_units_Z 4\nloop_"),
    "formula of no use": changed("loop_", "_chemical_formula_sum 'rock salt'\nloop_"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_the_same_crystal_in_whatever_way_it_is_written(name: str) -> None:
    found = parse_cif(RIGHT[name])
    assert found.composition.formula == "Na4 Cl4"
    assert found.volume == pytest.approx(5.64**3)
    assert StructureMatcher(scale=False).fit(found, parse_cif(SALT))


def test_deuterium_and_tritium_are_hydrogen() -> None:
    text = changed("Na1 Na ", "D1 D ", "Cl1 Cl ", "T1 T ", "loop_", "_chemical_formula_sum 'D1 T1'\nloop_")
    assert parse_cif(text).composition.formula == "H8"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (("Cl1 Cl ", "OH1 OH "), "site OH1 contains OH, which is not an element"),
        (("Cl1 Cl ", "Wat1 Wat "), "contains Wat, which is not an element"),
        (("Cl1 Cl ", "Vac1 Vac "), "contains Vac, which is not an element"),
        (("Cl1 Cl ", "Cl1 '0.8Cl + 0.2Br' "), "0.8Cl . 0.2Br, which is not an element"),
        (("_atom_site_type_symbol\n", "", "Na1 Na ", "Na1 ", "Cl1 Cl ", "Cl,Br "), "Cl,Br, which is not an element"),
        (("_atom_site_type_symbol\n", "", "Na1 Na ", "Na1 ", "Cl1 Cl ", "Ow1 "), "contains Ow"),
        (("Cl1 Cl ", "CO1 CO "), "may be one element or two; write Co"),
        (("0.5 0.5 0.5 1", "0.5 0.5 0.5 0.5"), "partly occupied"),
        (("0.5 0.5 0.5 1", "0.5 0.5 0.5 1.2"), "occupancies"),
        (("0.5 0.5 0.5 1", "0.5 0.5 0.5 x"), "occupancies"),
        (("0 0 0 1", "0 0 0 0", "0.5 1\n", "0.5 0\n"), "all its sites are empty"),
        (("0.5 0.5 0.5 1", "0 0 0 1"), "sites Na1 and Cl1 lie on one place"),
        (("0.5 0.5 0.5 1", "0.5 0.5 0.5 1\nCl2 Cl 0.5 0 0 1"), "sites Cl1 and Cl2 lie on one place"),
        (("0.5 0.5 0.5 1", "? ? ? 1"), r"not finite numbers: Cl1 is at \? \? \?"),
        (("0.5 0.5 0.5 1", "0.5 1/2 0.5 1"), "not finite numbers: Cl1"),
        (("0.5 0.5 0.5 1", "0.5 \ufffd0.5 0.5 1"), "not finite numbers: Cl1"),
        (("0.5 0.5 0.5 1", "0.5 1e300 0.5 1"), "not finite numbers: Cl1"),
        (("fract", "Cartn"), "does not give the fractional coordinates"),
        (("loop_", "_chemical_formula_sum 'Na2 Cl'\nloop_"), "formula is 'Na2 Cl', but its sites make 'Na4 Cl4'"),
        (("loop_", "_chemical_formula_sum 'Na Cl O'\nloop_"), "formula is 'Na Cl O'"),
        (("loop_", "_chemical_formula_sum 'Na4 Cl4'\n_cell_formula_units_Z 2\nloop_", "F m", "P m"), "'Na1 Cl1'"),
        (("loop_", "_chemical_formula_sum 'Na8 Cl8'\nloop_"), "formula is 'Na8 Cl8'"),
        (("_cell_length_a 5.64\n", ""), "no _cell_length_a"),
        (("alpha 90", "alpha ?"), r"_cell_angle_alpha is \?"),
        (("alpha 90", "alpha 10", "beta 90", "beta 20"), "cell cannot be"),
        (("gamma 90", "gamma 180"), "cell cannot be"),
        (("length_a 5.64", "length_a -5.64"), "cell cannot be"),
        (("length_a 5.64", "length_a 1e9"), "cell cannot be"),
        (("F m -3 m", "P 1", "_occupancy\n", "_occupancy\n_atom_site_disorder_group\n", " 1\n", " 1 2\n"), "partly"),
        (("_occupancy\n", "_occupancy\n_atom_site_attached_hydrogens\n", " 1\n", " 1 2\n"), "hydrogen"),
        (("data_salt", "data_salt\n_cell_length_a 5.7"), "duplicate tag"),
        (("data_salt", "data_salt\n_cell.length_a 5.7"), "gives _cell_length_a twice"),
        (("0 0 0 1", "0 0 0"), "Wrong number of values"),
    ],
)
def test_what_cannot_be_told_is_refused(changes: tuple[str, ...], reason: str) -> None:
    with pytest.raises(MiadError, match=reason) as refused:
        parse_cif(changed(*changes))
    assert len(str(refused.value)) < 300


def test_two_crystals_in_one_text_are_refused() -> None:
    with pytest.raises(MiadError, match="holds 2 crystals"):
        parse_cif(SALT + SALT.replace("data_salt", "data_other"))


@pytest.mark.parametrize(("digits", "num_atoms"), [(2, 0), (3, 2), (4, 2), (5, 2)])
def test_rounded_special_positions_are_merged_or_refused(digits: int, num_atoms: int) -> None:
    text = changed("Na1 Na 0 0 0 1\n", "", "Cl1 Cl 0.5 0.5 0.5", f"Mg1 Mg {1 / 3:.{digits}f} {2 / 3:.{digits}f} 0.25")
    text = (
        text.replace("F m -3 m", "P 63/m m c").replace("gamma 90", "gamma 120").replace("length_a 5.64", "length_a 3.2")
    )
    text = text.replace("length_b 5.64", "length_b 3.2")
    if num_atoms:
        assert len(parse_cif(text)) == num_atoms
    else:
        with pytest.raises(MiadError, match="Mg1 is a special position written with too few digits"):
            parse_cif(text)


@pytest.mark.parametrize(
    "hostile",
    [
        changed("loop_", f"_chemical_formula_sum 'C{'1' * 400_000}x'\nloop_"),
        changed("Cl1 Cl ", f"Cl1 C{'1' * 400_000}! "),
        changed("F m -3 m", "F m -3 m" + " m" * 200_000),
        changed("loop_", "save_x\n" * 50_000 + "loop_"),
        listing(np.zeros((1, 3)), [f"x+{n % 30}/30,y+{n // 30 % 30}/30,z+{n // 900}/30" for n in range(2000)]),
    ],
    ids=["formula", "symbol", "name", "frames", "operations"],
)
def test_a_hostile_text_costs_seconds(hostile: str) -> None:
    start = time.process_time()
    try:
        parse_cif(hostile)
    except MiadError as error:
        assert len(str(error)) < 300
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("# generated using pymatgen\\ndata_CsCl\\n", "its cif holds nothing but comments"),  # line ends were lost
        ("data_a\nloop_\n", r"its cif is unreadable \(line \d: "),
    ],
)
def test_what_is_no_cif_is_told_by_its_line(text: str, reason: str) -> None:
    with pytest.raises(MiadError, match=f"^{reason}"):
        parse_cif(text)
