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
