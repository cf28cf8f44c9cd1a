"""CHGNet on several crystals at once: energy, forces and virial from one backward pass.

The arithmetic is CHGNet's, rearranged: what depends on one atom or one bond only is multiplied before it is copied to
bonds and angles; core and gate of a gated MLP are one matrix; bonds are kept once; the last update of the angles,
which nothing reads, is left out; and the gradient is taken by the bond vectors, of which forces and virial are sums.

The parts of CHGNet are taken in the constructors of `Network` and `_Gated` only; checked on chgnet 0.4.2.
"""

import contextlib
import io
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, silu

from miad.relax.geometry import Geometry
from miad.relax.potentials.chgnet_graph import Graph, Lists
from miad.relax.potentials.engine import Engine


class ChgnetEngine(Engine):
    """CHGNet 0.3.0, its weights frozen, on crystals that come and go; see `Potential.engine` for the arguments."""

    def __init__(self, device: str, limit: float) -> None:
        super().__init__(device)
        self.lists, self.network = Lists(limit, device=device), Network(device)

    def refresh(self, geometry: Geometry) -> tuple[Tensor, dict[int, str]]:
        """See `Engine`."""
        return self.lists.refresh(geometry)

    def evaluate(self, geometry: Geometry, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Engine`."""
        return self.network.evaluate(self.lists.graph(geometry, chosen))

    def select(self, kept: Tensor) -> None:
        """See `Engine`."""
        self.lists.select(kept)


class _Gated:
    """A gated MLP of CHGNet whose first layer takes its inputs in parts, projected one by one.

    Args:
        gated: CHGNet's `GatedMLP`, on the concatenated inputs.
        names: of the parts, in the order in which CHGNet concatenates them, 64 wide each.
    """

    def __init__(self, gated: Any, names: tuple[str, ...]) -> None:
        core = [layer for layer in gated.mlp_core.layers if isinstance(layer, torch.nn.Linear)]
        gate = [layer for layer in gated.mlp_gate.layers if isinstance(layer, torch.nn.Linear)]
        self.bias = torch.cat([core[0].bias, gate[0].bias])  # (128,)
        weight = torch.cat([core[0].weight, gate[0].weight]).T.contiguous()  # (64 * n_parts, 128)
        self.parts = dict(zip(names, weight.chunk(len(names)), strict=True))
        self.second = (core[1], gate[1]) if len(core) > 1 else None
        self.norms = [(one.normalized_shape, one.weight, one.bias, one.eps) for one in (gated.bn1, gated.bn2)]

    def finish(self, hidden: Tensor) -> Tensor:
        """From the sum of the projected parts, (n, 128), to the product of core and gate, (n, 64)."""
        halves = (silu(hidden) if self.second else hidden).chunk(2, dim=1)
        if self.second:
            halves = tuple(layer(half) for layer, half in zip(self.second, halves, strict=True))
        core, gate = (layer_norm(half, *norm) for half, norm in zip(halves, self.norms, strict=True))
        return silu(core) * torch.sigmoid(gate)


class Network:
    """CHGNet 0.3.0 with its weights rearranged; see the head of this module."""

    def __init__(self, device: str) -> None:
        from chgnet.model.model import CHGNet

        with contextlib.redirect_stdout(io.StringIO()):
            model: Any = CHGNet.load(use_device=device, verbose=False).eval()
        model.requires_grad_(False)
        corner = ("first", "second", "angle", "center")
        self.atom_layers = [
            (_Gated(layer.twoBody_atom, ("start", "bond", "end")), layer.mlp_out) for layer in model.atom_conv_layers
        ]
        self.bond_layers = [(_Gated(layer.twoBody_bond, corner), layer.mlp_out) for layer in model.bond_conv_layers]
        self.angle_layers = [_Gated(layer.twoBody_bond, corner) for layer in model.angle_layers[:-1]]
        basis = model.bond_basis_expansion
        self.radial, self.short_radial = basis.rbf_expansion_ag, basis.rbf_expansion_bg
        self.frequencies = model.angle_basis_expansion.fourier_expansion.frequencies
        self.embed_atoms, self.embed_bonds = model.atom_embedding, model.bond_embedding
        self.embed_angles = model.angle_embedding
        self.weigh_bonds, self.weigh_short = model.bond_weights_ag, model.bond_weights_bg
        self.norm, self.site_energy = model.readout_norm, model.mlp
        self.element_energies = model.composition_model.fc.weight[0]  # (94,) eV

    def evaluate(self, graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
        """Energies (n_crystals,) eV, forces (n_atoms, 3) eV/Å and virials (n_crystals, 3, 3) eV; float64."""
        vectors = graph.vectors.to(torch.float32).requires_grad_()
        energies = self._energies(graph, vectors)
        [gradient] = torch.autograd.grad(energies.sum(), vectors)
        pull = gradient.double()  # (n_bonds, 3) eV/Å, on the start of each bond
        zeros = pull.new_zeros(len(graph.owners), 3)
        forces = zeros.index_add(0, graph.ends, pull).index_add(0, graph.starts, pull, alpha=-1)
        products = graph.vectors[:, :, None] * pull[:, None, :]  # (n_bonds, 3, 3)
        virials = pull.new_zeros(graph.num_crystals, 3, 3).index_add(0, graph.owners[graph.starts], products, alpha=-1)
        return energies.detach(), forces, virials

    def energies(self, graph: Graph) -> Tensor:
        """Energies alone, (n_crystals,) eV, float64: without a backward pass."""
        with torch.no_grad():
            return self._energies(graph, graph.vectors.to(torch.float32))

    def _energies(self, graph: Graph, vectors: Tensor) -> Tensor:
        short, starts, ends, corners = graph.num_short, graph.starts, graph.ends, graph.corners
        lengths = torch.linalg.vector_norm(vectors, dim=1)  # (n_bonds,)
        radial = self.radial(lengths)
        bonds, weights = self.embed_bonds(radial), self.weigh_bonds(radial)  # (n_bonds, 64)
        atoms = self.embed_atoms(graph.atomic_numbers - 1)  # (n_atoms, 64)
        has_angles = len(corners) > 0
        if has_angles:
            short_weights = self.weigh_short(self.short_radial(lengths[:short]))
            angles = self._angles(vectors[:short] / lengths[:short, None], corners)
            first, second = torch.cat([corners, corners.flip(1)]).T.contiguous()
            centers = torch.cat([starts[:short], ends[:short]])
            at = first % short, second % short, centers[first]
            damping = short_weights.index_select(0, at[0]) * short_weights.index_select(0, at[1])
        for layer, (gated, out) in enumerate(self.atom_layers):
            atoms = atoms + out(_message_sums(gated, atoms, bonds, weights, starts, ends))
            if not has_angles or layer == len(self.bond_layers):
                continue
            gated, out = self.bond_layers[layer]
            near = bonds[:short]
            messages = gated.finish(_corner_input(gated, atoms, near, angles, at)) * damping
            near = near + out(torch.zeros_like(near).index_add(0, at[0], messages))
            bonds = torch.cat([near, bonds[short:]])
            if layer < len(self.angle_layers):
                gated = self.angle_layers[layer]
                angles = angles + gated.finish(_corner_input(gated, atoms, near, angles, at))
        sites = self.site_energy(self.norm(atoms)).view(-1) + self.element_energies[graph.atomic_numbers - 1]
        # Summed in double precision: a total of -200 eV has only 2e-5 eV left in single.
        zeros = torch.zeros(graph.num_crystals, device=sites.device, dtype=torch.float64)
        return zeros.index_add(0, graph.owners, sites.double())

    def _angles(self, directions: Tensor, corners: Tensor) -> Tensor:
        # As seen from its end, a bond points the other way.
        outward = torch.cat([directions, -directions])
        first, second = corners.unbind(dim=1)
        cosine = (outward.index_select(0, first) * outward.index_select(0, second)).sum(dim=1) * (1 - 1e-6)
        turns = torch.outer(torch.acos(cosine), self.frequencies)
        constant = torch.full_like(turns[:, :1], 1 / math.sqrt(2))
        waves = torch.cat([constant, torch.sin(turns), torch.cos(turns)], dim=1) / math.sqrt(math.pi)
        features = self.embed_angles(waves)
        return torch.cat([features, features])  # (2 n_angles, 64): both orders of the two bonds


def _message_sums(gated: _Gated, atoms: Tensor, bonds: Tensor, weights: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Messages along each bond in both directions, summed over the bonds of an atom, (n_atoms, 64)."""
    as_start, as_end = atoms @ gated.parts["start"], atoms @ gated.parts["end"]
    along = torch.addmm(gated.bias, bonds, gated.parts["bond"])
    forth = as_start.index_select(0, starts) + as_end.index_select(0, ends) + along
    back = as_start.index_select(0, ends) + as_end.index_select(0, starts) + along
    messages = gated.finish(torch.cat([forth, back])) * torch.cat([weights, weights])
    return torch.zeros_like(atoms).index_add(0, torch.cat([starts, ends]), messages)


def _corner_input(gated: _Gated, atoms: Tensor, near: Tensor, angles: Tensor, at: tuple[Tensor, ...]) -> Tensor:
    hidden = torch.addmm(gated.bias, angles, gated.parts["angle"])
    for name, rows, index in zip(("first", "second", "center"), (near, near, atoms), at, strict=True):
        hidden = hidden + (rows @ gated.parts[name]).index_select(0, index)
    return hidden
