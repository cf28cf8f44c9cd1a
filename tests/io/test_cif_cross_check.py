"""The CIFs that programs write, read by pymatgen's parser too: the same crystal, with the same numbers."""

import csv
import io
import itertools
import random
import warnings
from collections.abc import Iterator
from pathlib import Path

import gemmi
import numpy as np
import pytest
from ase.io import write
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser, CifWriter

from miad.core.errors import MiadError
from miad.core.files import open_text
from miad.io.cif import SITE_TOLERANCE, parse_cif
from miad.prototypes import __file__ as prototypes

FOLDER = Path(prototypes).parent


def by_pymatgen(text: str) -> Structure:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = CifParser.from_str(text, check_cif=False, site_tolerance=SITE_TOLERANCE)
        return parser.parse_structures(primitive=False)[0]


def is_identical(one: Structure, other: Structure) -> bool:
    """Whether lattice, elements and coordinates are the same numbers in the same order."""
    same_lattice = np.array_equal(one.lattice.matrix, other.lattice.matrix)
    same_elements = one.atomic_numbers == other.atomic_numbers
    return same_lattice and same_elements and np.allclose(one.frac_coords, other.frac_coords, rtol=0, atol=1e-12)


def prototypes_of(number: int) -> list[Structure]:
    from miad.core.crystal import read_crystals

    crystals = read_crystals(FOLDER / "prototypes_val.jsonl.gz")
    return [one.structure for one in random.Random(0).sample(crystals, number)]  # noqa: S311 (a sample, no secret)


def by_ase(structure: Structure) -> str:
    text = io.BytesIO()
    write(text, structure.to_ase_atoms(), format="cif")
    return text.getvalue().decode()


def with_charges(structure: Structure) -> str:
    charged = structure.copy()
    charged.add_oxidation_state_by_element({element.symbol: 1 for element in structure.composition})
    return str(CifWriter(charged))


WRITERS = {
    "pymatgen": lambda one: str(CifWriter(one)),
    "pymatgen, symprec 0.001": lambda one: str(CifWriter(one, symprec=1e-3)),
    "pymatgen, symprec 0.1": lambda one: str(CifWriter(one, symprec=0.1)),
    "pymatgen, charged": with_charges,
    "ase": by_ase,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_programs_write_is_read_to_the_last_digit_as_by_pymatgen(writer: str) -> None:
    for structure in prototypes_of(40):
        text = WRITERS[writer](structure)
        found = parse_cif(text)
        assert is_identical(found, by_pymatgen(text)), text
        assert len(found) % len(structure) == 0


def test_what_gemmi_writes_without_operations_is_the_crystal_or_refused_for_an_open_origin() -> None:
    num_read = 0
    for structure in prototypes_of(30):
        block = gemmi.cif.read_string(str(CifWriter(structure, symprec=0.01))).sole_block()
        text = gemmi.make_small_structure_from_block(block).make_cif_block().as_string()
        try:
            found = parse_cif(text)
        except MiadError as error:
            assert "several settings" in str(error)
            continue
        assert StructureMatcher(scale=False).fit(found, structure), text
        num_read += 1
    assert num_read > 20


def texts(path: Path, step: int) -> Iterator[str]:
    with open_text(path) as rows:
        for row in itertools.islice(csv.DictReader(rows), 0, None, step):
            if row["cif"].strip():
                yield row["cif"]


@pytest.mark.parametrize(("file", "step"), [("mp_20_rebuilt/train", 100), ("perov_5/val", 40), ("carbon_24/val", 20)])
def test_published_data_sets_are_read_to_the_last_digit_as_by_pymatgen(real_data: Path, file: str, step: int) -> None:
    """All of them are compared by benchmarks/cif.py."""
    compared = [is_identical(parse_cif(text), by_pymatgen(text)) for text in texts(real_data / f"{file}.csv.gz", step)]
    assert len(compared) > 90 and all(compared)
