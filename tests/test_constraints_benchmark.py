"""benchmarks/constraints.py: what it counts as a violation, and that its variants draw what the package does."""

import dataclasses
import sys

import pytest
import torch
from pymatgen.core import Lattice, Structure

from benchmarks import constraints
from benchmarks.constraint_variants import VARIANTS, Untold, Variant, drawn_as
from benchmarks.constraints import USERS, violations
from miad.core.crystal import NUM_SPECIES
from miad.core.seeding import generator
from miad.model.diffusion import restricted
from miad.model.diffusion.process import JointDiffusion
from miad.model.process import Noise, Restriction
from miad.model.register import make_network, make_process
from tests.builders import toy

COUNTS = torch.arange(float(NUM_SPECIES))


def condition(*classes: int, num: int = 500) -> Restriction:
    allowed = torch.zeros(num, 3, NUM_SPECIES, dtype=torch.bool)
    allowed[..., list(classes)] = True
    return Restriction(allowed, allowed)


def drawn(draw, only: Restriction, now: float, later: float) -> torch.Tensor:
    source = torch.Generator().manual_seed(0)
    shape = (*only.allowed.shape[:2], NUM_SPECIES)
    species = torch.randint(NUM_SPECIES, shape[:2], generator=source)
    logits, draws = torch.randn(shape, generator=source), torch.rand(*shape[:2], NUM_SPECIES + 1, generator=source)
    return draw(species, logits, torch.tensor(now), torch.tensor(later), draws, only)


@pytest.mark.parametrize(("now", "later"), [(0.1, 0.2), (0.9, 0.95), (0.98, 1.0)])
def test_the_default_variant_draws_what_the_package_draws(now, later):
    only = condition(0, 3, 8)
    assert torch.equal(drawn(Variant().denoise(COUNTS), only, now, later), drawn(restricted.denoise, only, now, later))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_ends_at_allowed_classes_and_leaves_the_package_as_it_was(name):
    before, only = restricted.denoise, condition(0, 3, 8, num=5)
    with drawn_as(VARIANTS[name], COUNTS):
        found = drawn(restricted.denoise, only, 0.99, 1.0)
    assert set(found.flatten().tolist()) <= {0, 3, 8} and restricted.denoise is before


@pytest.mark.parametrize("noise", ["allowed", "training"])
def test_restricted_noise_leaves_no_other_class_at_a_place(noise):
    variant = Variant(noise=noise)
    assert set(drawn(variant.denoise(COUNTS), condition(0, 3, 8), 0.001, 0.02).flatten().tolist()) <= {0, 3, 8}


def test_noise_of_the_training_has_its_elements_as_often_as_it():
    noise = Variant(noise="training").classes(condition(0, 3, 8, num=1).allowed, torch.tensor(0.3), COUNTS)[0, 0]
    assert torch.allclose(noise[[0, 3, 8]], torch.tensor([0.01, 0.99 * 3 / 11, 0.99 * 8 / 11]))
    assert torch.allclose(noise.sum(), torch.ones(()))


def test_noise_as_schedule_is_that_of_all_classes_before_its_time():
    variant, allowed = VARIANTS["noise as schedule"], condition(0, 3, 8, num=1).allowed
    before, since = (variant.classes(allowed, torch.tensor(keep), COUNTS)[0, 0] for keep in (0.29, 0.31))
    assert torch.allclose(before, torch.tensor(1 / NUM_SPECIES)) and since.nonzero().flatten().tolist() == [0, 3, 8]


def test_a_network_without_the_input_is_told_that_all_elements_are_allowed():
    network = make_network(dataclasses.replace(toy.NETWORK, allowed_input=True))
    torch.nn.init.ones_(network.allowed_embedding.weight)
    process, noise = Untold(toy.DIFFUSION, toy.MIRAGE), Noise([generator(0)], [4])
    state, allowed = process.prior(noise, 3), torch.zeros(4, NUM_SPECIES, dtype=torch.bool)
    allowed[:, [3, 8]] = True
    told = dataclasses.replace(state, allowed=allowed)
    anything = dataclasses.replace(state, allowed=torch.ones_like(allowed))
    logits = process.predict(network, told, 10)[2]
    assert torch.equal(logits, JointDiffusion(toy.DIFFUSION, toy.MIRAGE).predict(network, anything, 10)[2])
    assert not torch.allclose(logits, JointDiffusion(toy.DIFFUSION, toy.MIRAGE).predict(network, told, 10)[2])


def test_without_the_input_samples_are_drawn_by_a_process_that_does_not_tell_it():
    with drawn_as(VARIANTS["without the input"], COUNTS):
        assert isinstance(make_process(toy.DIFFUSION, toy.MIRAGE), Untold)
    assert not isinstance(make_process(toy.DIFFUSION, toy.MIRAGE), Untold)


@pytest.mark.parametrize(("table", "name"), [("users", "noise allowed"), ("variants", "size")])
def test_rows_of_the_other_table_are_refused(monkeypatch, capsys, table, name):
    words = ["--train", "t", "--hull", "h", "--out", "o", "--table", table, "--only", name]
    monkeypatch.setattr(sys, "argv", ["constraints.py", *words])
    with pytest.raises(SystemExit):
        constraints.main()
    assert f"{name} is no row of --table {table}" in capsys.readouterr().err


def test_a_violation_is_a_crystal_that_breaks_the_condition_or_has_no_file(tmp_path):
    for number, other in enumerate(("O", "F")):
        structure = Structure(Lattice.cubic(4), ["Li", other], [[0, 0, 0], [0.5, 0.5, 0.5]])
        structure.to(filename=str(tmp_path / f"s-000-{number:05d}.cif"))
    names, check = [f"s-000-{number:05d}" for number in range(3)], USERS["only-Li"][1]
    assert violations(tmp_path, names[:1], check) == 0
    assert violations(tmp_path, names, check) == 2


def test_the_checks_of_the_table_tell_right_from_wrong():
    salt = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    radium = Structure(Lattice.cubic(4), ["Ra", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    is_formula, is_size, is_stable = (USERS[name][1] for name in ("compositions", "size", "never"))
    assert is_formula(salt, 3) and not is_formula(salt, 1)
    assert not is_size(salt, 0) and is_size(salt * [2, 1, 1], 0)
    assert is_stable(salt, 0) and not is_stable(radium, 0)
