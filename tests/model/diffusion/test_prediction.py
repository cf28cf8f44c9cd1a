"""Known species pull on coordinates and lattice by the gradient of their log-probability, and by no more."""

import torch
from torch.nn.functional import one_hot

from miad.core.crystal import MIRAGE, NUM_SPECIES
from miad.core.seeding import generator
from miad.model.diffusion import prediction
from miad.model.diffusion.process import JointDiffusion
from miad.model.network import CSPNet
from miad.model.process import Noise, Restriction, State
from tests.builders import toy

KNOWN = torch.tensor([[11, 17, MIRAGE], [22, 8, 8]])
TIMES = torch.tensor([9, 9])
ONE = torch.tensor(1.0, dtype=torch.float64)
TINY = torch.tensor(1e-9, dtype=torch.float64)  # σ at which no place's gradient is shortened


def network() -> CSPNet:
    torch.manual_seed(0)
    return CSPNet(toy.NETWORK).double().eval()


def noisy() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return 4 * torch.eye(3) + torch.randn(2, 3, 3, generator=g).double(), torch.rand(2, 3, 3, generator=g).double()


def test_the_pull_is_the_gradient_of_the_log_probability_of_the_known_species():
    net, (cell, places), is_atom = network(), noisy(), torch.tensor([[True] * 3, [True, True, False]])

    def fit(cell, places):
        log_p = torch.log_softmax(net(cell, places, KNOWN, TIMES, is_atom)[2], -1)  # (n_crystals, n_atoms, n_species)
        return (log_p.gather(-1, KNOWN[..., None])[..., 0] * is_atom).sum(1)  # (n_crystals,)

    plain = net(cell, places, KNOWN, TIMES, is_atom)
    found = prediction.guided(net, KNOWN, ONE, ONE, TINY)(cell, places, KNOWN, TIMES, is_atom)
    of_cell, of_places = plain[0] - found[0], found[1] - plain[1]
    assert torch.equal(found[2], plain[2]) and not any(part.requires_grad for part in found)
    for seed in range(3):
        g = torch.Generator().manual_seed(seed)
        turn, move = (1e-5 * torch.randn(2, 3, 3, generator=g).double() for _ in range(2))
        slope = (fit(cell + turn, places + move) - fit(cell - turn, places - move)) / 2  # (n_crystals,)
        assert torch.allclose((of_cell * turn + of_places * move).sum((1, 2)), slope, rtol=1e-4, atol=1e-12)


def test_a_long_pull_is_shortened_and_keeps_its_direction():
    net, (cell, places) = network(), noisy()
    short = prediction.guided(net, KNOWN, ONE, ONE, TINY)(cell, places, KNOWN, TIMES)[1]
    sigma = torch.tensor(1e6, dtype=torch.float64)
    long = prediction.guided(net, KNOWN, ONE, ONE, sigma)(cell, places, KNOWN, TIMES)[1]
    before, after = (found - net(cell, places, KNOWN, TIMES)[1] for found in (short, long))
    most = prediction.MOST_PLACE / sigma
    assert torch.allclose(after.norm(dim=-1), most.expand(2, 3), rtol=1e-3)
    assert torch.allclose(after / most, before / before.norm(dim=-1, keepdim=True), rtol=1e-3, atol=1e-3)


def test_known_species_stay_at_every_time_and_the_pull_moves_the_rest():
    process, net = JointDiffusion(toy.DIFFUSION, toy.MIRAGE), network().float()
    allowed = one_hot(KNOWN, NUM_SPECIES).bool()
    ends = []
    for guidance in (0.0, 1.0, 1.0):
        noise = Noise([generator(0)], [2])
        state, only = process.prior(noise, 3), Restriction(allowed, allowed, species=KNOWN, guidance=guidance)
        for time in range(20, 0, -1):
            state = process.step(net, state, time, time - 1, noise, denoise_last=True, restriction=only)
            assert torch.equal(state.species, KNOWN)
        ends.append(state)
    free, pulled, again = ends
    assert isinstance(pulled, State) and torch.equal(pulled.frac_coords, again.frac_coords)
    assert not torch.equal(pulled.frac_coords, free.frac_coords) and not torch.equal(pulled.lattice, free.lattice)
