"""A generative process as training and sampling know it, and what they hand to it: batches of crystals and noise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from miad.core.crystal import NUM_SPECIES, Crystal
from miad.model.diffusion import mirage


@dataclass(frozen=True)
class State:
    """A batch of crystals, clean or noisy.

    Attributes:
        lattice: (n_crystals, 3, 3) Å, rows are vectors.
        frac_coords: (n_crystals, n_atoms, 3) in [0, 1).
        species: (n_crystals, n_atoms), 0 = mirage.
        is_atom: (n_crystals, n_atoms), False for padding; None when there is none, as with mirage infusion.
        allowed: (n_crystals, n_species), the elements that may occur, told to the network; None: it is told nothing.
    """

    lattice: Tensor
    frac_coords: Tensor
    species: Tensor
    is_atom: Tensor | None = None
    allowed: Tensor | None = None

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.lattice)

    def __getitem__(self, part: Tensor | slice) -> "State":
        """Some of the crystals."""
        is_atom, allowed = (None if more is None else more[part] for more in (self.is_atom, self.allowed))
        return State(self.lattice[part], self.frac_coords[part], self.species[part], is_atom, allowed)

    @property
    def real_species(self) -> Tensor:
        """Species, (n_crystals, n_atoms), 0 for mirage atoms and for padding."""
        return self.species if self.is_atom is None else self.species * self.is_atom

    def crystals(self, names: list[str]) -> list[Crystal]:
        """The real atoms of every crystal, under these ids; failed samples keep their line and a reason."""
        parts = (part.cpu().numpy() for part in (self.lattice, self.frac_coords, self.real_species))
        return [mirage.reduce(*row) for row in zip(names, *parts, strict=True)]


@dataclass(frozen=True)
class Restriction:
    """Conditions on each crystal of a batch.

    Attributes:
        allowed: (n_crystals, n_atoms, n_species), true for the classes that the atom at a place may have.
        slots: (n_crystals, n_atoms, n_species): every atom fills one slot, in any order, and has one of its classes.
        known: crystals of which a part is kept; None: all is generated.
        is_known: (n_crystals, n_atoms), true where species and place are kept.
        keep_cell: whether the lattice is kept.
        species: (n_crystals, n_atoms), what the atoms are where the composition decides it; None: it is generated.
        guidance: weight of their pull on coordinates and lattice; 0: none.
    """

    allowed: Tensor
    slots: Tensor
    known: State | None = None
    is_known: Tensor | None = None
    keep_cell: bool = False
    species: Tensor | None = None
    guidance: float = 0.0


class Noise:
    """Random numbers for a batch whose crystals are drawn in blocks, each block from its own generator.

    So a crystal depends on its block alone: not on the size of the batch, the order of shards or the number of GPUs.

    Args:
        generators: one per block, on the device of the batch.
        sizes: crystals of each block.
        part: the crystals of the batch that this process works on (all, unless several GPUs share a batch).
    """

    def __init__(self, generators: list[torch.Generator], sizes: list[int], part: slice = slice(None)) -> None:
        self.blocks = list(zip(generators, sizes, strict=True))
        self.part = part

    def _draw(self, draw: Callable[..., Tensor], *shape: int) -> Tensor:
        return torch.cat([draw((n, *shape), generator=g, device=g.device) for g, n in self.blocks])[self.part]

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, (n_crystals, *shape)."""
        return self._draw(torch.randn, *shape)

    def uniform(self, *shape: int) -> Tensor:
        """U(0, 1) numbers, (n_crystals, *shape)."""
        return self._draw(torch.rand, *shape)

    def classes(self, *shape: int) -> Tensor:
        """Uniform species 0 … 99, (n_crystals, *shape)."""
        return self._draw(lambda size, **more: torch.randint(NUM_SPECIES, size, **more), *shape)


class Predict(Protocol):
    """A network as processes call it: `miad.model.network.CSPNet`, or the same recorded for a GPU."""

    def __call__(
        self,
        lattice: Tensor,
        frac_coords: Tensor,
        species: Tensor,
        times: Tensor,
        is_atom: Tensor | None = None,
        allowed: Tensor | None = None,
        /,
    ) -> tuple[Tensor, ...]:
        """Predictions of the lattice (n_crystals, 3, 3), the coordinates (n_crystals, n_atoms, 3) and the species
        (n_crystals, n_atoms, n_species) of noisy crystals at their times, (n_crystals,).

        The last argument is given only to networks of `network.allowed_input`.
        """
        ...


class Process(Protocol):
    """A way from noise to crystals that can be learnt. Times run from T = `diffusion.num_timesteps` (noise) to 0.

    One that is registered in `miad.model.register` is made with the settings of the schedules and of the mirage
    infusion, the device of its tensors and, in training, `center_scores` and `cross_entropy` of the recipe.

    It hands `State.allowed` to the network, if there is one: of a process that does not, networks of `allowed_input`
    learn nothing of limits.

    Attributes:
        weighted: the losses that have a weight in train.loss_weights.
        loss_names: these and auxiliary ones, as `losses` gives them; each is a column of the loss curve.
    """

    weighted: tuple[str, ...]
    loss_names: tuple[str, ...]

    def factors(self, weights: dict[str, float]) -> dict[str, float]:
        """Factor of each loss in the total, from train.loss_weights."""
        ...

    def losses(self, network: Predict, batch: State, noise: Noise, is_stratified: bool) -> dict[str, Tensor]:
        """Losses of this process's share of a batch, a scalar for each of `loss_names`; all shares add up.

        Args:
            batch: clean crystals, all of the batch.
            noise: random numbers; its `part` is the share.
            is_stratified: whether the times are spread evenly over a batch.
        """
        ...

    def prior(self, noise: Noise, num_atoms: int, is_atom: Tensor | None = None) -> State:
        """Crystals at time T, of `num_atoms` places each."""
        ...

    def correct(self, network: Predict, state: State, time: int, scale: float, noise: Noise) -> State:
        """Crystals nearer to their distribution at the same time; a process without such a step returns `state`.

        `scale` is sample.corrector_scale.
        """
        ...

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
        """Crystals at an earlier time, T ≥ time > next_time ≥ 0.

        Args:
            denoise_last: whether the last step moves the coordinates to their noise-free estimate.
            max_length: limit of the lattice vectors that the network may aim at, Å; None: no limit.
            restriction: conditions that the crystals at time 0 fulfil; given only if there are any.
        """
        ...
