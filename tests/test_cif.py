"""CIF texts, good and bad."""

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from miad import cif
from miad.cif import parse_cif
from miad.errors import MiadError

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
        ("data_\nloop_\n_atom_site_label\n", "unreadable"),
        ("Once upon a time", "unreadable"),
        ("\x00" * 100, "unreadable"),
        (with_cell(length_a="nan"), "not finite"),
        (with_cell(length_a="0.0"), "unreadable"),
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
    monkeypatch.setattr(cif, "MAX_ATOMS", 15)
    with pytest.raises(MiadError, match="16 atoms"):
        parse_cif((CSCL * (2, 2, 2)).to(fmt="cif"))
