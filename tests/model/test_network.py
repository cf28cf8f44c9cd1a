"""The fast network against the plain formulation, and the symmetries it must have."""

import dataclasses

import pytest
import torch

from miad.config.sections import Network
from miad.core.crystal import NUM_SPECIES
from miad.model.network import Cast, CSPNet
from tests.builders.reference import parameters_of, reference_forward

SMALL = Network(hidden_dim=32, num_layers=3, num_frequencies=8, time_dim=16, gram_scale=0.5)
PAPER = Network(hidden_dim=512, num_layers=6, num_frequencies=128, time_dim=256, gram_scale=1.0)


def batch(num_atoms: list[int], seed: int = 0) -> dict:
    """Random ragged crystals in float64, flat and padded."""
    g = torch.Generator().manual_seed(seed)
    width, total = max(num_atoms), sum(num_atoms)
    is_atom = torch.arange(width) < torch.tensor(num_atoms)[:, None]
    flat = {
        "frac_coords": torch.rand(total, 3, generator=g, dtype=torch.float64),
        "species": torch.randint(0, 100, (total,), generator=g),
    }
    padded = {"frac_coords": torch.rand(len(num_atoms), width, 3, generator=g, dtype=torch.float64)}
    padded["species"] = torch.randint(0, 100, (len(num_atoms), width), generator=g)
    for key, value in padded.items():
        value[is_atom] = flat[key]
    shared = {
        "lattice": 3 * torch.randn(len(num_atoms), 3, 3, generator=g, dtype=torch.float64),
        "times": torch.randint(1, 1001, (len(num_atoms),), generator=g),
    }
    return {"flat": {**flat, **shared}, "padded": {**padded, **shared}, "is_atom": is_atom}


def test_parameters_at_the_papers_size():
    assert sum(parameter.numel() for parameter in CSPNet(PAPER).parameters()) == 12_346_468


@pytest.mark.parametrize("num_atoms", [[5, 5, 5], [1, 1], [4, 1, 7, 2]])
def test_agrees_with_the_plain_formulation(num_atoms):
    torch.manual_seed(0)
    network = CSPNet(SMALL).double()
    data = batch(num_atoms)
    weights = torch.Generator().manual_seed(1)
    expected = reference_forward(network, num_atoms=num_atoms, **data["flat"])
    probes = [torch.randn(part.shape, generator=weights, dtype=torch.float64) for part in expected]
    sum((part * probe).sum() for part, probe in zip(expected, probes, strict=True)).backward()
    wanted = parameters_of(network)
    network.zero_grad()
    is_atom = data["is_atom"]
    dense = network(**data["padded"], is_atom=None if is_atom.all() else is_atom)
    found = [dense[0], dense[1][is_atom], dense[2][is_atom]]
    sum((part * probe).sum() for part, probe in zip(found, probes, strict=True)).backward()
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-10, rtol=1e-10)
    for name, gradient in parameters_of(network).items():
        assert torch.allclose(gradient, wanted[name], atol=1e-10, rtol=1e-10), name


def test_single_precision_is_close_to_double():
    torch.manual_seed(0)
    network = CSPNet(PAPER).double()
    data = batch([6, 6])["padded"]
    exact = network(**data)
    single = CSPNet(PAPER)
    single.load_state_dict(network.state_dict())
    inputs = {key: value.float() if value.is_floating_point() else value for key, value in data.items()}
    for ours, theirs in zip(single(**inputs), exact, strict=True):
        assert torch.allclose(ours.double(), theirs, atol=2e-4, rtol=2e-4)


def test_half_precision_trains_in_the_same_direction():
    torch.manual_seed(0)
    network = CSPNet(SMALL)
    data = {k: v.float() if v.is_floating_point() else v for k, v in batch([6] * 8)["padded"].items()}
    gradients = []
    for is_half in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_half):
            noise, score, logits = network(**data)
        assert score.dtype == torch.float32
        (noise.square().mean() + score.square().mean() + logits.square().mean()).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.999


def test_one_cast_of_all_weights_is_one_of_each_to_the_last_bit():
    g = torch.Generator().manual_seed(0)
    wide = torch.randn(7, 10, generator=g)
    grads = [torch.randn(*shape, generator=g).bfloat16() for shape in ((7, 4), (7, 6), (7,))]

    def weights() -> tuple[torch.Tensor, list[torch.Tensor]]:
        whole = wide.clone().requires_grad_()
        return whole, [*whole.split([4, 6], 1), whole[:, 0]]  # parts lie apart in memory, and overlap

    whole, parts = weights()
    found = Cast.apply(torch.bfloat16, *parts)
    torch.autograd.backward(found, grads)
    other, parts = weights()
    expected = [part.to(torch.bfloat16) for part in parts]
    torch.autograd.backward(expected, grads)
    assert all(one.dtype == torch.bfloat16 and torch.equal(one, two) for one, two in zip(found, expected, strict=True))
    assert whole.grad.dtype == torch.float32 and torch.equal(whole.grad, other.grad)


def test_half_precision_rounds_what_layers_add_and_not_what_they_add_to():
    """Rounded after every layer, the features of the atoms would bring more than half of the error."""
    torch.manual_seed(0)
    network = CSPNet(SMALL)
    data = {k: v.float() if v.is_floating_point() else v for k, v in batch([6] * 8)["padded"].items()}
    features = []
    for layer in network.csp_layers:
        layer.register_forward_hook(lambda _, inputs, output: features.append((inputs[0], output)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(**data)
    assert {part.dtype for pair in features for part in pair} == {torch.float32}


def test_symmetries():
    """Permutation, rotation and reflection of the lattice, translation across the cell border."""
    torch.manual_seed(0)
    network = CSPNet(SMALL).double()
    data = batch([7, 7])["padded"]
    noise, score, logits = network(**data)
    order = torch.randperm(7)
    moved = {**data, "frac_coords": data["frac_coords"][:, order], "species": data["species"][:, order]}
    permuted = network(**moved)
    assert torch.allclose(permuted[0], noise) and torch.allclose(permuted[1], score[:, order])
    assert torch.allclose(permuted[2], logits[:, order])
    for sign in (1, -1):
        turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
        turn = sign * turn * torch.linalg.det(turn).sign()
        turned = network(**{**data, "lattice": data["lattice"] @ turn})
        assert torch.allclose(turned[0], noise @ turn)
        assert torch.allclose(turned[1], score) and torch.allclose(turned[2], logits)
    shifted = network(**{**data, "frac_coords": torch.remainder(data["frac_coords"] + 0.37, 1)})
    assert all(torch.allclose(a, b) for a, b in zip(shifted, (noise, score, logits), strict=True))


def test_species_of_neighbours_matter():
    """The probe of the symmetry tests: a network that ignored its input would pass them."""
    torch.manual_seed(0)
    network = CSPNet(SMALL).double()
    data = batch([4])["padded"]
    other = {**data, "species": (data["species"] + 1) % 100}
    assert not torch.allclose(network(**data)[1], network(**other)[1], atol=1e-4)


def test_gradients_do_not_depend_on_how_threads_race():
    """The backward of plain indexing adds in any order; seen as different tables from the same seed."""
    torch.manual_seed(0)
    network = CSPNet(SMALL)
    data = {k: v.float() if v.is_floating_point() else v for k, v in batch([9] * 256)["padded"].items()}
    threads, runs = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        for _ in range(5):
            network.zero_grad()
            sum(part.square().mean() for part in network(**data)).backward()
            runs.append(torch.cat([parameter.grad.flatten() for parameter in network.parameters()]))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(run, runs[0]) for run in runs[1:])


def test_one_that_is_told_of_limits_is_at_first_the_same_and_then_differs_by_them():
    torch.manual_seed(0)
    plain = CSPNet(SMALL)
    torch.manual_seed(0)
    told = CSPNet(dataclasses.replace(SMALL, allowed_input=True))
    data = {name: part.float() if part.is_floating_point() else part for name, part in batch([5, 5])["padded"].items()}
    allowed = torch.zeros(2, NUM_SPECIES, dtype=torch.bool)
    allowed[:, [3, 8]] = True
    assert all(map(torch.equal, plain(**data), told(**data, allowed=allowed)))
    torch.nn.init.normal_(told.allowed_embedding.weight)
    limited, free = told(**data, allowed=allowed)[2], told(**data, allowed=torch.ones_like(allowed))[2]
    assert torch.equal(free, plain(**data)[2]) and not torch.allclose(limited, free)
    allowed[1] = True
    assert torch.equal(told(**data, allowed=allowed)[2][1], free[1])
