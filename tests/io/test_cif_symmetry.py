"""Symmetry of CIFs: each notation of each setting gives the same crystal, and contradictions are refused."""

from collections.abc import Iterable

import gemmi
import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser

from miad.core.errors import MiadError
from miad.io.cif import parse_cif

SETTINGS = [one for one in gemmi.spacegroup_table() if ")" not in one.hm]  # C 2 2 21a) is a name of CCP4 alone
GENERAL, SPECIAL = (0.11, 0.27, 0.37), (0.0, 0.0, 0.0)


def cell_of(rotations: np.ndarray) -> list[float]:
    """Lengths and angles of a cell that rotations (n_operations, 3, 3) leave as it is, otherwise oblique."""
    oblique = np.array([[25.0, 3.0, -2.0], [3.0, 36.0, 1.5], [-2.0, 1.5, 49.0]])
    metric = np.mean(rotations.transpose(0, 2, 1) @ oblique @ rotations, axis=0)
    lengths = np.sqrt(np.diag(metric))
    cosines = metric / np.outer(lengths, lengths)
    return [*lengths, *np.degrees(np.arccos([cosines[1, 2], cosines[0, 2], cosines[0, 1]]))]


def text_of(cell: Iterable[float], symmetry: str, *sites: tuple[str, tuple[float, ...]]) -> str:
    tags = [f"_cell_length_{one}" for one in "abc"] + [f"_cell_angle_{one}" for one in ("alpha", "beta", "gamma")]
    lines = [f"{tag} {value:.9f}" for tag, value in zip(tags, cell, strict=True)]
    loop = ["loop_", "_atom_site_label", *(f"_atom_site_fract_{one}" for one in "xyz")]
    rows = [f"{label} {' '.join(f'{one:.8f}' for one in where)}" for label, where in sites]
    return "\n".join(["data_x", *lines, symmetry, *loop, *rows, ""])


def listed(operations: Iterable[str]) -> str:
    return "\n".join(["loop_", "_space_group_symop_operation_xyz", *(f"'{one}'" for one in operations)])


def triplets(group: gemmi.SpaceGroup) -> list[str]:
    return [operation.triplet() for operation in group.operations()]


def crystal(group: gemmi.SpaceGroup, symmetry: str) -> Structure:
    rotations = np.array([one.float_seitz() for one in group.operations()])[:, :3, :3]
    return parse_cif(text_of(cell_of(rotations), symmetry, ("Na1", GENERAL), ("Cl1", SPECIAL)))


def same_atoms(one: Structure, other: Structure) -> bool:
    if one.composition != other.composition or not np.allclose(one.lattice.matrix, other.lattice.matrix, atol=1e-5):
        return False
    gaps = one.frac_coords[:, None] - other.frac_coords[None]
    is_near = (np.abs(gaps - np.round(gaps)) < 2e-4).all(axis=2)
    is_near &= np.array(one.atomic_numbers)[:, None] == np.array(other.atomic_numbers)[None]
    return bool((is_near.sum(axis=0) == 1).all() and (is_near.sum(axis=1) == 1).all())


@pytest.mark.parametrize("part", range(8))
def test_names_hall_symbols_and_lists_of_operations_give_one_crystal_in_every_setting(part: int) -> None:
    for group in SETTINGS[part::8]:
        by_list = crystal(group, listed(triplets(group)))
        assert by_list.composition["Na"] == len(group.operations()), group.xhm()
        for notation in (
            f'_space_group_name_H-M_alt "{group.xhm()}"',
            f'_symmetry_space_group_name_H-M "{group.xhm().replace(" ", "")}"',
            f"_symmetry_space_group_name_Hall '{group.hall}'",
            f"_space_group.name_Hall '{group.hall}'\n_space_group.IT_number {group.number}",
        ):
            assert same_atoms(by_list, crystal(group, notation)), notation


@pytest.mark.parametrize("group", SETTINGS[::3], ids=lambda group: group.xhm().replace(" ", ""))
def test_pymatgen_expands_lists_of_operations_alike(group: gemmi.SpaceGroup) -> None:
    operations = np.array([one.float_seitz() for one in group.operations()])
    text = text_of(cell_of(operations[:, :3, :3]), listed(triplets(group)), ("Na1", (0.125, 0.25, 0.375)))
    theirs = CifParser.from_str(text, check_cif=False).parse_structures(primitive=False)[0]
    ours = parse_cif(text)
    assert same_atoms(ours, theirs)
    assert np.allclose(ours.frac_coords, theirs.frac_coords, atol=1e-12)  # in the same order


@pytest.mark.parametrize("number", range(1, 231))
def test_a_number_means_the_standard_setting_or_is_refused_where_that_leaves_the_origin_open(number: int) -> None:
    group = gemmi.get_spacegroup_reference_setting(number)
    try:
        found = crystal(group, f"_symmetry_Int_Tables_number {number}")
    except MiadError as error:
        assert group.ext == "2" and "several settings" in str(error)
    else:
        assert same_atoms(found, crystal(group, listed(triplets(group))))


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("P6_3/mmc", "P 63/m m c"),
        ("P 21/c", "P 1 21/c 1"),
        ("P 6(3)/m m c", "P 63/m m c"),
        ("R -3 m H", "R -3 m:H"),
        ("R -3 m", "R -3 m:H"),
        ("H -3 m", "R -3 m:H"),
        ("R-3m:h", "R -3 m:H"),
        ("R -3 m R", "R -3 m:R"),
        ("F d -3 m Z", "F d -3 m:2"),
        ("F d -3 m S", "F d -3 m:1"),
        ("F d \u2212 3 m :1", "F d -3 m:1"),
        ("Cmce", "C m c a"),
        ("fm-3m", "F m -3 m"),
        ("F m 3 m", "F m -3 m"),
    ],
)
def test_names_as_programs_write_them(name: str, same: str) -> None:
    group = gemmi.SpaceGroup(same)
    assert same_atoms(
        crystal(group, f"_symmetry_space_group_name_H-M '{name}'"), crystal(group, listed(triplets(group)))
    )


CUBIC = (5.0, 5.0, 5.0, 90.0, 90.0, 90.0)
NAME = "_symmetry_space_group_name_H-M"


@pytest.mark.parametrize(
    ("symmetry", "reason"),
    [
        (f"{NAME} 'F m -3 m'\n{listed(['x,y,z'])}", "1 listed operations are of space group 1, but it names F m -3 m"),
        (f"{NAME} 'P m -3 m'\n_space_group_IT_number 225", "contradict each other"),
        (f"{NAME} 'P m -3 m'\n_symmetry_space_group_name_Hall '-F 4 2 3'", "contradict each other"),
        (f"{NAME} 'P 1'\n{listed(['x,y,z', '-x,-y,-z'])}", "of space group 2, but it names P 1"),
        (f"{NAME} 'Q q -3 m'", "Q q -3 m is unknown"),
        (f"{NAME} 'Q q -3 m'\n_space_group_IT_number 225", "Q q -3 m, 225 is unknown"),
        ("_symmetry_space_group_name_Hall 'bad'", "bad is unknown"),
        ("_space_group_IT_number 231", "231 is unknown"),
        (f"{NAME} 'F d -3 m'", "several settings"),
        (f"{NAME} 'R -3 m :R'", "more than 400 atoms|cell does not fit|lie on one place"),
        (f"{NAME} 'P 63/m m c'", "cell does not fit its space group P 63/m m c"),
        (listed(["x,y,z", "-x,-y,-z", "x+1/2,y,z"]), "no group"),
        (listed(["x,y,z", "x,y"]), "cannot be read"),
        (listed(["x,y,z", "2*x,y,z"]), "changes the lengths"),
        (listed(["x,y,z", "x,x,z"]), "changes the lengths"),
        (listed(["x,y,z", "x+" * 100 + "x,y,z"]), "too long"),
        (listed(["x,y,z", f"x+{'9' * 40}/3,y,z"]), "too long"),
        (listed(["x,y,z", "y,z,x", "z,x,y"]) + "\n_cell_wave_vector_seq_id 1", "modulated"),
        ("_space_group_magn.number_BNS 62.441", "magnetic space group is named only"),
    ],
)
def test_contradictions_and_what_cannot_be_read_are_refused(symmetry: str, reason: str) -> None:
    cell = (5.0, 5.0, 7.0, 90.0, 90.0, 90.0) if ":R" in symmetry else CUBIC
    with pytest.raises(MiadError, match=reason):
        parse_cif(text_of(cell, symmetry, ("Na1", SPECIAL), ("Cl1", (0.1, 0.2, 0.3))))


def test_operations_in_another_setting_of_the_named_group_are_no_contradiction() -> None:
    shift = gemmi.Op("x+1/8,y+1/8,z+1/8")
    moved = [(shift * one * shift.inverse()).wrap().triplet() for one in gemmi.SpaceGroup("F d -3 m:1").operations()]
    text = text_of(CUBIC, f"{NAME} 'F d -3 m'\n{listed(moved)}", ("C1", (0.125, 0.125, 0.125)))
    assert parse_cif(text).composition.formula == "C8"
    primitive = listed(["x,y,z", "-x,-y,-z", "y,z,x", "z,x,y", "-y,-z,-x", "-z,-x,-y"])
    found = parse_cif(text_of((5, 5, 5, 70, 70, 70), f"{NAME} 'R -3'\n{primitive}", ("Bi1", (0.2, 0.2, 0.2))))
    assert found.composition.formula == "Bi2"


@pytest.mark.parametrize("origin", [1, 2])
def test_an_open_origin_is_decided_by_the_formula_or_by_multiplicities(origin: int) -> None:
    text = text_of(
        CUBIC, f"{NAME} 'F d -3 m'", ("C1", (0.0, 0.0, 0.0))
    )  # 8 atoms by the first origin, 16 by the second
    with_formula = text.replace(NAME, f"_chemical_formula_sum C{8 * origin}\n_cell_formula_units_Z 1\n{NAME}")
    with_numbers = text.replace("_z\nC1", "_z\n_atom_site_symmetry_multiplicity\nC1").rstrip() + f" {8 * origin}\n"
    assert len(parse_cif(with_formula)) == len(parse_cif(with_numbers)) == 8 * origin


def test_without_any_symmetry_the_sites_are_all_there_is() -> None:
    for symmetry in ("", f"{NAME} ?", f"{NAME} .\n_symmetry_Int_Tables_number ?", f"{NAME} 'P 1'", listed(["x, y, z"])):
        assert len(parse_cif(text_of(CUBIC, symmetry, ("Na1", SPECIAL), ("Cl1", GENERAL)))) == 2


def test_operations_of_a_magnetic_group_move_atoms_as_others_do() -> None:
    symmetry = (
        "loop_\n_space_group_symop_magn_operation.id\n_space_group_symop_magn_operation.xyz\n"
        "1 x,y,z,+1\n2 -x,-y,-z,-1\n"
        "loop_\n_space_group_symop_magn_centering.id\n_space_group_symop_magn_centering.xyz\n"
        "1 x,y,z,+1\n2 x+1/2,y+1/2,z+1/2,-1"
    )
    assert len(parse_cif(text_of(CUBIC, symmetry, ("Fe1", GENERAL)))) == 4


def test_translations_of_a_supercell_and_rounded_ones_are_read() -> None:
    fifths = listed([f"x+{n}/5,y,z" for n in range(5)])
    assert len(parse_cif(text_of(CUBIC, fifths, ("Na1", GENERAL)))) == 5
    group = gemmi.SpaceGroup("R -3 m:H")
    rounded = [one.replace("1/3", "0.333").replace("2/3", "0.667") for one in triplets(group)]
    assert same_atoms(crystal(group, listed(rounded)), crystal(group, listed(triplets(group))))
