"""CHGNet on several crystals at once: energy, forces and virial from one backward pass.

The arithmetic is CHGNet's, rearranged: what depends on one atom or one bond only is multiplied before it is copied to
bonds and angles; core and gate of a gated MLP are one matrix; bonds are kept once; the last update of the angles,
which nothing reads, is left out; and the gradient is taken by the bond vectors, of which forces and virial are sums.
"""

import contextlib
import io
import math

import torch
from chgnet.model.functions import GatedMLP
from chgnet.model.model import CHGNet
from torch import Tensor
from torch.nn.functional import layer_norm, silu

from miad.relax.optimisers.batch import Geometry
from miad.relax.potentials.chgnet_graph import Graph, Lists


class ChgnetEngine:
    """CHGNet 0.3.0, its weights frozen, on crystals that come and go; an `Engine` of miad.relax.potentials.engine.

    Args:
        device: as torch names it.
        limit: bytes that the evaluation of one crystal may take.
    """

    def __init__(self, device: str, limit: float) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            model = CHGNet.load(use_device=device, verbose=False).eval()
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self.device, self.bytes_per_atom = device, 1e7
        self.lists = Lists(limit)
        self.network = BatchedChgnet(model)

    def refresh(self, geometry: Geometry) -> tuple[Tensor, dict[int, str]]:
        """Bytes that the evaluation of each crystal takes, (n_crystals,), and why some cannot be evaluated."""
        return self.lists.refresh(geometry)

    def evaluate(self, geometry: Geometry, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Energies, forces and virials of the chosen crystals; `refresh` comes first."""
        return self.network.evaluate(self.lists.graph(geometry, chosen))

    def select(self, kept: Tensor) -> None:
        """Forget all crystals but the kept ones, (n_crystals,) of bool."""
        self.lists.select(kept)


class _Gated:
    """A gated MLP of CHGNet whose first layer takes its inputs in parts, projected one by one.

    Args:
        gated: CHGNet's module, on the concatenated inputs.
        names: of the parts, in the order in which CHGNet concatenates them, 64 wide each.
    """

    def __init__(self, gated: GatedMLP, names: tuple[str, ...]) -> None:
        core = [layer for layer in gated.mlp_core.layers if isinstance(layer, torch.nn.Linear)]
        gate = [layer for layer in gated.mlp_gate.layers if isinstance(layer, torch.nn.Linear)]
        self.bias = torch.cat([core[0].bias, gate[0].bias])  # (128,)
        weight = torch.cat([core[0].weight, gate[0].weight]).T.contiguous()  # (64 * n_parts, 128)
        self.parts = dict(zip(names, weight.chunk(len(names)), strict=True))
        self.second = (core[1], gate[1]) if len(core) > 1 else None
        self.norms = (gated.bn1, gated.bn2)

    def finish(self, hidden: Tensor) -> Tensor:
        """From the sum of the projected parts, (n, 128), to the product of core and gate, (n, 64)."""
        if self.second:
            hidden = silu(hidden)
            halves = [layer(half) for layer, half in zip(self.second, hidden.chunk(2, dim=1), strict=True)]
        else:
            halves = hidden.chunk(2, dim=1)
        core, gate = (
            layer_norm(half, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
            for half, norm in zip(halves, self.norms, strict=True)
        )
        return silu(core) * torch.sigmoid(gate)


class BatchedChgnet:
    """CHGNet 0.3.0 with its weights rearranged; see the head of this module."""

    def __init__(self, model: CHGNet) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.atom_layers = [
            (_Gated(layer.twoBody_atom, ("start", "bond", "end")), layer.mlp_out) for layer in model.atom_conv_layers
        ]
        names = ("first", "second", "angle", "center")
        self.bond_layers = [(_Gated(layer.twoBody_bond, names), layer.mlp_out) for layer in model.bond_conv_layers]
        self.angle_layers = [_Gated(layer.twoBody_bond, names) for layer in model.angle_layers[:-1]]

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

    def _energies(self, graph: Graph, vectors: Tensor) -> Tensor:
        model, short = self.model, graph.num_short
        numbers, starts, ends, corners = graph.atomic_numbers, graph.starts, graph.ends, graph.corners
        lengths = torch.linalg.vector_norm(vectors, dim=1)  # (n_bonds,)
        basis = model.bond_basis_expansion
        radial = basis.rbf_expansion_ag(lengths)
        bonds, weights = model.bond_embedding(radial), model.bond_weights_ag(radial)  # (n_bonds, 64)
        atoms = model.atom_embedding(numbers - 1)  # (n_atoms, 64)
        has_angles = len(corners) > 0
        if has_angles:
            short_weights = model.bond_weights_bg(basis.rbf_expansion_bg(lengths[:short]))
            angles = self._angles(vectors[:short] / lengths[:short, None], corners)
            first, second = torch.cat([corners, corners.flip(1)]).T.contiguous()
            centers = torch.cat([starts[:short], ends[:short]])
            at = first % short, second % short, centers[first]
            damping = short_weights.index_select(0, at[0]) * short_weights.index_select(0, at[1])
        for layer, (gated, out) in enumerate(self.atom_layers):
            atoms = self._update_atoms(gated, out, atoms, bonds, weights, starts, ends)
            if not has_angles or layer == len(self.bond_layers):
                continue
            gated, out = self.bond_layers[layer]
            near = bonds[:short]
            messages = gated.finish(self._corner_input(gated, atoms, near, angles, at)) * damping
            near = near + out(torch.zeros_like(near).index_add(0, at[0], messages))
            bonds = torch.cat([near, bonds[short:]])
            if layer < len(self.angle_layers):
                gated = self.angle_layers[layer]
                angles = angles + gated.finish(self._corner_input(gated, atoms, near, angles, at))
        return self._read_out(atoms, numbers, graph.owners, graph.num_crystals)

    def _angles(self, directions: Tensor, corners: Tensor) -> Tensor:
        # As seen from its end, a bond points the other way.
        outward = torch.cat([directions, -directions])
        first, second = corners.unbind(dim=1)
        cosine = (outward.index_select(0, first) * outward.index_select(0, second)).sum(dim=1) * (1 - 1e-6)
        turns = torch.outer(torch.acos(cosine), self.model.angle_basis_expansion.fourier_expansion.frequencies)
        constant = torch.full_like(turns[:, :1], 1 / math.sqrt(2))
        waves = torch.cat([constant, torch.sin(turns), torch.cos(turns)], dim=1) / math.sqrt(math.pi)
        features = self.model.angle_embedding(waves)
        return torch.cat([features, features])  # (2 n_angles, 64): both orders of the two bonds

    @staticmethod
    def _update_atoms(
        gated: _Gated, out: torch.nn.Module, atoms: Tensor, bonds: Tensor, weights: Tensor, starts: Tensor, ends: Tensor
    ) -> Tensor:
        # Messages run along each bond in both directions.
        as_start, as_end = atoms @ gated.parts["start"], atoms @ gated.parts["end"]
        along = torch.addmm(gated.bias, bonds, gated.parts["bond"])
        forth = as_start.index_select(0, starts) + as_end.index_select(0, ends) + along
        back = as_start.index_select(0, ends) + as_end.index_select(0, starts) + along
        messages = gated.finish(torch.cat([forth, back]))
        messages = messages * torch.cat([weights, weights])
        summed = torch.zeros_like(atoms).index_add(0, torch.cat([starts, ends]), messages)
        return atoms + out(summed)

    @staticmethod
    def _corner_input(gated: _Gated, atoms: Tensor, near: Tensor, angles: Tensor, at: tuple[Tensor, ...]) -> Tensor:
        first, second, center = at
        hidden = torch.addmm(gated.bias, angles, gated.parts["angle"])
        hidden = hidden + (near @ gated.parts["first"]).index_select(0, first)
        hidden = hidden + (near @ gated.parts["second"]).index_select(0, second)
        return hidden + (atoms @ gated.parts["center"]).index_select(0, center)

    def _read_out(self, atoms: Tensor, numbers: Tensor, owners: Tensor, num_crystals: int) -> Tensor:
        model = self.model
        sites = model.mlp(model.readout_norm(atoms)).view(-1) + model.composition_model.fc.weight[0][numbers - 1]
        # Summed in double precision: a total of -200 eV has only 2e-5 eV left in single.
        return torch.zeros(num_crystals, device=sites.device, dtype=torch.float64).index_add(0, owners, sites.double())
