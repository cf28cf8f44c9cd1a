"""benchmarks/constraints.py: what it counts as a violation, and that its variants draw what the package does."""

import pytest
import torch
from pymatgen.core import Lattice, Structure

from benchmarks.constraint_variants import VARIANTS, Variant, calibration, drawn_as
from benchmarks.constraints import USERS, violations
from miad.core.crystal import NUM_SPECIES
from miad.model.diffusion import restricted
from miad.model.process import Restriction

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


def test_restricted_noise_leaves_no_other_class_at_a_place():
    variant = Variant(noise="allowed", mirage=None)
    assert set(drawn(variant.denoise(COUNTS), condition(0, 3, 8), 0.001, 0.02).flatten().tolist()) <= {0, 3, 8}


def test_calibrated_noise_has_the_odds_that_were_learnt():
    only = condition(0, 3, 8, num=1)
    factor = calibration(only.allowed, COUNTS)[0, 0, 0]
    noise = Variant(noise="allowed", boost=0.0).classes(only.allowed, torch.tensor(0.3), COUNTS, factor)[0, 0]
    shares = COUNTS[1:] / COUNTS[1:].sum()
    rarity = shares[2] + shares[7]
    both = torch.stack([shares[2], shares[7]])
    assert torch.allclose(factor * (both / rarity) / noise[[3, 8]], NUM_SPECIES * both, rtol=1e-4)
    assert torch.allclose(noise.sum(), torch.ones(()))


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
