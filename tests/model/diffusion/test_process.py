"""The joint diffusion: its times, what losses are divided by and add up to, what the options change."""

import pytest
import torch

from miad.infuse.step import padding_mask, to_tensors
from miad.model.diffusion.process import JointDiffusion
from miad.model.network import CSPNet
from miad.model.process import Noise, State
from tests.builders import toy


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(num=6, width=5, mirage=toy.MIRAGE) -> State:
    tensors = to_tensors(toy.crystals(num), width)
    mask = padding_mask(tensors["num_atoms"], width) if mirage.num_atoms is None else None
    return State(tensors["lattice"], tensors["frac_coords"], tensors["species"], mask)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return CSPNet(toy.NETWORK)


def test_times_reach_from_1_to_the_last():
    process = JointDiffusion(toy.DIFFUSION, toy.MIRAGE)
    for stratified in (False, True):
        times = process.times(Noise([seeded()], [4000]), stratified, 4000)
        assert times.unique().tolist() == list(range(1, 21))
        assert times.bincount(minlength=21)[1:].float().std() < (15 if not stratified else 1)
    few = process.times(Noise([seeded()], [4]), True, 4)
    assert [(time - 1) // 5 for time in few.tolist()] == [0, 1, 2, 3]
    share = process.times(Noise([seeded()], [4], slice(2, 4)), True, 4)
    assert torch.equal(share, few[2:])


def test_the_end_of_the_interval_is_no_time_beyond_the_last():
    class Ones:
        part = slice(None)

        def uniform(self):
            return torch.ones(3)

    assert JointDiffusion(toy.DIFFUSION, toy.MIRAGE).times(Ones(), False, 3).tolist() == [20, 20, 20]


# -------------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("mirage", [toy.MIRAGE, toy.BASELINE])
def test_shares_of_a_batch_add_up_to_it(network, mirage):
    process = JointDiffusion(toy.DIFFUSION, mirage, center_scores=True, cross_entropy=1.0)
    parts = slice(0, 6), slice(0, 2), slice(2, 6)
    whole, first, rest = (
        process.losses(network, batch(mirage=mirage), Noise([seeded()], [6], part), True) for part in parts
    )
    for name in process.loss_names:
        assert (first[name] + rest[name]).item() == pytest.approx(whole[name].item(), rel=1e-5)


def test_what_the_losses_are_divided_by():
    sizes = [crystal.num_atoms for crystal in toy.crystals(6)]
    masked = JointDiffusion(toy.DIFFUSION, toy.MIRAGE).counts(batch())
    assert (masked.crystals, masked.atoms, masked.scored_atoms) == (6, 30, sum(sizes))
    variant = toy.MIRAGE.__class__(5, "uniform", mask_loss=False)
    assert JointDiffusion(toy.DIFFUSION, variant).counts(batch()).scored_atoms == 30
    ragged = JointDiffusion(toy.DIFFUSION, toy.BASELINE).counts(batch(mirage=toy.BASELINE))
    assert (ragged.atoms, ragged.scored_atoms) == (sum(sizes), sum(sizes))


@pytest.mark.parametrize("mirage", [toy.MIRAGE, toy.BASELINE])
def test_the_auxiliary_loss_is_told_apart_and_weighted_as_part_of_the_species(network, mirage):
    """The total is κ₃ (species + c · cross entropy), and the paper's three losses do not know of it."""
    process = JointDiffusion(toy.DIFFUSION, mirage, cross_entropy=0.3)
    found, without = (
        one.losses(network, batch(mirage=mirage), Noise([seeded()], [6]), True)
        for one in (process, JointDiffusion(toy.DIFFUSION, mirage))
    )
    assert tuple(found) == process.loss_names == ("lattice", "coords", "species", "cross_entropy")
    assert tuple(without) == ("lattice", "coords", "species")
    assert all(torch.equal(found[name], without[name]) for name in without)
    assert 1 < found["cross_entropy"].item() < 5  # of an untrained network ln 100, less what A_t says
    factors = process.factors({"lattice": 1.0, "coords": 3.0, "species": 0.5})
    assert factors == {"lattice": 1.0, "coords": 3.0, "species": 0.5, "cross_entropy": 0.15}


def test_the_baseline_gets_no_mirage_atoms():
    clean = batch(mirage=toy.BASELINE)
    assert JointDiffusion(toy.DIFFUSION, toy.BASELINE).infuse(clean, Noise([seeded()], [6])) is clean


# ------------------------------------------------------------------------------------------------------ sampling


class Shifted(torch.nn.Module):
    """The network with a constant added to its score."""

    def __init__(self, inner, shift):
        super().__init__()
        self.inner, self.shift = inner, shift

    def forward(self, *arguments):
        epsilon, score, logits = self.inner(*arguments)
        return epsilon, score + self.shift, logits


@pytest.mark.parametrize("center", [False, True])
def test_centred_scores_ignore_a_rigid_shift(network, center):
    process = JointDiffusion(toy.DIFFUSION, toy.MIRAGE, center_scores=center)
    state = process.prior(Noise([seeded()], [3]), 5)
    scores = [process.predict(net, state, 10)[1] for net in (network, Shifted(network, 0.7))]
    assert torch.allclose(*scores, atol=1e-4) == center
    assert (scores[0].mean(1).abs().max() < 1e-5) == center


def test_the_prior_is_noise_of_the_right_kind():
    state = JointDiffusion(toy.DIFFUSION, toy.MIRAGE).prior(Noise([seeded()], [4000]), 5)
    assert state.lattice.shape == (4000, 3, 3) and state.frac_coords.shape == (4000, 5, 3)
    assert state.lattice.mean().abs() < 0.02 and state.lattice.std().item() == pytest.approx(1, abs=0.02)
    assert state.frac_coords.mean().item() == pytest.approx(0.5, abs=0.01) and state.frac_coords.max() < 1
    assert state.species.unique().tolist() == list(range(100))


def test_the_last_step_moves_coordinates_only_if_asked(network):
    process = JointDiffusion(toy.DIFFUSION, toy.MIRAGE)
    state = process.prior(Noise([seeded()], [3]), 5)
    with torch.no_grad():
        stays = process.step(network, state, 1, 0, Noise([seeded(1)], [3]))
        moves = process.step(network, state, 1, 0, Noise([seeded(1)], [3]), denoise_last=True)
        other = process.step(network, state, 1, 0, Noise([seeded(2)], [3]), denoise_last=True)
    assert torch.equal(stays.frac_coords, state.frac_coords)
    assert not torch.equal(moves.frac_coords, state.frac_coords)
    # The last step is free of chance.
    assert torch.equal(moves.lattice, other.lattice) and torch.equal(moves.species, other.species)
    assert torch.equal(moves.frac_coords, other.frac_coords)


def test_the_corrector_touches_coordinates_only(network):
    process = JointDiffusion(toy.DIFFUSION, toy.MIRAGE)
    state = process.prior(Noise([seeded()], [3]), 5)
    moved = process.correct(network, state, 10, 1e-5, Noise([seeded(1)], [3]))
    assert torch.equal(moved.lattice, state.lattice) and torch.equal(moved.species, state.species)
    gap = moved.frac_coords - state.frac_coords
    expected = (2 * 1e-5) ** 0.5 * process.sigma[10] / process.sigma[1]
    assert 0 < (gap - gap.round()).abs().mean() < 3 * expected
