"""The joint diffusion: the three diffusions side by side, tied together by one network.

Source: MiAD, arXiv:2511.14426, section 2 and appendix A.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from miad.config.sections import Diffusion, Mirage
from miad.core.crystal import MIRAGE, NUM_SPECIES
from miad.model.diffusion import coords, lattice, mirage, prediction, restricted, schedules, species
from miad.model.process import Noise, Predict, Restriction, State


@dataclass(frozen=True)
class Counts:
    """Denominators of the losses of a batch, the whole one when several GPUs share it.

    Scalars that stay on the device: a number on the host would make every step wait for the GPU.
    """

    crystals: int
    atoms: int | Tensor
    scored_atoms: Tensor


class JointDiffusion:
    """A `miad.model.process.Process`: noising, losses and reverse steps; index t = 0 … T into every schedule.

    Args:
        settings: the schedules.
        variant: the mirage infusion; `num_atoms: None` is the DiffCSP baseline.
        device: of the tensors.
        center_scores: take the rigid shift out of the coordinate target.
        cross_entropy: weight of the auxiliary loss of the species; the paper has none.
    """

    weighted = ("lattice", "coords", "species")  # the paper's losses, with κ1, κ2 and κ3

    def __init__(
        self,
        settings: Diffusion,
        variant: Mirage,
        device: torch.device | str = "cpu",
        center_scores: bool = False,
        cross_entropy: float = 0.0,
    ) -> None:
        self.num_timesteps, self.variant, self.center_scores = settings.num_timesteps, variant, center_scores
        self.cross_entropy = cross_entropy
        self.loss_names: tuple[str, ...] = (*self.weighted, *(["cross_entropy"] if cross_entropy else []))
        sigma = schedules.coords_sigma(settings)
        # λ_0 is never used; one keeps the index.
        norm = torch.cat([torch.ones(1, dtype=torch.float64), coords.score_norm(sigma[1:])])
        self.lattice_alpha_bar = schedules.lattice_alpha_bar(settings).float().to(device)  # (T + 1,)
        self.species_alpha_bar = schedules.species_alpha_bar(settings).float().to(device)  # (T + 1,)
        self.sigma = sigma.float().to(device)  # (T + 1,)
        self.root_norm = norm.sqrt().float().to(device)  # (T + 1,) 1/cells

    def factors(self, weights: dict[str, float]) -> dict[str, float]:
        """κ1, κ2, κ3, and κ3 times the weight of the auxiliary loss."""
        return {**weights, "cross_entropy": weights["species"] * self.cross_entropy}

    def times(self, noise: Noise, stratified: bool, num_crystals: int) -> Tensor:
        """Uniform times 1 … T of a batch; stratified: one from each of n_crystals equal slices of the range.

        A batch is shuffled, so that strata in order are still uniform for each crystal.
        """
        uniform = noise.uniform()  # (n_crystals,)
        if stratified:
            strata = torch.arange(num_crystals, device=uniform.device)[noise.part]  # (n_crystals,)
            uniform = (strata + uniform) / num_crystals
        return (uniform * self.num_timesteps).long().clamp(max=self.num_timesteps - 1) + 1

    def infuse(self, clean: State, noise: Noise) -> State:
        """Draw the coordinates of the mirage atoms anew."""
        if self.variant.num_atoms is None:
            return clean
        uniform = noise.uniform(clean.species.shape[1], 3)  # (n_crystals, n_atoms, 3)
        placed = mirage.infuse(clean.frac_coords, clean.species, uniform, self.variant.coordinates)
        return replace(clean, frac_coords=placed)

    def scored(self, clean: State) -> Tensor:
        """1 for the atoms that the coordinate loss counts, else 0, (n_crystals, n_atoms)."""
        if clean.is_atom is not None:
            return clean.is_atom.float()
        if self.variant.num_atoms is not None and self.variant.mask_loss:
            return (clean.species != MIRAGE).float()
        return torch.ones_like(clean.species, dtype=torch.float32)

    def counts(self, clean: State) -> Counts:
        """The denominators of the losses of this batch."""
        atoms = clean.species.numel() if clean.is_atom is None else clean.is_atom.sum()
        return Counts(len(clean.lattice), atoms, self.scored(clean).sum().clamp(min=1))

    def losses(self, network: Predict, batch: State, noise: Noise, is_stratified: bool) -> dict[str, Tensor]:
        """Losses of this process's share of a batch, at random times; see `losses_at`."""
        clean = self.infuse(batch[noise.part], noise)
        return self.losses_at(network, clean, self.times(noise, is_stratified, len(batch)), noise, self.counts(batch))

    def losses_at(
        self, network: Predict, clean: State, times: Tensor, noise: Noise, counts: Counts
    ) -> dict[str, Tensor]:
        """The losses of infused crystals at their times, (n_crystals,), as sums over `counts`.

        Scalars under `lattice`, `coords`, `species` and, if it has a weight, `cross_entropy` in nats.
        """
        epsilon, moves, noisy = self.add_noise(clean, times, noise)
        sigma = self.sigma[times][:, None, None]  # (n_crystals, 1, 1)
        target = coords.wrapped_normal_score(sigma * moves, sigma)  # (n_crystals, n_atoms, 3)
        weights = self.scored(clean)  # (n_crystals, n_atoms)
        if self.center_scores:
            target = coords.centre(target, weights)
        predicted, score, logits = self.call(network, noisy, times)
        squares = coords.loss(score, target / self.root_norm[times][:, None, None])  # (n_crystals, n_atoms)
        now, before = (self.species_alpha_bar[t][:, None, None] for t in (times, times - 1))  # (n_crystals, 1, 1)
        of_atoms = {"species": species.loss(logits, noisy.species, clean.species, now, before)}
        if self.cross_entropy:
            of_atoms["cross_entropy"] = species.cross_entropy(logits, noisy.species, clean.species, now)
        if clean.is_atom is not None:
            of_atoms = {name: loss * clean.is_atom for name, loss in of_atoms.items()}  # (n_crystals, n_atoms)
        return {
            "lattice": lattice.loss(predicted, epsilon).sum() / counts.crystals,
            "coords": (squares * weights).sum() / counts.scored_atoms,
            **{name: loss.sum() / counts.atoms for name, loss in of_atoms.items()},
        }

    def add_noise(self, clean: State, times: Tensor, noise: Noise) -> tuple[Tensor, Tensor, State]:
        """Crystals at their times, (n_crystals,), behind the normal numbers ε (n_crystals, 3, 3) and
        z (n_crystals, n_atoms, 3) that their lattices and coordinates were moved by."""
        num_atoms = clean.species.shape[1]
        epsilon = noise.normal(3, 3)
        sigma = self.sigma[times][:, None, None]  # (n_crystals, 1, 1)
        moves = noise.normal(num_atoms, 3)
        keep = self.species_alpha_bar[times][:, None]  # (n_crystals, 1)
        noisy = replace(
            clean,
            lattice=lattice.add_noise(clean.lattice, self.lattice_alpha_bar[times], epsilon),
            frac_coords=coords.add_noise(clean.frac_coords, sigma, moves),
            species=species.add_noise(clean.species, keep, noise.uniform(num_atoms), noise.classes(num_atoms)),
        )
        return epsilon, moves, noisy

    def prior(self, noise: Noise, num_atoms: int, is_atom: Tensor | None = None) -> State:
        """Crystals at t = T: normal lattice, uniform coordinates, uniform species."""
        return State(noise.normal(3, 3), noise.uniform(num_atoms, 3), noise.classes(num_atoms), is_atom)

    @staticmethod
    def call(network: Predict, state: State, times: Tensor) -> tuple[Tensor, ...]:
        """What the network says of crystals at their times, (n_crystals,)."""
        told = () if state.allowed is None else (state.allowed,)
        return network(state.lattice, state.frac_coords, state.species, times, state.is_atom, *told)

    def predict(self, network: Predict, state: State, time: int) -> tuple[Tensor, Tensor, Tensor]:
        """Lattice noise, coordinate score in 1/cells, and logits of the clean species at one time."""
        times = torch.full((len(state.lattice),), time, device=state.lattice.device)
        epsilon, score, logits = self.call(network, state, times)
        score = score * self.root_norm[time]
        if self.center_scores:
            # The rigid shift was not learnt; what the network says of it is noise.
            score = coords.centre(score, torch.ones_like(state.species) if state.is_atom is None else state.is_atom)
        return epsilon, score, logits

    def correct(self, network: Predict, state: State, time: int, scale: float, noise: Noise) -> State:
        """Langevin corrector of the coordinates, δ = γ(σ_t/σ_1)²; `scale` is γ, in cells²."""
        _, score, _ = self.predict(network, state, time)
        step = scale * (self.sigma[time] / self.sigma[1]) ** 2
        moved = coords.correct(state.frac_coords, score, step, noise.normal(state.species.shape[1], 3))
        return replace(state, frac_coords=moved)

    def step(
        self,
        network: Predict,
        state: State,
        time: int,
        next_time: int,
        noise: Noise,
        denoise_last: bool = False,
        max_length: float | None = None,
        restriction: Restriction | None = None,
    ) -> State:
        """One reverse step of all three parts; see `Process.step`.

        The paper's sampler leaves the coordinates where they are at t = 1 and has no limit of the lattice.
        """
        if restriction is not None and restriction.species is not None:
            state = replace(state, species=restriction.species)
            network = self._guided(network, time, restriction)
        epsilon, score, logits = self.predict(network, state, time)
        num_atoms, is_last = state.species.shape[1], next_time == 0
        if max_length is not None:
            epsilon = lattice.limit(state.lattice, epsilon, self.lattice_alpha_bar[time], max_length)
        cell = lattice.denoise(
            state.lattice, epsilon, self.lattice_alpha_bar[time], self.lattice_alpha_bar[next_time], noise.normal(3, 3)
        )
        places, draw = state.frac_coords, noise.normal(num_atoms, 3)
        if not is_last or denoise_last:
            places = coords.denoise(places, score, self.sigma[time], self.sigma[next_time], draw)
        now, later = self.species_alpha_bar[time], self.species_alpha_bar[next_time]
        uniform = noise.uniform(num_atoms)
        if restriction is not None:
            kinds = restriction.species
            if kinds is None:
                draws = noise.uniform(num_atoms, NUM_SPECIES + 1)
                kinds = restricted.denoise(state.species, logits, now, later, draws, restriction)
            moved = replace(state, lattice=cell, frac_coords=places, species=kinds)
            return self._kept(moved, next_time, noise, restriction)
        if is_last:
            kinds = species.settle(state.species, logits, now)
        else:
            kinds = species.denoise(state.species, logits, now, later, uniform)
        return replace(state, lattice=cell, frac_coords=places, species=kinds)

    def _guided(self, network: Predict, time: int, restriction: Restriction) -> Predict:
        """The network, with the pull of known species at one time in the units of its predictions."""
        known, weight = restriction.species, restriction.guidance
        if known is None or not weight:
            return network
        of_cell = weight * (1 - self.lattice_alpha_bar[time]).sqrt()  # Å, as −ε is √(1 − ᾱ) times the score
        of_places = weight / self.root_norm[time]
        return prediction.guided(network, known, of_cell, of_places, self.sigma[time])

    def _kept(self, state: State, time: int, noise: Noise, restriction: Restriction) -> State:
        """Crystals at one time whose known part is put back, noised anew to that time; at 0 it is exact."""
        known, is_known = restriction.known, restriction.is_known
        if known is None or is_known is None:
            return state
        times = torch.full((len(state),), time, device=state.lattice.device)
        _, _, noisy = self.add_noise(known, times, noise)
        species = torch.where(is_known, noisy.species, state.species)  # (n_crystals, n_atoms)
        return replace(
            state,
            lattice=noisy.lattice if restriction.keep_cell else state.lattice,
            frac_coords=torch.where(is_known[..., None], noisy.frac_coords, state.frac_coords),
            species=species if restriction.species is None else restriction.species,
        )
