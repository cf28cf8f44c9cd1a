"""Other ways to draw species under conditions, for `benchmarks/constraints.py`: the noise, and what networks are told.

The network has learnt noise of all classes. The package keeps that noise, tells a network of `network.allowed_input`
which elements may occur, and restricts what it predicts. Noise of the allowed classes alone tells the network, too,
which elements there are, but by states that it has not learnt: it takes an allowed class at a place for less noise than
it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal
from unittest import mock

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from miad.model.diffusion import restricted
from miad.model.diffusion.process import JointDiffusion
from miad.model.process import Predict, Restriction, State
from miad.model.register import PROCESSES


@dataclass(frozen=True)
class Variant:
    """One way to draw species under conditions; the defaults are the package's.

    Attributes:
        noise: classes of the noise: all of them evenly; the allowed ones evenly; or those of the training, which are
            the allowed elements by their numbers of atoms in the training set, and the mirage class with 1/K.
        since: ᾱ from which on the noise is restricted; before, it is that of all classes.
        is_told: whether a network that takes the allowed elements is told them; if not, all are allowed to it.
    """

    noise: Literal["all", "allowed", "training"] = "all"
    since: float = 0.0
    is_told: bool = True

    def classes(self, allowed: Tensor, alpha_bar: Tensor, counts: Tensor) -> Tensor:
        """Distribution of the noise at a time, (n_crystals, n_atoms, K), where the training set has `counts`, (K,)."""
        num = allowed.shape[-1]
        if self.noise == "all" or alpha_bar < self.since:
            return torch.full(allowed.shape, 1 / num)
        if self.noise == "allowed":
            return allowed / allowed.sum(-1, keepdim=True)
        elements = allowed[..., 1:] * (counts[1:] + 1e-6)  # (n_crystals, n_atoms, K − 1)
        mirage = allowed[..., :1] / num  # (n_crystals, n_atoms, 1)
        elements = (1 - mirage) * elements / elements.sum(-1, keepdim=True).clamp(min=1e-30)
        both = torch.cat([mirage, elements], -1)  # (n_crystals, n_atoms, K)
        return both / both.sum(-1, keepdim=True)

    def denoise(self, counts: Tensor) -> Callable[..., Tensor]:
        """A function to stand in for `restricted.denoise`, as if the noise had been that of its time all along."""

        def draw(kinds: Tensor, logits: Tensor, now: Tensor, later: Tensor, draws: Tensor, only: Restriction) -> Tensor:
            num = logits.shape[-1]
            at = one_hot(kinds, num).to(logits.dtype)  # (n_crystals, n_atoms, K)
            noise, noise_later = (self.classes(only.allowed, alpha_bar, counts) for alpha_bar in (now, later))
            of_kind = noise.gather(-1, kinds[..., None]).clamp(min=1e-9)  # (n_crystals, n_atoms, 1)
            scores = restricted.restrict(logits, only.allowed) + (now * at + (1 - now) * of_kind).log()
            if later == 1:
                return restricted.assign(scores, only.slots)
            gumbel = -torch.log(-torch.log(draws[..., 1:].clamp(min=1e-30)))
            clean = one_hot(restricted.assign(scores + gumbel, only.slots), num).to(logits.dtype)
            keep = now / later
            weights = (keep * at + (1 - keep) * of_kind) * (later * clean + (1 - later) * noise_later)
            cumulative = weights.cumsum(-1)  # (n_crystals, n_atoms, K)
            drawn = (cumulative <= draws[..., :1] * cumulative[..., -1:]).sum(-1)  # (n_crystals, n_atoms)
            return drawn.clamp(max=num - 1)

        return draw


class Untold(JointDiffusion):
    """The process whose network is told nothing of the allowed elements, which is the same as that all are allowed."""

    @staticmethod
    def call(network: Predict, state: State, times: Tensor) -> tuple[Tensor, ...]:
        """See `JointDiffusion.call`."""
        return JointDiffusion.call(network, replace(state, allowed=None), times)


@contextmanager
def drawn_as(variant: Variant, counts: Tensor) -> Iterator[None]:
    """Samples are drawn as the variant says; `counts`, (K,), are the atoms of each class in the training set."""
    processes = {} if variant.is_told else {"joint_diffusion": Untold}
    draw = restricted.denoise if variant.noise == "all" else variant.denoise(counts)
    with mock.patch.object(restricted, "denoise", draw), mock.patch.dict(PROCESSES, processes):
        yield


VARIANTS: dict[str, Variant] = {
    "as the package does": Variant(),
    "without the input": Variant(is_told=False),
    "noise allowed": Variant(noise="allowed"),
    "noise as schedule": Variant(noise="allowed", since=0.3),
    "noise of training": Variant(noise="training"),
}
