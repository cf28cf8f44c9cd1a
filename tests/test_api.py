"""The Python API: as many crystals out as in, of the type they were given as, with all that was learnt of them."""

import os
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from pymatgen.core import Lattice, Structure

import miad
from miad.core.crystal import read_crystals, write_crystals
from miad.core.errors import MiadError
from tests.builders import ROOT
from tests.builders.crystals import caesium_chloride, rock_salt

HULL = "formula,energy_per_atom,energy_frame\nNa,-1.0,mp2020\nCl,-2.0,mp2020\nNaCl,-2.9,mp2020\n"


@pytest.fixture(scope="module")
def generated() -> list[Structure]:
    return miad.load().generate(2, seed=3)


@pytest.fixture
def relaxing(monkeypatch):
    """A relaxation that makes each cell two per cent longer, and fails on potassium."""

    def relaxation(settings, *, crystals, relaxed, calculator):
        known = {"energy_per_atom": -3.0, "energy_frame": "mp2020", "calculator": calculator, "num_steps": 7}
        done = [one.replace(lattice=1.02 * one.lattice, **known) for one in read_crystals(crystals)]
        write_crystals(relaxed, [one.failed("relax", "no") if "K" in one.element_counts else one for one in done])
        assert settings.fmax == 0.05

    monkeypatch.setattr("miad.relax.step.run", relaxation)


def test_importing_takes_nothing_along():
    code = "import miad, sys; assert not {'torch', 'pymatgen', 'numpy', 'miad.api'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_generated_structures_carry_their_provenance(generated):
    assert [one.properties["crystal_id"] for one in generated] == ["mp20-small-000-00000", "mp20-small-000-00001"]
    known = generated[0].properties
    assert (known["model"], known["seed"], known["constraints"]) == ("mp20-small", 3, {}) and len(known["sha256"]) == 64


def test_atoms_are_the_same_crystals(generated):
    atoms = miad.load("mp20-small").generate(2, seed=3, atoms=True)
    assert all(isinstance(one, Atoms) for one in atoms)
    assert np.allclose(atoms[1].cell[:], generated[1].lattice.matrix) and atoms[1].info["seed"] == 3


def test_an_unknown_constraint_is_named():
    with pytest.raises(MiadError, match="element"):
        miad.load().generate(1, element=["Li"])


def test_relaxed_crystals_come_back_in_their_order_as_what_they_were(relaxing):
    salt, potassium = rock_salt("a").structure, rock_salt("b").structure
    potassium.replace_species({"Na": "K"})
    salt.properties = {"crystal_id": "mine", "colour": "white"}
    atoms = Atoms("NaCl", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=3 * np.eye(3), pbc=True)
    found = miad.relax([salt, atoms, potassium], fmax=0.05)
    assert found[0].lattice.a == pytest.approx(1.02 * salt.lattice.a)
    assert (found[0].properties["energy_per_atom"], found[0].properties["colour"]) == (-3.0, "white")
    assert isinstance(found[1], Atoms) and found[1].info["num_steps"] == 7
    assert found[2].properties["failure"] == "relax: no" and len(found[2]) == len(potassium)


def test_what_is_no_ordered_periodic_crystal_keeps_its_place_with_a_reason(relaxing):
    mixed = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    found = miad.relax([mixed, Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.7]]), rock_salt("a").structure], fmax=0.05)
    assert "partly occupied" in found[0].properties["failure"] and len(found[0]) == 0
    assert "not periodic" in found[1].info["failure"]
    assert "failure" not in found[2].properties


def test_any_series_of_crystals_is_taken_under_ids_of_any_kind(relaxing):
    one, other = rock_salt("a").structure, rock_salt("b").structure
    one.properties, other.properties = {"crystal_id": np.int64(3)}, {"crystal_id": ["odd"]}
    found = miad.relax((crystal for crystal in (one, other)), fmax=0.05)
    assert [crystal.properties["crystal_id"] for crystal in found] == ["3", "['odd']"]
    found = miad.relax([one, one, None], fmax=0.05)
    assert "crystal-0-1" in found[1].properties["crystal_id"] and "NoneType" in found[2].info["failure"]


def test_a_single_crystal_or_none_is_refused(relaxing):
    for single in (rock_salt("a").structure, Atoms("H")):
        with pytest.raises(MiadError, match="brackets"):
            miad.relax(single)
    with pytest.raises(MiadError, match="no crystals"):
        miad.evaluate([], known=[], hull="hull.csv")


def test_what_held_before_a_relaxation_is_forgotten(relaxing):
    salt = rock_salt("a").structure
    salt.properties = {"e_above_hull": 0.5, "volume_change": 9.0, "initial_energy_per_atom": -2.0}
    found = miad.relax([salt], fmax=0.05)[0].properties
    assert not {"e_above_hull", "volume_change", "initial_energy_per_atom"} & set(found)
    assert found["energy_per_atom"] == -3.0


@pytest.mark.parametrize("elements", [None, "LiO"])
def test_elements_that_are_no_list_are_named(elements):
    with pytest.raises(MiadError, match="elements"):
        miad.load().generate(1, elements=elements)


def test_crystals_are_judged_in_a_table_with_a_row_for_each(tmp_path):
    (tmp_path / "hull.csv").write_text(HULL)
    salt, twin, lost = (rock_salt(name).structure for name in "abc")
    for one, energy in ((salt, -3.0), (twin, -2.95)):
        one.properties = {"energy_per_atom": energy, "energy_frame": "mp2020"}
    lost.properties = {"failure": "relax: it exploded"}
    table = miad.evaluate([salt, twin, lost], known=[caesium_chloride("known").structure], hull=tmp_path / "hull.csv")
    assert list(table["e_above_hull"].round(6))[:2] == [-0.1, -0.05]
    assert table["reason"][0] == "sun" and table["failure"][2] == "relax: it exploded"
    assert table.attrs["headline"] == "strict"
    assert table.attrs["summary"]["strict"]["counts"]["attempted"] == 3
    assert table.attrs["summary"]["strict"]["rates"]["sun"]["value"] == pytest.approx(100 / 3)


@pytest.mark.parametrize("cell", [np.zeros((3, 3)), np.diag([3.0, 3.0, 0.0])])
def test_cells_without_volume_fail_and_the_others_are_relaxed(relaxing, cell):
    flat = Atoms("NaCl", positions=[[0, 0, 0], [1, 1, 0]], cell=cell, pbc=True)
    found = miad.relax([rock_salt("a").structure, flat], fmax=0.05)
    assert found[0].properties["energy_per_atom"] == -3.0
    assert found[1].info["failure"] == "read: its cell has no volume"


def test_cells_without_volume_fail_and_the_others_are_judged(tmp_path):
    flat = Atoms("NaCl", positions=[[0, 0, 0], [1, 1, 0]], cell=np.zeros((3, 3)), pbc=True)
    (tmp_path / "hull.csv").write_text(HULL)
    salt = rock_salt("a").structure
    salt.properties = {"energy_per_atom": -3.0, "energy_frame": "mp2020"}
    table = miad.evaluate([salt, flat], known=[caesium_chloride("known").structure], hull=tmp_path / "hull.csv")
    assert table["failure"][1] == "read: its cell has no volume" and table["reason"][0] == "sun"


@pytest.mark.parametrize(
    ("constraints", "key"),
    [
        ({"elements": []}, r"elements\.only"),
        ({"elements": {"only": []}}, r"elements\.only"),
        ({"elements": {}}, "elements"),
        ({"compositions": []}, "compositions"),
        ({"systems": ()}, "systems"),
    ],
)
def test_constraints_that_are_empty_are_refused(constraints, key):
    with pytest.raises(MiadError, match=f"^{key} is empty"):
        miad.load().generate(1, **constraints)


def test_odd_arguments_are_named(tmp_path):
    salt = [rock_salt("a").structure]
    with pytest.raises(MiadError, match="known: there are no crystals"):
        miad.evaluate(salt, known=[], hull="hull.csv")
    with pytest.raises(MiadError, match=r"hul_frame is not a known option\. Did you mean hull_frame"):
        miad.evaluate(salt, known=salt, hull="hull.csv", hul_frame="mp2020")
    with pytest.raises(MiadError, match="out is not a known option"):
        miad.evaluate(salt, known=salt, hull="hull.csv", out=tmp_path)
    with pytest.raises(MiadError, match=r"evaluate: .*'structures'"):
        miad.evaluate(foo=1)
    with pytest.raises(MiadError, match="model: None is neither a name nor a path"):
        miad.load(None)
    with pytest.raises(MiadError, match="relax: a list of crystals is expected, this is of type int"):
        miad.relax(5)


def test_the_model_taken_by_default_is_the_one_that_the_reference_names():
    from miad.api import load
    from miad.model import shipped

    assert f"{shipped.DEFAULT} if left out" in str(load.__doc__)
