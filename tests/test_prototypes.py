"""The built-in data set: its recipe, and what is shipped."""

import dataclasses
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest

from miad.crystal import Crystal, read_crystals
from miad.dataset import standardise
from miad.hull import element_counts
from miad.prototypes import candidates, crystal_of, relax_settings, selection
from miad.prototypes.decorations import Decoration, decorations
from miad.prototypes.properties import ANIONS, CATIONS, VOLUMES
from miad.prototypes.salts import tolerance
from miad.prototypes.structures import STRUCTURE_TYPES

FOLDER = files("miad") / "data"
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def shipped() -> dict[str, list[Crystal]]:
    """The shipped crystals, by split."""
    return {name: read_crystals(FOLDER / f"prototypes_{name}.jsonl.gz") for name in SPLITS}


@pytest.fixture(scope="module")
def crystals(shipped) -> list[Crystal]:
    """All shipped crystals."""
    return [crystal for part in shipped.values() for crystal in part]


# The recipe


@pytest.mark.parametrize("name", STRUCTURE_TYPES)
def test_structure_type_has_its_space_group_and_is_primitive(name):
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    kind = STRUCTURE_TYPES[name]
    elements = dict(zip(kind.roles, ("Na", "Cl", "O"), strict=False))
    structure = kind.build(elements, volumes=dict.fromkeys(kind.roles, 15.0))
    assert SpacegroupAnalyzer(structure, symprec=0.01).get_space_group_number() == kind.group
    assert len(structure) == len(structure.get_primitive_structure()) <= selection.MAX_ATOMS


@pytest.mark.parametrize(
    ("kind", "elements", "radii", "edge"),
    [
        ("rocksalt", {"A": "Na", "X": "Cl"}, {"A": 1.02, "X": 1.81}, 5.66),
        ("fluorite", {"A": "Ca", "X": "F"}, {"A": 1.12, "X": 1.31}, 5.61),
        ("perovskite", {"A": "Sr", "B": "Ti", "X": "O"}, {"A": 1.3, "B": 0.605, "X": 1.4}, 4.01),
        ("fcc", {"A": "Cu"}, {}, 3.63),
    ],
)
def test_cell_follows_from_radii_or_volumes(kind, elements, radii, edge):
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    crystal = crystal_of("x", Decoration(kind, elements, radii))
    conventional = SpacegroupAnalyzer(crystal.structure).get_conventional_standard_structure()
    assert conventional.lattice.a == pytest.approx(edge, abs=0.01)


def test_salts_are_neutral():
    charges = {symbol: charge for charge, table in ANIONS.items() for symbol in table}
    for decoration in decorations():
        if not decoration.radii or decoration.kind not in ("rocksalt", "fluorite", "rutile", "alpha-nafeo2"):
            continue
        counts = element_counts(crystal_of("x", decoration))
        metals = [symbol for role, symbol in decoration.elements.items() if role != "X"]
        needed = charges[decoration.elements["X"]] * counts[decoration.elements["X"]]
        options = [{charge * counts[m] for charge, table in CATIONS.items() if m in table} for m in metals]
        sums = options[0] if len(options) == 1 else {a + b for a in options[0] for b in options[1]}
        assert needed in sums, decoration


def test_tolerance_factor_of_strontium_titanate():
    # Goldschmidt: close to 1 for the cubic perovskite.
    assert tolerance(1.18, 0.605, 1.4) == pytest.approx(0.96, abs=0.01)


def test_candidates_depend_on_the_seed_only_in_their_order():
    first, again, other = candidates(0), candidates(0), candidates(1)
    assert [c.source_id for c in first] == [c.source_id for c in again]
    assert [c.source_id for c in first] != [c.source_id for c in other]
    assert len({c.crystal_id for c in first}) == len(first)
    names = [c.source_id for c in first]
    assert {"rutile", "heusler", "perovskite"} <= {name.split(":")[0] for name in names}


def test_no_radioactive_elements_and_no_noble_gases():
    assert not {"He", "Ne", "Ar", "Kr", "Xe", "Rn", "Tc", "Pm", "Po", "At", "Ac", "Th", "U"} & set(VOLUMES)


# The sifting


def copper(name: str, energy: float, edge: float = 3.6) -> Crystal:
    """Copper with a made-up energy."""
    lattice = edge / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0.0]])
    known = {"energy_per_atom": energy, "energy_frame": "mp2020", "calculator": "test", "converged": True}
    return Crystal(name, lattice, np.zeros((1, 3)), np.array([29]), source_id="fcc:Cu", **known)


def test_the_lowest_of_equal_crystals_is_kept():
    kept = selection.without_duplicates([copper("a", -1.0), copper("b", -1.2, 3.62), copper("c", -1.1)], workers=1)
    assert [crystal.crystal_id for crystal in kept] == ["b"]


def test_failed_unconverged_and_collapsed_are_dropped():
    assert selection.is_sane(copper("a", -1.0))
    assert not selection.is_sane(copper("a", -1.0).failed("relax", "…"))
    assert not selection.is_sane(copper("a", -1.0).replace(converged=False))
    salt = copper("a", -1.0).replace(atomic_numbers=np.array([29, 17]), frac_coords=np.array([[0, 0, 0], [0.5] * 3]))
    assert not selection.is_sane(salt)  # two atoms in the volume of one
    assert selection.is_sane(salt.replace(lattice=salt.lattice * 1.5))


def test_split_is_disjoint_complete_and_60_20_20():
    parts = selection.split([copper(f"{index}", -1.0) for index in range(100)], seed=0)
    assert {name: len(part) for name, part in parts.items()} == {"train": 60, "val": 20, "test": 20}
    assert len({crystal.crystal_id for part in parts.values() for crystal in part}) == 100


# What is shipped


def test_size_types_elements_and_splits(shipped, crystals):
    assert len(crystals) >= 2500
    assert len({crystal.crystal_id for crystal in crystals}) == len(crystals)
    assert len({crystal.source_id.split(":")[0] for crystal in crystals}) >= 18
    assert len({symbol for crystal in crystals for symbol in element_counts(crystal)}) >= 50
    assert len(shipped["train"]) == pytest.approx(0.6 * len(crystals), abs=1)
    assert len(shipped["val"]) == pytest.approx(0.2 * len(crystals), abs=1)
    assert max(crystal.num_atoms for crystal in crystals) <= selection.MAX_ATOMS
    assert sum((FOLDER / f"prototypes_{name}.jsonl.gz").stat().st_size for name in SPLITS) < 2_000_000


def test_energies_name_their_calculator_and_frame(crystals):
    [calculator] = {crystal.calculator for crystal in crystals}
    assert calculator.startswith("CHGNet 0.3.0") and "sha256" in calculator
    assert {crystal.energy_frame for crystal in crystals} == {"mp2020"}


def test_hull_of_the_shipped_crystals_is_the_hull_they_were_sifted_by(crystals):
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    heights = selection.hull_heights(crystals)
    for crystal, height in zip(crystals, heights, strict=True):
        above = crystal.energy_per_atom - height
        assert -1e-6 <= above <= selection.MAX_E_ABOVE_HULL + 1e-6
        assert crystal.e_above_hull == pytest.approx(above, abs=2e-6)
    # pymatgen's own phase diagram, on a few chemical systems.
    for system in sorted({crystal.chemical_system for crystal in crystals if crystal.chemical_system.count("-") == 2})[
        ::200
    ]:
        inside = [c for c in crystals if set(c.chemical_system.split("-")) <= set(system.split("-"))]
        entries = [PDEntry(Composition(element_counts(c)), c.energy_per_atom * c.num_atoms) for c in inside]
        diagram = PhaseDiagram(entries)
        for crystal, entry in zip(inside, entries, strict=True):
            assert diagram.get_e_above_hull(entry) == pytest.approx(crystal.e_above_hull, abs=1e-5)


def test_no_two_crystals_are_the_same(crystals):
    from pymatgen.analysis.structure_matcher import StructureMatcher

    formulas = Counter(crystal.reduced_formula for crystal in crystals)
    many = [formula for formula, count in formulas.most_common() if count > 1][::5]
    judge = StructureMatcher()
    for formula in many[:60]:
        group = [crystal.structure for crystal in crystals if crystal.reduced_formula == formula]
        assert len(judge.group_structures(group)) == len(group), formula


def test_cells_are_standard_already(crystals):
    for crystal in crystals[::50]:
        again = standardise(crystal.structure)
        assert len(again) == crystal.num_atoms
        assert again.volume == pytest.approx(crystal.volume, rel=1e-4)
        np.testing.assert_allclose(
            sorted(again.lattice.abc), sorted(np.linalg.norm(crystal.lattice, axis=1)), rtol=1e-3
        )


def test_shipped_crystals_are_at_rest(crystals):
    """The energies are those of the shipped cells, and nothing moves when they are relaxed again."""
    import torch

    from miad.calculators import Chgnet
    from miad.relax import in_flight

    torch.set_num_threads(1)
    limit = (
        2 * relax_settings(1).fmax
    )  # niggli reduction and rounding move nothing, but change the cell's forces a little
    settings = dataclasses.replace(relax_settings(1), fmax=limit, max_steps=0)
    chosen = crystals[::100]
    engine = Chgnet().engine("cpu", 1e9)
    again = {crystal.crystal_id: crystal for crystal in in_flight(chosen, settings, Chgnet(), engine, 1e9)}
    for crystal in chosen:
        assert again[crystal.crystal_id].energy_per_atom == pytest.approx(crystal.energy_per_atom, abs=1e-4)
        assert again[crystal.crystal_id].converged, crystal.source_id


def test_card_tells_the_counts(crystals):
    card = (FOLDER / "prototypes.md").read_text(encoding="utf-8")
    assert f"{len(crystals)} crystals" in card
    kinds = Counter(crystal.source_id.split(":")[0] for crystal in crystals)
    for kind, count in kinds.items():
        assert any(line.startswith(f"| {kind} |") and line.endswith(f"| {count} |") for line in card.splitlines()), kind
