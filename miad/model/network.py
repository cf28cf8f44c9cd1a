"""CSPNet on dense batches: lattice noise, coordinate score and species of noisy crystals.

The same function of the same parameters as the published network, arranged so that nothing is computed twice; the
plain formulation, edge by edge, lives in tests/builders/reference.py and agrees to 1e-10.

Source: Jiao et al., DiffCSP, arXiv:2309.04475; MiAD, arXiv:2511.14426, appendix C.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear, silu

from miad.config.sections import Network
from miad.core.crystal import NUM_SPECIES
from miad.model.edges import PairIndex, edge_mean, pair_waves


def time_embedding(times: Tensor, dim: int) -> Tensor:
    """Sinusoidal embedding of t ∈ 1 … T, (n_crystals,): dim/2 sines, then dim/2 cosines, (n_crystals, dim)."""
    half = dim // 2
    rates = torch.exp(torch.arange(half, device=times.device, dtype=torch.float64) * -(math.log(10000) / (half - 1)))
    angles = times[:, None].double() * rates  # (n_crystals, half)
    return torch.cat([angles.sin(), angles.cos()], -1)  # (n_crystals, dim)


def fourier_features(
    frac_coords: Tensor, num_frequencies: int, pairs: PairIndex, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """sin(2πk·d) and cos(2πk·d) of every unordered pair, d = F_j − F_i, k = 0 … num_frequencies − 1.

    Trigonometry is done per atom and put together per pair. Of coordinates (n_crystals, n_atoms, 3) come sines and
    cosines of the given dtype, each (n_crystals, n_pairs, 3 · num_frequencies), axis-major.
    """
    multiples = torch.arange(num_frequencies, device=frac_coords.device, dtype=frac_coords.dtype)  # (n_freqs,)
    # Whole turns are taken out before the multiplication by 2π, which keeps float32 phases exact to 1e-7 turns · k.
    turns = torch.remainder(frac_coords[..., None] * multiples, 1.0)  # (n_crystals, n_atoms, 3, n_freqs)
    angles = (2 * math.pi * turns).flatten(2)  # (n_crystals, n_atoms, 3 · n_freqs)
    return pair_waves(angles.sin(), angles.cos(), pairs, dtype)


def limits(allowed: Tensor) -> Tensor:
    """Which elements may occur, (n_crystals, n_species), as an input of the network, (n_crystals, n_elements).

    The direction of the allowed elements, less that of all: zero where all are allowed.
    """
    elements = allowed[:, 1:].float()  # (n_crystals, n_elements)
    part, whole = (one / one.sum(1, keepdim=True).sqrt() for one in (elements, torch.ones_like(elements)))
    return part - whole


class Cast(torch.autograd.Function):
    """Weights in another dtype by one operation for all of them, and their gradients back by another.

    On a GPU many small casts take longer to start than to run.
    """

    @staticmethod
    def forward(ctx, dtype, *weights):
        """The weights in `dtype`; all are of one other dtype."""
        ctx.dtype = weights[0].dtype
        return _cast(weights, dtype)

    @staticmethod
    def backward(ctx, *grads):
        """Gradients in the dtype of the weights."""
        return None, *_cast(grads, ctx.dtype)


def _cast(tensors: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    found = tuple(torch.empty_like(tensor, dtype=dtype) for tensor in tensors)
    torch._foreach_copy_(found, tensors)
    return found


class CSPLayer(nn.Module):
    """One round of messages. Parameters are those of the published layer."""

    def __init__(self, hidden_dim: int, num_frequencies: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(hidden_dim)
        self.edge_mlp = nn.Sequential(
            nn.Linear(2 * hidden_dim + 9 + 6 * num_frequencies, hidden_dim),
            nn.SiLU(),
            nn.Linear(hidden_dim, hidden_dim),
        )
        self.node_mlp = nn.Sequential(
            nn.Linear(2 * hidden_dim, hidden_dim), nn.SiLU(), nn.Linear(hidden_dim, hidden_dim), nn.SiLU()
        )
        self.sizes = [hidden_dim, hidden_dim, 9, 3 * num_frequencies, 3 * num_frequencies]

    def forward(self, h: Tensor, gram: Tensor, sine: Tensor, cosine: Tensor, share: Tensor, pairs: PairIndex) -> Tensor:
        """Update of the atom features, (n_crystals, n_atoms, hidden)."""
        x = self.layer_norm(h)
        first, second = (part for part in self.edge_mlp if isinstance(part, nn.Linear))
        parts = first.weight.split(self.sizes, 1)
        alone = parts[-1].sum(1)  # all cosines of an atom with itself are 1
        if x.device.type == "cuda":  # the library's fast products want rows that start at even places
            parts = tuple(part.contiguous() for part in parts)
        weights = [*parts, first.bias, *self.node_mlp.parameters()]
        if sine.dtype != first.weight.dtype:
            weights = Cast.apply(sine.dtype, *weights)
        w_i, w_j, w_gram, w_sine, w_cosine, bias, w_in, b_in, w_out, b_out = weights
        of_crystal = linear(gram, w_gram, bias)  # (n_crystals, hidden)
        receiver = linear(x, w_i)  # (n_crystals, n_atoms, hidden)
        mean = edge_mean(
            receiver + of_crystal[:, None].to(receiver.dtype),
            linear(x, w_j),
            linear(cosine, w_cosine),
            linear(sine, w_sine),
            alone,
            second.weight,
            second.bias,
            share,
            pairs,
        )  # (n_crystals, n_atoms, hidden)
        inner = silu(linear(torch.cat([x.to(mean.dtype), mean], -1), w_in, b_in))  # (n_crystals, n_atoms, hidden)
        return h + silu(linear(inner, w_out, b_out)).to(h.dtype)


class CSPNet(nn.Module):
    """The denoiser of the joint diffusion.

    Args:
        settings: sizes; (512, 6, 128, 256) is the paper's network of 12,346,468 parameters.
    """

    def __init__(self, settings: Network) -> None:
        super().__init__()
        hidden = settings.hidden_dim
        self.settings = settings
        self.node_embedding = nn.Linear(NUM_SPECIES, hidden)
        self.atom_latent_emb = nn.Linear(hidden + settings.time_dim, hidden)
        self.csp_layers = nn.ModuleList(CSPLayer(hidden, settings.num_frequencies) for _ in range(settings.num_layers))
        self.final_layer_norm = nn.LayerNorm(hidden)
        self.coord_out = nn.Linear(hidden, 3, bias=False)
        self.lattice_out = nn.Linear(hidden, 9, bias=False)
        self.type_out = nn.Linear(hidden, NUM_SPECIES)
        if settings.allowed_input:
            self.allowed_embedding = nn.Linear(NUM_SPECIES - 1, hidden, bias=False)
            nn.init.zeros_(self.allowed_embedding.weight)  # the network is at first that without the input
        self._pairs: dict[tuple[int, str], PairIndex] = {}

    def pairs(self, num_atoms: int, device: torch.device) -> PairIndex:
        """The index of pairs, made once per size and device."""
        key = (num_atoms, str(device))
        if key not in self._pairs:
            self._pairs[key] = PairIndex(num_atoms, device)
        return self._pairs[key]

    def embed(self, species: Tensor, times: Tensor, allowed: Tensor | None = None) -> Tensor:
        """First features of the atoms, (n_crystals, n_atoms, hidden)."""
        hidden = self.settings.hidden_dim
        # One-hot times matrix is a row of it; the table of all classes is projected once, the time once per crystal.
        table = self.node_embedding.weight.t() + self.node_embedding.bias  # (n_species, hidden)
        w_atom, w_time = self.atom_latent_emb.weight.split([hidden, self.settings.time_dim], 1)
        of_time = linear(time_embedding(times, self.settings.time_dim).to(w_time), w_time, self.atom_latent_emb.bias)
        if allowed is not None:
            of_time = of_time + self.allowed_embedding(limits(allowed).to(w_time))  # (n_crystals, hidden)
        # embedding, not indexing: the backward of indexing adds in the order that threads happen to come.
        return embedding(species, linear(table, w_atom)) + of_time[:, None]

    def forward(
        self,
        lattice: Tensor,
        frac_coords: Tensor,
        species: Tensor,
        times: Tensor,
        is_atom: Tensor | None = None,
        allowed: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict all three parts.

        Args:
            lattice: L_t, (n_crystals, 3, 3), Å, rows are vectors.
            frac_coords: F_t, (n_crystals, n_atoms, 3), cells.
            species: A_t, (n_crystals, n_atoms), 0 = mirage.
            times: t ∈ 1 … T, (n_crystals,).
            is_atom: (n_crystals, n_atoms); False for the padding of ragged batches. Mirage atoms are atoms here.
            allowed: (n_crystals, n_species), true for elements that may occur; None: any. Only with `allowed_input`.

        Returns:
            Lattice noise ε (n_crystals, 3, 3) in Å; score/√λ (n_crystals, n_atoms, 3), positive towards higher
            density; logits of the clean species (n_crystals, n_atoms, n_species). All in the parameters' dtype.
        """
        pairs = self.pairs(species.shape[1], species.device)
        with torch.autocast(lattice.device.type, enabled=False):
            gram = (lattice @ lattice.transpose(1, 2)).flatten(1) * self.settings.gram_scale  # (n_crystals, 9)
            # What all layers add to stays in full precision: rounded after each, it would be half of the whole error.
            h = self.embed(species, times, allowed)  # (n_crystals, n_atoms, hidden)
        device, dtype = lattice.device.type, lattice.dtype
        low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else dtype
        gram = gram.to(low)
        sine, cosine = fourier_features(frac_coords, self.settings.num_frequencies, pairs, low)
        share = torch.ones_like(species, dtype=dtype) if is_atom is None else is_atom.to(dtype)
        share = share / share.sum(1, keepdim=True)  # (n_crystals, n_atoms)
        for layer in self.csp_layers:
            h = layer(h, gram, sine, cosine, share, pairs)
        # The heads stay in full precision: their outputs are differences of large numbers.
        with torch.autocast(lattice.device.type, enabled=False):
            h = self.final_layer_norm(h.to(self.type_out.weight.dtype))
            mean = h.mean(1) if is_atom is None else (h * share[..., None]).sum(1)  # (n_crystals, hidden)
            noise = linear(mean, self.lattice_out.weight).view(-1, 3, 3) @ lattice  # (n_crystals, 3, 3)
            return noise, self.coord_out(h), self.type_out(h)
