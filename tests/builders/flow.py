"""A toy process for the seam: crystals flow along straight lines from noise, species are guessed at the end."""

import torch
from torch.nn.functional import cross_entropy

from miad.model.process import State


class Flow:
    """Flow matching of lattices and coordinates (Lipman et al., arXiv:2210.02747), as short as can be."""

    weighted = ("velocity", "stretch", "kinds")
    loss_names = weighted

    def __init__(self, settings, variant, device="cpu", center_scores=False, cross_entropy=0.0):
        self.num_timesteps = settings.num_timesteps

    def factors(self, weights):
        return weights

    def losses(self, network, batch, noise, is_stratified):
        clean, num_atoms = batch[noise.part], batch.species.shape[1]
        times = (noise.uniform() * self.num_timesteps).long() + 1  # (n_crystals,)
        share = (times / self.num_timesteps)[:, None, None]  # (n_crystals, 1, 1) of noise
        start = self.prior(noise, num_atoms)
        gap = clean.frac_coords - start.frac_coords
        gap = gap - gap.round()
        between = (start.frac_coords + (1 - share) * gap) % 1
        lattice = share * start.lattice + (1 - share) * clean.lattice
        stretch, velocity, logits = network(lattice, between, start.species, times, None)
        num = len(batch)
        return {
            "velocity": (velocity - gap).square().mean((1, 2)).sum() / num,
            "stretch": (stretch - (clean.lattice - start.lattice)).square().mean((1, 2)).sum() / num,
            "kinds": cross_entropy(logits.transpose(1, 2), clean.species, reduction="none").mean(1).sum() / num,
        }

    def prior(self, noise, num_atoms, is_atom=None):
        return State(noise.normal(3, 3), noise.uniform(num_atoms, 3), noise.classes(num_atoms), is_atom)

    def correct(self, network, state, time, scale, noise):
        return state

    def step(self, network, state, time, next_time, noise, denoise_last=False, max_length=None):
        times = torch.full((len(state),), time)
        stretch, velocity, logits = network(state.lattice, state.frac_coords, state.species, times, state.is_atom)
        part = (time - next_time) / self.num_timesteps
        species = logits[..., 1:].argmax(-1) + 1 if next_time == 0 else state.species
        return State(state.lattice + part * stretch, (state.frac_coords + part * velocity) % 1, species, state.is_atom)
