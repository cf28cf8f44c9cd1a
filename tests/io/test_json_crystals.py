"""Crystals of JSON are built from numbers and names of elements; nothing else of a file is decoded."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from miad.core.errors import MiadError
from miad.io.any_format import read_any
from miad.io.json_crystals import literal, structure_of
from tests.builders.crystals import rock_salt
from tests.builders.inputs import structures
from tests.builders.tables import optimade

SALT = rock_salt("a").structure


def dictionary(**changes) -> dict:
    return {**json.loads(json.dumps(SALT.as_dict())), **changes}


@pytest.mark.parametrize("form", [dict, json.dumps, str, lambda one: repr(one).replace("'", '"')])
def test_a_record_json_and_a_python_dict_are_the_same_crystal(form) -> None:
    found = structure_of(form(dictionary()))
    assert np.array_equal(found.lattice.matrix, SALT.lattice.matrix)
    assert np.array_equal(found.frac_coords, SALT.frac_coords)
    assert found.atomic_numbers == SALT.atomic_numbers


def test_it_is_what_pymatgen_reads_also_from_parameters_and_cartesian_coordinates() -> None:
    for structure in [
        *structures().values(),
        Structure(Lattice.hexagonal(3, 5), ["Mg", "O"], [[0, 0, 0], [1.2, -3, 9]]),
    ]:
        record = json.loads(json.dumps(structure.as_dict()))
        by_pymatgen = Structure.from_dict(record)
        assert np.array_equal(structure_of(record).frac_coords, by_pymatgen.frac_coords)
        del record["lattice"]["matrix"]
        for site in record["sites"]:
            del site["abc"]
        again = structure_of(record)
        assert np.allclose(again.lattice.parameters, by_pymatgen.lattice.parameters)
        assert again.composition == by_pymatgen.composition


@pytest.mark.parametrize("place", ["properties", "site", "whole", "species"])
def test_a_module_that_the_file_names_is_not_imported(tmp_path: Path, monkeypatch, place: str) -> None:
    (tmp_path / "module_of_a_stranger.py").write_text("raise SystemExit('this ran')")
    monkeypatch.syspath_prepend(tmp_path)
    bait = {"@module": "module_of_a_stranger", "@class": "Path", "@version": "1"}
    record = dictionary()
    if place == "properties":
        record["properties"] = {"note": bait}
    if place == "site":
        record["sites"][0]["properties"] = {"magmom": bait}
    if place == "species":
        record["sites"][0]["species"][0] |= bait
    entry = {
        "structure": record,
        "energy": -24.0,
        "correction": 0.0,
        "data": bait,
        **(bait if place == "whole" else {}),
    }
    for name, content in {"a.json": [entry], "b.json": record}.items():
        (tmp_path / name).write_text(json.dumps(content))
        assert [one.failure for one in read_any(tmp_path / name, "a")] == [None]
    assert "module_of_a_stranger" not in sys.modules


def test_charged_species_are_their_elements_also_of_mixed_valence() -> None:
    charged = SALT.copy()
    charged.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    assert structure_of(charged.as_dict()).composition == SALT.composition
    mixed = Structure(Lattice.cubic(3), [{"Fe2+": 0.5, "Fe3+": 0.5}], [[0, 0, 0]])
    assert structure_of(mixed.as_dict()).atomic_numbers == (26,)
    record = dictionary()
    record["sites"][0]["species"] = [{"element": "D", "occu": 1}]
    record["sites"][1]["species"] = [{"element": "Na+", "occu": 1}]
    assert structure_of(record).atomic_numbers[:2] == (1, 11)


def broken(change) -> dict:
    record = dictionary()
    change(record)
    return record


def species(*given) -> dict:
    return broken(lambda one: one["sites"][0].update(species=list(given)))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (species({"element": "Na", "occu": 0.5}), "partly occupied"),
        (species({"element": "Na", "occu": 0.5}, {"element": "K", "occu": 0.5}), "partly occupied"),
        (species({"element": "X", "occu": 1}), "X, which is not an element"),
        (species({"element": 11, "occu": 1}), "11, which is not an element"),
        (species({"element": "Na", "occu": None}), "unreadable"),
        (broken(lambda one: one.pop("lattice")), "molecule"),
        (broken(lambda one: one["lattice"].update(pbc=[True, True, False])), "not periodic"),
        (broken(lambda one: one["lattice"].update(matrix=[[1, 2]])), "unreadable"),
        (broken(lambda one: one["sites"][0].update(abc=[0, 0])), "unreadable"),
        (broken(lambda one: one.update(sites=7)), "unreadable"),
        ([1, 2], "no record"),
        ("{'lattice': __import__('os').getcwd(), 'sites': []}", "neither CIF nor JSON nor a Python dict"),
        ("{" * 60, "brackets within each other"),
        ("{" + "-" * 100_000 + "1}", "neither CIF"),
        ("{" + " " * 2_000_000, "refused unread"),
    ],
)
def test_what_is_no_ordered_crystal_is_refused_with_a_reason(record, reason: str) -> None:
    with pytest.raises(MiadError, match=reason):
        structure_of(record)


def test_a_molecule_as_pymatgen_writes_it_is_refused(tmp_path: Path) -> None:
    from pymatgen.core import Molecule

    water = Molecule("OHH", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]]).as_dict()
    for content in (water, [water], {"w": water}, [{"structure": water}]):
        (tmp_path / "m.json").write_text(json.dumps(content))
        (found,) = read_any(tmp_path / "m.json", "m")
        assert "molecule" in found.failure.reason


def test_literals_are_data_only() -> None:
    assert literal("{'a': (1, None, True, -2.5)}") == {"a": (1, None, True, -2.5)}
    for text in ("open('x')", "a.b", "[x for x in y]", "f'{1}'", "{'a': 1", "1 +"):
        with pytest.raises(MiadError, match="neither"):
            literal(text)


@pytest.mark.parametrize("form", ["page", "single", "list", "lines", "flat"])
def test_optimade(tmp_path: Path, caplog, form: str) -> None:
    entries = [optimade(name, one) for name, one in structures().items()]
    page = {"data": entries, "meta": {"more_data_available": True}, "links": {}}
    flat = [{"immutable_id": "x", "id": one["id"], **one["attributes"]} for one in entries]
    content = {"page": page, "single": {**page, "data": entries[0]}, "list": entries, "flat": flat}
    lines = "".join(json.dumps(one) + "\n" for one in [{"x-optimade": {"meta": {}}}, *entries])
    path = tmp_path / ("o.jsonl" if form == "lines" else "o.json")
    path.write_text(lines if form == "lines" else json.dumps(content[form]))
    found = read_any(path, "o")
    assert [one.failure for one in found] == [None] * (1 if form == "single" else 2)
    assert [one.source_id for one in found] == ["salt-7", "cscl-8"][: len(found)]
    for one, structure in zip(found, structures().values(), strict=False):
        assert np.allclose(one.structure.distance_matrix, structure.distance_matrix)
    assert ("one page of several" in caplog.text) == (form in ("page", "single"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"species": [{"name": "Na", "chemical_symbols": ["Na", "K"], "concentration": [0.5, 0.5]}]}, "partly"),
        ({"species": [{"name": "Na", "chemical_symbols": ["Na"], "concentration": [0.9]}]}, "partly"),
        ({"species": [{"name": "Na", "chemical_symbols": ["vacancy"], "concentration": [1]}]}, "not an element"),
        ({"dimension_types": [1, 1, 0]}, "not periodic"),
        ({"structure_features": ["implicit_atoms"]}, "implicit_atoms"),
        ({"structure_features": ["disorder"]}, "partly"),
        ({"species_at_sites": ["Na"]}, "1 species, but 8 positions"),
        ({"lattice_vectors": None}, "unreadable"),
        ({"cartesian_site_positions": [[None] * 3] * 8}, "finite"),
    ],
)
def test_optimade_of_what_is_no_ordered_crystal_is_refused(tmp_path: Path, change: dict, reason: str) -> None:
    good = optimade("salt-7", SALT)
    (tmp_path / "o.json").write_text(
        json.dumps({"data": [{**good, "attributes": {**good["attributes"], **change}}, good]})
    )
    bad, fine = read_any(tmp_path / "o.json", "o")
    assert reason in bad.failure.reason and fine.failure is None
