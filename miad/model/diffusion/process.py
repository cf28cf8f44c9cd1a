"""The joint process: the three diffusions side by side, tied together by one network."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from miad.config.sections import Diffusion, Mirage
from miad.core.crystal import MIRAGE, NUM_SPECIES
from miad.model.diffusion import coords, lattice, mirage, schedules, species


@dataclass(frozen=True)
class State:
    """A batch of crystals, clean or noisy.

    Attributes:
        lattice: (n_crystals, 3, 3) Å, rows are vectors.
        frac_coords: (n_crystals, n_atoms, 3) in [0, 1).
        species: (n_crystals, n_atoms), 0 = mirage.
        is_atom: (n_crystals, n_atoms), False for padding; None when there is none, as with mirage infusion.
    """

    lattice: Tensor
    frac_coords: Tensor
    species: Tensor
    is_atom: Tensor | None = None

    def __getitem__(self, part: Tensor | slice) -> "State":
        """Some of the crystals."""
        is_atom = None if self.is_atom is None else self.is_atom[part]
        return State(self.lattice[part], self.frac_coords[part], self.species[part], is_atom)


class Noise:
    """Random numbers for a batch whose crystals are drawn in blocks, each block from its own generator.

    So a crystal depends on its block alone: not on the size of the batch, the order of shards or the number of GPUs.

    Args:
        generators: one per block, on the device of the batch.
        sizes: crystals of each block.
        part: which crystals of the batch this process works on (all, unless several GPUs share a batch).
    """

    def __init__(self, generators: list[torch.Generator], sizes: list[int], part: slice = slice(None)) -> None:
        self.blocks = list(zip(generators, sizes, strict=True))
        self.part = part

    def _draw(self, draw, *shape: int, **more) -> Tensor:
        return torch.cat([draw((n, *shape), generator=g, device=g.device, **more) for g, n in self.blocks])[self.part]

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, (n_crystals, *shape)."""
        return self._draw(torch.randn, *shape)

    def uniform(self, *shape: int) -> Tensor:
        """U(0, 1) numbers, (n_crystals, *shape)."""
        return self._draw(torch.rand, *shape)

    def classes(self, *shape: int) -> Tensor:
        """Uniform classes 0 … K − 1, (n_crystals, *shape)."""
        return self._draw(lambda size, **more: torch.randint(NUM_SPECIES, size, **more), *shape)


@dataclass(frozen=True)
class Counts:
    """What the losses of a batch are divided by; of the whole batch when several GPUs share it.

    Scalars that stay on the device: a number on the host would make every step wait for the GPU.
    """

    crystals: int
    atoms: int | Tensor
    scored_atoms: Tensor


class JointDiffusion:
    """Forward noising, losses and reverse steps; index t = 0 … T into every schedule.

    Args:
        settings: the schedules.
        variant: the mirage infusion; `num_atoms: None` is the DiffCSP baseline.
        device: where the tensors live.
        center_scores: take the rigid shift out of the coordinate target.
        cross_entropy: weight of the auxiliary loss of the species; the paper has none.
    """

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
        sigma = schedules.coords_sigma(settings)
        # λ_0 is never used; one keeps the index.
        norm = torch.cat([torch.ones(1, dtype=torch.float64), coords.score_norm(sigma[1:])])
        self.lattice_alpha_bar = schedules.lattice_alpha_bar(settings).float().to(device)  # (T + 1,)
        self.species_alpha_bar = schedules.species_alpha_bar(settings).float().to(device)  # (T + 1,)
        self.sigma = sigma.float().to(device)  # (T + 1,)
        self.root_norm = norm.sqrt().float().to(device)  # (T + 1,) 1/cells

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
        return State(clean.lattice, placed, clean.species, clean.is_atom)

    def scored(self, clean: State) -> Tensor:
        """Which atoms the coordinate loss counts, (n_crystals, n_atoms), 1 or 0."""
        if clean.is_atom is not None:
            return clean.is_atom.float()
        if self.variant.num_atoms is not None and self.variant.mask_loss:
            return (clean.species != MIRAGE).float()
        return torch.ones_like(clean.species, dtype=torch.float32)

    def counts(self, clean: State) -> Counts:
        """The denominators of the losses of this batch."""
        atoms = clean.species.numel() if clean.is_atom is None else clean.is_atom.sum()
        return Counts(len(clean.lattice), atoms, self.scored(clean).sum().clamp(min=1))

    def losses(
        self, network: nn.Module, clean: State, times: Tensor, noise: Noise, counts: Counts
    ) -> dict[str, Tensor]:
        """The three losses of a batch, protocol section 3.

        Args:
            network: CSPNet.
            clean: infused crystals.
            times: (n_crystals,).
            noise: random numbers.
            counts: denominators.

        Returns:
            Scalars under `lattice`, `coords`, `species`.
        """
        num_atoms = clean.species.shape[1]
        epsilon = noise.normal(3, 3)  # (n_crystals, 3, 3)
        sigma = self.sigma[times][:, None, None]  # (n_crystals, 1, 1)
        moves = noise.normal(num_atoms, 3)  # (n_crystals, n_atoms, 3)
        keep = self.species_alpha_bar[times][:, None]  # (n_crystals, 1)
        noisy = State(
            lattice.add_noise(clean.lattice, self.lattice_alpha_bar[times], epsilon),
            coords.add_noise(clean.frac_coords, sigma, moves),
            species.add_noise(clean.species, keep, noise.uniform(num_atoms), noise.classes(num_atoms)),
            clean.is_atom,
        )
        target = coords.wrapped_normal_score(sigma * moves, sigma)  # (n_crystals, n_atoms, 3)
        weights = self.scored(clean)  # (n_crystals, n_atoms)
        if self.center_scores:
            target = coords.centre(target, weights)
        predicted, score, logits = network(noisy.lattice, noisy.frac_coords, noisy.species, times, noisy.is_atom)
        squares = coords.loss(score, target / self.root_norm[times][:, None, None])  # (n_crystals, n_atoms)
        divergence = species.loss(
            logits, noisy.species, clean.species, keep[..., None], self.species_alpha_bar[times - 1][:, None, None]
        )  # (n_crystals, n_atoms)
        if self.cross_entropy:
            divergence = divergence + self.cross_entropy * species.cross_entropy(logits, clean.species)
        if clean.is_atom is not None:
            divergence = divergence * clean.is_atom
        return {
            "lattice": lattice.loss(predicted, epsilon).sum() / counts.crystals,
            "coords": (squares * weights).sum() / counts.scored_atoms,
            "species": divergence.sum() / counts.atoms,
        }

    def prior(self, noise: Noise, num_atoms: int, is_atom: Tensor | None = None) -> State:
        """Crystals at t = T: normal lattice, uniform coordinates, uniform species."""
        return State(noise.normal(3, 3), noise.uniform(num_atoms, 3), noise.classes(num_atoms), is_atom)

    def predict(self, network: nn.Module, state: State, time: int) -> tuple[Tensor, Tensor, Tensor]:
        """Lattice noise, coordinate score in 1/cells, and logits of the clean species at one time."""
        times = torch.full((len(state.lattice),), time, device=state.lattice.device)
        epsilon, score, logits = network(state.lattice, state.frac_coords, state.species, times, state.is_atom)
        score = score * self.root_norm[time]
        if self.center_scores:
            # The rigid shift was not learnt; what the network says of it is noise.
            score = coords.centre(score, torch.ones_like(state.species) if state.is_atom is None else state.is_atom)
        return epsilon, score, logits

    def correct(self, network: nn.Module, state: State, time: int, scale: float, noise: Noise) -> State:
        """Langevin corrector of the coordinates, δ = γ(σ_t/σ_1)²; `scale` is γ, in cells²."""
        _, score, _ = self.predict(network, state, time)
        step = scale * (self.sigma[time] / self.sigma[1]) ** 2
        moved = coords.correct(state.frac_coords, score, step, noise.normal(state.species.shape[1], 3))
        return State(state.lattice, moved, state.species, state.is_atom)

    def step(
        self,
        network: nn.Module,
        state: State,
        time: int,
        next_time: int,
        noise: Noise,
        denoise_last: bool = False,
        max_length: float | None = None,
    ) -> State:
        """One reverse step of all three parts from t to an earlier time.

        Args:
            network: CSPNet.
            state: crystals at `time`.
            time, next_time: T ≥ time > next_time ≥ 0.
            noise: random numbers.
            denoise_last: whether the last step moves the coordinates to their noise-free estimate. The paper's
                sampler leaves them where they are at t = 1.
            max_length: limit of the lattice vectors that the network may aim at, Å; None: no limit, as in the paper.
        """
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
        kinds = (
            species.settle(state.species, logits, now)
            if is_last
            else species.denoise(state.species, logits, now, later, uniform)
        )
        return State(cell, places, kinds, state.is_atom)
