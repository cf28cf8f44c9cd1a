"""CSPNet written edge by edge from the protocol: an edge list, concatenation, scatter. The standard to agree with."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, silu
from torch_geometric.utils import scatter

from miad.model.network import CSPNet


def reference_forward(
    network: CSPNet, lattice: Tensor, frac_coords: Tensor, species: Tensor, times: Tensor, num_atoms: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """The published formulation with the parameters of `network`.

    Args:
        lattice: (n_crystals, 3, 3).
        frac_coords: (total_atoms, 3), crystals one after another.
        species: (total_atoms,).
        times: (n_crystals,).
        num_atoms: atoms of each crystal.

    Returns:
        noise (n_crystals, 3, 3), score (total_atoms, 3), logits (total_atoms, n_species).
    """
    settings = network.settings
    crystal = torch.repeat_interleave(torch.arange(len(num_atoms)), torch.tensor(num_atoms))
    half = settings.time_dim // 2
    angles = times[:, None] * torch.exp(torch.arange(half, dtype=torch.float64) * (-math.log(10000) / (half - 1)))
    time = torch.cat([angles.sin(), angles.cos()], 1).to(lattice)
    embedded = network.node_embedding(one_hot(species, network.node_embedding.in_features).to(lattice))
    h = network.atom_latent_emb(torch.cat([embedded, time[crystal]], 1))
    starts = torch.tensor([0, *torch.tensor(num_atoms).cumsum(0).tolist()[:-1]])
    edges = torch.cat(
        [torch.cartesian_prod(*(2 * [torch.arange(n)])) + start for n, start in zip(num_atoms, starts, strict=True)]
    )
    i, j = edges.T
    k = torch.arange(settings.num_frequencies).to(lattice)
    phases = (2 * math.pi * (frac_coords[j] - frac_coords[i])[..., None] * k).flatten(1)
    gram = (lattice @ lattice.transpose(1, 2)).flatten(1) * settings.gram_scale
    for layer in network.csp_layers:
        x = layer.layer_norm(h)
        edge = torch.cat([x[i], x[j], gram[crystal[i]], phases.sin(), phases.cos()], 1)
        message = silu(layer.edge_mlp[2](silu(layer.edge_mlp[0](edge))))
        mean = scatter(message, i, dim=0, dim_size=len(h), reduce="mean")
        h = h + layer.node_mlp(torch.cat([x, mean], 1))
    h = network.final_layer_norm(h)
    graph = scatter(h, crystal, dim=0, dim_size=len(num_atoms), reduce="mean")
    noise = network.lattice_out(graph).view(-1, 3, 3) @ lattice
    return noise, network.coord_out(h), network.type_out(h)


def parameters_of(network: nn.Module) -> dict[str, Tensor]:
    """Gradients by name, as copies."""
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
