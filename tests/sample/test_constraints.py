"""Constraints on samples: no sample of a random model breaks one, and what contradicts itself is refused."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from pymatgen.core import Composition, Element, Lattice, Structure

from miad.config.sections import Constraints, Elements, Formula, NumAtoms, Sample, Template, from_record
from miad.core.crystal import read_crystals
from miad.core.errors import MiadError
from miad.core.seeding import generator
from miad.model.diffusion.process import JointDiffusion
from miad.model.network import CSPNet
from miad.model.process import Noise
from miad.model.weights import Model, load, save
from miad.sample import step as sample
from miad.sample.constraints import KEY, elements, targets
from miad.sample.elements import GROUPS, KNOWN, numbers
from tests.builders import toy
from tests.builders.crystals import caesium_chloride

SAMPLE = Sample(3, 256, 1, 5, 1e-5, 1, True, 1.2, 0, None, "float32", "cpu")
MIRAGE = dataclasses.replace(toy.MIRAGE, num_atoms=8)
COUNTS = [0, 5, 0, 3, 2, 1, 0, 1, 4]
LIPSO = {3, 15, 16, 8}


@pytest.fixture(scope="module", params=[MIRAGE, toy.BASELINE], ids=["mirage", "padding"])
def model(request, tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    about = Model(request.param, toy.DIFFUSION, toy.NETWORK, True, COUNTS, 6.0, 1, "toy", list(range(1, 95)))
    save(path, CSPNet(toy.NETWORK).state_dict(), about)
    return path


def sampled(model, folder, given: dict, num: int = 256):
    """Samples under constraints; the untrained network makes cells of any shape, so failures of cells are let pass."""
    settings = dataclasses.replace(SAMPLE, num_crystals=num, constraints=from_record(Constraints, given))
    sample.run(settings, model=model, crystals=folder / "c.jsonl", shard=0)
    found = read_crystals(folder / "c.jsonl")
    assert len(found) == num and all(one.num_atoms for one in found)
    return found


def kinds(crystal) -> set[int]:
    return set(crystal.atomic_numbers.tolist())


def test_only_four_elements(model, tmp_path):
    found = sampled(model, tmp_path, {"elements": {"only": ["Li", "P", "S", "O"]}})
    assert all(kinds(one) <= LIPSO for one in found)
    assert set.union(*map(kinds, found)) == LIPSO and len({one.num_atoms for one in found}) > 1


def test_a_network_that_is_told_of_limits_gets_those_of_each_sample(model, tmp_path):
    network, about = load(model)
    told = dataclasses.replace(about, network=dataclasses.replace(toy.NETWORK, allowed_input=True))
    torch.manual_seed(1)
    weights = network.state_dict() | {"allowed_embedding.weight": 5 * torch.randn(toy.NETWORK.hidden_dim, 99)}
    save(tmp_path / "told.safetensors", weights, told)
    given = {"elements": {"only": ["Li", "P", "S", "O"]}}
    with_input = sampled(tmp_path / "told.safetensors", tmp_path, given, 32)
    without = sampled(model, tmp_path, given, 32)
    assert all(kinds(one) <= LIPSO for one in with_input)
    assert any(not np.array_equal(one.lattice, other.lattice) for one, other in zip(with_input, without, strict=True))
    free = sampled(tmp_path / "told.safetensors", tmp_path, {"num_atoms": {"max": 4}}, 32)  # no limit of the elements
    assert all(map(same, free, sampled(model, tmp_path, {"num_atoms": {"max": 4}}, 32)))


def test_what_the_network_is_told():
    only = targets(from_record(Constraints, {"elements": {"only": ["Li", "O"]}}), 8, [3, 8, 11])[0]
    anything = targets(from_record(Constraints, {"num_atoms": {"max": 4}}), 8, [3, 8, 11])[0]
    of_each = elements([only, anything], [3, 8, 11])
    assert of_each[0].nonzero()[:, 0].tolist() == [3, 8] and of_each[1].all()


def same(one, other) -> bool:
    return np.array_equal(one.frac_coords, other.frac_coords) and np.array_equal(one.lattice, other.lattice)


def test_one_must(model, tmp_path):
    given = {"elements": {"only": ["Li", "P", "S", "O"], "must": ["Li"]}, "num_atoms": {"max": 5}}
    for one in sampled(model, tmp_path, given):
        assert 3 in kinds(one) and kinds(one) <= LIPSO and one.num_atoms <= 5


def test_never_radioactive(model, tmp_path):
    found = sampled(model, tmp_path, {"elements": {"never": ["radioactive", "Tl"]}})
    assert not any(kinds(one) & {81, *GROUPS["radioactive"]} for one in found)


def test_one_system(model, tmp_path):
    assert all(kinds(one) == LIPSO for one in sampled(model, tmp_path, {"systems": [["Li", "P", "S", "O"]]}))


def test_several_systems_are_dealt_out_and_subsystems_only_if_asked_for(model, tmp_path):
    given = {"systems": [["Li", "P", "S"], ["Na", "Cl"]]}
    whole = sampled(model, tmp_path, given)
    assert [kinds(one) for one in whole] == [{3, 15, 16}, {11, 17}] * 128
    parts = [kinds(one) for one in sampled(model, tmp_path, {**given, "subsystems": True})]
    assert all(one <= {3, 15, 16} for one in parts[::2]) and all(one <= {11, 17} for one in parts[1::2])
    assert any(len(one) == 1 for one in parts)


def test_three_compositions(model, tmp_path):
    formulas = ["NaCl", {"formula": "TiO2", "formula_units": [1, 2]}, "Li3PS4"]
    found = sampled(model, tmp_path, {"compositions": formulas})
    wanted = [Composition(text) for text in ("NaCl", "TiO2", "Ti2O4", "Li3PS4")]
    assert [Composition(one.element_counts) for one in found] == wanted * 64


def test_one_two_and_four_formula_units_within_other_constraints(model, tmp_path):
    given = {
        "compositions": [{"formula": "NaCl", "formula_units": [1, 2, 4]}],
        "elements": {"must": ["Na"], "only": ["Na", "halogens"]},
        "num_atoms": {"min": 2, "max": 8},
    }
    found = sampled(model, tmp_path, given, 96)
    assert [one.element_counts for one in found] == [{"Na": units, "Cl": units} for units in (1, 2, 4)] * 32


def test_a_composition_on_the_free_sites_of_a_template(model, tmp_path):
    host = caesium_chloride("host")
    host.structure.make_supercell([2, 1, 1]).to(str(tmp_path / "host.cif"))  # Na Na Cl Cl
    given = {"template": {"file": str(tmp_path / "host.cif"), "free": [0, 2]}, "compositions": ["NaKClBr"]}
    for one in sampled(model, tmp_path, given, 64):
        first, kept, third, last = one.atomic_numbers.tolist()
        assert (kept, last) == (11, 17) and {first, third} == {19, 35}


@pytest.mark.parametrize("guidance", [0.0, 1.0])
def test_species_of_a_composition_are_known_from_the_beginning_where_they_guide(model, guidance):
    """And so at a corrector before the first step; without guidance they are generated, and end the same."""
    network, about = load(model)
    seen = []

    def listed(lattice, frac_coords, species, times, is_atom=None):
        seen.append(species if is_atom is None else species * is_atom)
        return network(lattice, frac_coords, species, times, is_atom)

    only = from_record(Constraints, {"compositions": ["NaCl", "TiO2"], "guidance": guidance})
    settings = dataclasses.replace(SAMPLE, corrector_steps=None, constraints=only)
    process = JointDiffusion(about.diffusion, about.mirage, "cpu", True)
    noise = Noise([generator(0)], [2])
    end = sample.generate(settings, about, listed, process, noise, targets(only, about.width))[0].real_species
    assert [Counter(row[row > 0].tolist()) for row in end] == [{11: 1, 17: 1}, {22: 1, 8: 2}]
    assert len(seen) == 8 and all(torch.equal(species, end) for species in seen) == (guidance > 0)


def test_four_to_six_atoms(model, tmp_path):
    sizes = Counter(one.num_atoms for one in sampled(model, tmp_path, {"num_atoms": {"min": 4, "max": 6}}))
    assert set(sizes) <= {4, 5, 6}
    if load(model)[1].mirage.num_atoms is None:  # as often as in training: 2 of 4 atoms, 1 of 5
        assert sizes[6] == 0 and sizes[4] > sizes[5] > 50


def test_numbers_of_atoms_that_no_training_crystal_has_are_drawn_evenly(model):
    about = load(model)[1]
    if about.mirage.num_atoms is None:
        chosen = targets(Constraints(num_atoms=NumAtoms(6, 6)), about.width)
        mask = sample.draw_padding(about, Noise([generator(0)], [9]), chosen * 9)
        assert mask.sum(1).tolist() == [6] * 9


@pytest.mark.parametrize("keep_cell", [True, False])
def test_a_template_is_kept_but_for_its_free_sites(model, tmp_path, keep_cell):
    host = caesium_chloride("host")
    host.structure.to(str(tmp_path / "host.cif"))
    given = {
        "template": {"file": str(tmp_path / "host.cif"), "free": [1], "keep_cell": keep_cell},
        "elements": {"only": ["Na", "F", "Br"]},
    }
    found = sampled(model, tmp_path, given, 64)
    for one in found:
        assert one.num_atoms == 2 and one.atomic_numbers[0] == 11 and one.atomic_numbers[1] in (9, 11, 35)
        assert np.allclose(one.frac_coords[0], host.frac_coords[0], atol=1e-6)
        assert np.allclose(one.lattice, host.lattice, atol=1e-5) == keep_cell
    assert len({tuple(one.frac_coords[1]) for one in found}) == 64


def test_constraints_are_the_same_in_any_order_of_shards(model, tmp_path):
    settings = dataclasses.replace(SAMPLE, num_crystals=12, num_shards=2, constraints=Constraints(systems=(("Li",),)))
    texts = []
    for shards in ((0, 1), (1, 0)):
        for shard in shards:
            sample.run(settings, model=model, crystals=tmp_path / f"{shard}.jsonl", shard=shard)
        texts.append([(tmp_path / f"{shard}.jsonl").read_text() for shard in (0, 1)])
    assert texts[0] == texts[1] and texts[0][0] != texts[0][1]


def test_a_lattice_that_is_no_number_fails_alone(model, tmp_path, monkeypatch):
    real = JointDiffusion.prior

    def broken(self, *arguments):
        state = real(self, *arguments)
        state.lattice[1, 1, 1] = float("nan")
        return state

    monkeypatch.setattr(JointDiffusion, "prior", broken)
    settings = dataclasses.replace(SAMPLE, num_crystals=4, constraints=Constraints(elements=Elements(only=("Li",))))
    sample.run(settings, model=model, crystals=tmp_path / "c.jsonl", shard=0)
    found = read_crystals(tmp_path / "c.jsonl")
    assert [one.crystal_id for one in found if "finite" in str(one.failure)] == ["miad-000-00001"]
    assert all(kinds(one) == {3} for one in (found[0], *found[2:]))


def test_no_constraints_no_targets():
    assert targets(Constraints(), 8) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"elements": {"only": ["Li", "Tl"], "never": ["toxic"]}}, r"elements: Tl stands in only and.* never"),
        ({"elements": {"must": ["Tc"], "never": ["radioactive"]}}, r"elements: Tc stands in must and.* never"),
        ({"elements": {"only": ["Li"], "must": ["O"]}}, r"O stands in must, but not in only"),
        ({"elements": {"must": ["halogens"]}}, r"elements\.must: halogens is a group"),
        ({"elements": {"only": ["lanthanide"]}}, r"lanthanide is neither.* Did you mean lanthanides"),
        ({"elements": {"only": ["li"]}}, r"li is neither.* Did you mean Li\?"),
        ({"elements": {"only": ["Rf"]}}, r"Rf is too heavy"),
        ({"elements": {"only": ["Xe", "Li"]}}, r"Xe occurs in no crystal of the training set"),
        ({"elements": {"only": ["noble_gases"]}}, r"no element of the training set"),
        ({"compositions": ["XeF2"]}, r"compositions: Xe occurs in no crystal"),
        ({"systems": [["Li", "Xe"]]}, r"systems: Xe occurs in no crystal"),
        ({"systems": [["Li"]], "compositions": ["LiF"]}, "systems and compositions"),
        ({"systems": [["Li", "F"]], "elements": {"never": ["halogens"]}}, r"systems: Li-F needs F"),
        ({"systems": [["Li", "F"]], "elements": {"must": ["O"]}}, r"systems: Li-F has no O"),
        ({"systems": [["Li", "F", "O"]], "num_atoms": {"max": 2}}, r"need at least 3 atoms.*allows 1 to 2"),
        (
            {"compositions": [{"formula": "Li3PS4", "formula_units": [1, 2]}]},
            "at least 16 atoms; the model has 8",
        ),
        ({"compositions": ["NaCl"], "num_atoms": {"min": 4}}, r"2 atoms, fewer than num_atoms\.min 4"),
        ({"compositions": ["Na0.5Cl"]}, r"Na0\.5Cl is not a formula of whole numbers"),
        ({"compositions": ["Hello"]}, r"Hello is not a formula"),
        ({"compositions": ["Xx2"]}, r"Xx is no element"),
        ({"compositions": ["Na999999Cl"]}, r"need at least 1000000 atoms"),
        ({"compositions": [{"formula": "NaCl", "formula_units": [10**15]}]}, r"need at least 2000000000000000 atoms"),
        ({"template": {"file": "absent.cif", "free": [0]}}, r"template\.file: there is no absent\.cif"),
        ({"num_atoms": {"min": 5, "max": 4}}, r"num_atoms\.min is 5, but .*num_atoms\.max is 4"),
        ({"num_atoms": {"min": 9}}, r"num_atoms\.min is 9, but the model has 8 places"),
    ],
)
def test_contradictions_are_one_error_that_names_the_key(given, words):
    with pytest.raises(MiadError, match=words) as error:
        targets(from_record(Constraints, given), 8, [z for z in KNOWN if z not in GROUPS["noble_gases"]])
    assert str(error.value).startswith(KEY)


@pytest.mark.parametrize(
    ("free", "more", "words"),
    [
        ((2,), {}, r"free has site 2; the last of .* is 1"),
        ((1,), {"elements": {"only": ["Cl"]}}, "keeps Na"),
        ((1,), {"num_atoms": {"min": 3}}, "has 2 atoms"),
        ((1,), {"systems": [["Na", "F", "O"]]}, "has 2 atoms"),
        ((1,), {"compositions": ["Cl2"]}, "keeps Na"),
    ],
)
def test_a_template_that_cannot_be_is_refused(tmp_path, free, more, words):
    caesium_chloride("host").structure.to(str(tmp_path / "host.cif"))
    given = from_record(Constraints, more)
    with pytest.raises(MiadError, match=words):
        targets(dataclasses.replace(given, template=Template(str(tmp_path / "host.cif"), free)), 8)


def test_a_template_with_a_partly_occupied_site_is_refused_with_that_reason(tmp_path):
    Structure(Lattice.cubic(4), [{"Na": 0.5}], [[0, 0, 0]]).to(str(tmp_path / "part.cif"))
    with pytest.raises(MiadError, match=r"template\.file .*partly occupied"):
        targets(Constraints(template=Template(str(tmp_path / "part.cif"), (0,))), 8)


def test_formulas_are_taken_as_written():
    found = targets(Constraints(compositions=(Formula("Ti2O4", (1, 2)),)), 12)
    assert [Counter(one.required) for one in found] == [{22: 2, 8: 4}, {22: 4, 8: 8}]


def test_groups_are_those_of_pymatgen():
    """As far as it has them; its rare earths have the actinides too."""
    elements = [Element.from_Z(z) for z in KNOWN]
    for group, name in (
        ("alkali_metals", "is_alkali"),
        ("alkaline_earths", "is_alkaline"),
        ("chalcogens", "is_chalcogen"),
        ("halogens", "is_halogen"),
        ("noble_gases", "is_noble_gas"),
        ("lanthanides", "is_lanthanoid"),
        ("actinides", "is_actinoid"),
    ):
        assert set(GROUPS[group]) == {one.Z for one in elements if getattr(one, name)}, group
    assert numbers(["rare_earths", "Li"], KEY) == {3, 21, 39, *GROUPS["lanthanides"]}


def test_without_constraints_the_same_random_numbers_are_drawn_in_the_same_order():
    """Those of before there were constraints, so that the bytes of samples stay."""
    seen = []

    class Listed(Noise):
        """Numbers whose shapes are noted."""

        def _draw(self, draw, *shape):
            seen.append(shape)
            return super()._draw(draw, *shape)

    process, noise = JointDiffusion(toy.DIFFUSION, toy.MIRAGE), Listed([generator(0)], [2])
    about = Model(toy.MIRAGE, toy.DIFFUSION, toy.NETWORK, True, COUNTS, 6.0, 1, "toy")
    settings = dataclasses.replace(SAMPLE, stride=10, corrector_steps=1)
    sample.generate(settings, about, CSPNet(toy.NETWORK), process, noise)
    of_step = [(3, 3), (5, 3), (5,)]
    assert seen == [(3, 3), (5, 3), (5,), *of_step, (5, 3), *of_step]


def test_more_atoms_than_places_are_told(caplog):
    found = targets(from_record(Constraints, {"num_atoms": {"max": 99}}), 8)
    assert found[0].most == 8 and "num_atoms.max is 99" in caplog.text


def test_groups_are_offered_only_where_they_may_stand():
    for given, told in (
        ({"systems": [["Li", "halogen"]]}, "halogen is no element."),
        ({"elements": {"only": ["halogen"]}}, "Did you mean halogens?"),
        ({"elements": {"must": ["li"]}}, "Did you mean Li?"),
    ):
        with pytest.raises(MiadError) as error:
            targets(from_record(Constraints, given), 8)
        assert str(error.value).endswith(told)


def test_guidance_without_compositions_is_refused():
    with pytest.raises(MiadError, match="guidance has no effect without compositions"):
        targets(from_record(Constraints, {"guidance": 0.5}), 8)
