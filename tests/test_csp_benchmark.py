"""benchmarks/csp.py: every way ends at the composition, as it says, and what is counted of their samples."""

import argparse
import math

import numpy as np
import pytest
import torch

from benchmarks import csp
from miad.core.crystal import NUM_SPECIES
from miad.core.seeding import generator
from miad.model import register
from miad.model.network import CSPNet
from miad.model.process import Noise, Restriction
from miad.model.weights import Model, save
from tests.builders import toy
from tests.builders.crystals import caesium_chloride

NAN = float("nan")
KNOWN = torch.tensor([[11, 17, 0, 0, 0]] * 2000)


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(path, CSPNet(toy.NETWORK).state_dict(), Model(toy.MIRAGE, toy.DIFFUSION, toy.NETWORK, True, [0, 1], 6, 1, "t"))
    return argparse.Namespace(model=str(path), samples=3, stride=5, corrected=1, precision="float32")


@pytest.mark.parametrize("way", csp.WAYS)
def test_every_way_ends_at_the_composition_and_leaves_the_package_as_it_was(way, options):
    groups = csp.sampled(csp.WAYS[way], [caesium_chloride("a")], options)
    whole = [one for one in groups[0] if not one.failure]  # the untrained network makes cells of any shape
    assert len(groups[0]) == 3 and whole and all(one.element_counts == {"Na": 1, "Cl": 1} for one in whole)
    assert register.PROCESSES["joint_diffusion"] is csp.JointDiffusion


def network(lattice, frac_coords, species, times, is_atom=None):
    """A network that knows nothing."""
    return torch.zeros_like(lattice), torch.zeros_like(frac_coords), torch.zeros(*species.shape, NUM_SPECIES)


def stepped(process: type, now: int, later: int) -> torch.Tensor:
    """Species after a step from the prior."""
    made, noise = process(toy.DIFFUSION, toy.MIRAGE), Noise([generator(0)], [len(KNOWN)])
    allowed = torch.zeros(*KNOWN.shape, NUM_SPECIES, dtype=torch.bool)
    allowed[..., [0, 11, 17]] = True
    only = Restriction(allowed, allowed, species=KNOWN, guidance=1.0)
    return made.step(network, made.prior(noise, 5), now, later, noise, restriction=only).species


@pytest.mark.parametrize(("process", "power"), [(csp.Noised, 1.0), (csp.Half, 0.5)])
def test_species_are_noised_as_much_as_the_way_says(process, power):
    keep = process(toy.DIFFUSION, toy.MIRAGE).species_alpha_bar[10].item() ** power
    share = (stepped(process, 15, 10) == KNOWN).float().mean().item()
    expected = keep + (1 - keep) / NUM_SPECIES
    assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / KNOWN.numel())


def test_held_species_are_the_known_ones_and_no_gradient_is_taken():
    """The stand-in for a network has none, so that guidance would fail."""
    assert torch.equal(stepped(csp.Held, 15, 10), KNOWN)
    with pytest.raises(RuntimeError, match="grad"):
        stepped(csp.JointDiffusion, 15, 10)


def test_before_the_last_step_only_elements_of_the_composition_are_predicted():
    """Of a prior of all classes, which has three of a hundred."""
    species = stepped(csp.Last, 15, 10)
    assert torch.isin(species, torch.tensor([0, 11, 17])).float().mean() > 0.3 and species.unique().numel() == 100


def test_the_last_step_counts():
    made, noise = csp.Last(toy.DIFFUSION, toy.MIRAGE), Noise([generator(0)], [len(KNOWN)])
    slots = torch.nn.functional.one_hot(KNOWN, NUM_SPECIES).bool()
    allowed = slots.any(1, keepdim=True).expand_as(slots)
    found = made.step(network, made.prior(noise, 5), 1, 0, noise, restriction=Restriction(allowed, slots)).species
    assert torch.equal(found.sort(1).values, KNOWN.sort(1).values)


def test_differences_are_those_of_single_crystals():
    tables = {
        "free": np.array([[0.1, NAN], [NAN, NAN], [0.1, 0.2]]),
        "guided": np.array([[0.1, 0.2], [0.3, NAN], [0.1, 0.2]]),
        "last": np.array([[NAN, NAN], [NAN, NAN], [0.1, NAN]]),
    }
    half = 196 * math.sqrt(1 / 12) / math.sqrt(3)  # of 0.5, 0.5 and 0
    assert csp.differences(tables) == [f"| guided | +33.3 ± {half:.1f} |", f"| last | -33.3 ± {half:.1f} |"]
    assert csp.differences({"guided": tables["guided"]}) == []


def test_a_crystal_matches_itself_and_no_failed_sample():
    crystal = caesium_chloride("a")
    rmse = csp.compared([crystal], [[crystal, crystal.failed("sample", "no cell")]])
    assert rmse.shape == (1, 2) and rmse[0, 0] < 1e-6 and np.isnan(rmse[0, 1])
