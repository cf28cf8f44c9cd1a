"""Other ways to draw species under conditions, for `benchmarks/constraints.py`: the noise, and what counts as evidence.

Two facts about the network decide what is worth trying. It has learnt noise of all classes, so that a state of allowed
classes alone tells it which elements there are, and tells it too loudly: an allowed class is noise more often than it
believes. And its logits are, early on, the posterior that has seen the class at the place itself, because the auxiliary
cross entropy has trained them; `species.posterior` takes them for what the other atoms say, and counts it twice.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
        noise: classes of the noise: all, allowed (evenly), or training (allowed, by their counts in the training set).
        mirage: share of the mirage class in noise that is restricted; None: as one of the allowed classes.
        since: ᾱ from which the noise is restricted; 0: from the prior on.
        evidence: p of ᾱ^p, the part of the class at the place that is not in the logits; 0: all of it.
        guidance: weight of ∇ log p₀(allowed) in the coordinate score and the lattice noise.
        boost: c of the odds ᾱ/(1 − ᾱ) of the restricted noise, which then has c/100 of mirage; 0: by `calibration`;
            None: the odds of the training.
        share: of the mirage class: kept, or among what is left when a class that is not allowed is ruled out (others).
    """

    noise: str = "all"
    mirage: float | None = 0.01
    since: float = 0.0
    evidence: float = 0.0
    guidance: float = 0.0
    share: str = "kept"
    boost: float | None = None
    again: int = 0
    back: int = 600

    def classes(self, allowed: Tensor, alpha_bar: Tensor, counts: Tensor, factor: Tensor | float = 1.0) -> Tensor:
        """Distribution of the noise, (n_crystals, n_atoms, K), of which counts, (K,), are the training's."""
        if self.noise == "all" or (self.since and alpha_bar < self.since):
            return torch.full(allowed.shape, 1 / allowed.shape[-1])
        weights = allowed.float() if self.noise == "allowed" else allowed * (counts + 1e-6)
        if self.mirage is None:
            return weights / weights.sum(-1, keepdim=True)
        elements = weights[..., 1:] / weights[..., 1:].sum(-1, keepdim=True).clamp(min=1e-30)
        mirage = (self.mirage * factor if self.boost is not None else self.mirage) * allowed[..., :1]
        both = torch.cat([mirage, (1 - mirage) * elements], -1)
        return both / both.sum(-1, keepdim=True)

    def denoise(self, counts: Tensor) -> Callable[..., Tensor]:
        """A function to stand in for `restricted.denoise`."""

        def draw(kinds: Tensor, logits: Tensor, now: Tensor, later: Tensor, draws: Tensor, only: Restriction) -> Tensor:
            num, learnt_keep = logits.shape[-1], now
            factor = 1.0
            if self.boost is not None:
                factor = calibration(only.allowed, counts) * (self.boost or 1.0)  # (n_crystals, n_atoms, 1)
                now, later = (factor * part / (factor * part + 1 - part) for part in (now, later))
            at = one_hot(kinds, num).to(logits.dtype)  # (n_crystals, n_atoms, K)
            noise, noise_later = (self.classes(only.allowed, alpha_bar, counts, factor) for alpha_bar in (now, later))
            of_kind = noise.gather(-1, kinds[..., None]).clamp(min=1e-9)  # (n_crystals, n_atoms, 1)
            power = learnt_keep**self.evidence if self.evidence else torch.ones(())
            learnt = (learnt_keep * at + (1 - learnt_keep) / num).log() * (1 - power)
            prediction = restrict(logits, only.allowed, kinds, self.share)
            scores = prediction + (now * at + (1 - now) * of_kind).log() - learnt
            if torch.as_tensor(later == 1).all():
                return restricted.assign(scores, only.slots)
            gumbel = -torch.log(-torch.log(draws[..., 1:].clamp(min=1e-30)))
            clean = one_hot(restricted.assign(scores + gumbel, only.slots), num).to(logits.dtype)
            keep = now / later
            weights = (keep * at + (1 - keep) * of_kind) * (later * clean + (1 - later) * noise_later)
            cumulative = weights.cumsum(-1)  # (n_crystals, n_atoms, K)
            drawn = (cumulative <= draws[..., :1] * cumulative[..., -1:]).sum(-1)  # (n_crystals, n_atoms)
            return drawn.clamp(max=num - 1)

        return draw

    def process(self) -> type[JointDiffusion]:
        """The process, which is guided if there is a weight for it."""
        if self.again:
            return type("Again", (_Again,), {"again": self.again, "back": self.back})
        return type("Guided", (_Guided,), {"weight": self.guidance}) if self.guidance else JointDiffusion


def calibration(allowed: Tensor, counts: Tensor) -> Tensor:
    """c such that the network reads restricted noise aright: an allowed class at a place is noise as often as it takes.

    It has learnt odds of ᾱ P(k) K/(1 − ᾱ) for a class k; under noise π and odds c·ᾱ/(1 − ᾱ) they are
    c·ᾱ P'(k)/((1 − ᾱ) π(k)), where P' are the allowed elements' shares. Both are the same for π(k) ∝ P'(k)/P(k).
    Of (n_crystals, n_atoms, 1).
    """
    shares = counts[1:] / counts[1:].sum()
    rarity = (allowed[..., 1:] * shares).sum(-1, keepdim=True).clamp(min=1e-3)  # (n_crystals, n_atoms, 1)
    return counts.shape[-1] / (1 + allowed[..., 1:].sum(-1, keepdim=True) / rarity)


def restrict(logits: Tensor, allowed: Tensor, kinds: Tensor, share: str) -> Tensor:
    """`restricted.restrict`; with `others` the mirage share is what it is when the noise class is ruled out."""
    if share == "others":
        is_noise = ~allowed.gather(-1, kinds[..., None])  # (n_crystals, n_atoms, 1)
        logits = logits.masked_fill(is_noise & one_hot(kinds, logits.shape[-1]).bool(), -1e4)
    return restricted.restrict(logits, allowed)


class _Guided(JointDiffusion):
    """Coordinates and lattices that follow the gradient of log p₀ of the allowed classes."""

    weight = 0.0
    allowed: Tensor | None = None

    def step(self, network: Predict, state: State, *rest: object, restriction: Restriction, **more: object) -> State:
        self.allowed = restriction.allowed
        return super().step(network, state, *rest, restriction=restriction, **more)

    def predict(self, network: Predict, state: State, time: int) -> tuple[Tensor, Tensor, Tensor]:
        if self.allowed is None or time < 20:
            return super().predict(network, state, time)
        with torch.enable_grad():
            lattice, places = (part.detach().requires_grad_() for part in (state.lattice, state.frac_coords))
            moving = State(lattice, places, state.species, state.is_atom)
            epsilon, score, logits = super().predict(network.network, moving, time)  # the predictor has no gradients
            hidden = logits.masked_fill(~self.allowed, -torch.inf)
            likely = (hidden.logsumexp(-1) - logits.logsumexp(-1)).sum()
            cell, moves = torch.autograd.grad(likely, (lattice, places))
        noise = (1 - self.lattice_alpha_bar[time]).sqrt()
        return (
            (epsilon - self.weight * noise * cell).detach(),
            (score + self.weight * moves).detach(),
            logits.detach(),
        )


class _Again(JointDiffusion):
    """Crystals that are noised anew to a time in between, and denoised again."""

    again, back = 0, 600

    def step(self, network: Predict, state: State, time: int, next_time: int, noise, *rest, **more) -> State:
        state = super().step(network, state, time, next_time, noise, *rest, **more)
        if next_time:
            return state
        for _ in range(self.again):
            times = torch.full((len(state),), self.back)
            _, _, state = self.add_noise(self.infuse(state, noise), times, noise)
            for now in range(self.back, 0, -time):
                if now <= 20 * time:
                    state = self.correct(network, state, now, 1e-5, noise)
                state = super().step(network, state, now, now - time, noise, *rest, **more)
        return state


@contextmanager
def drawn_as(variant: Variant, counts: Tensor) -> Iterator[None]:
    """Samples are drawn as the variant says; as the package does, if it says nothing else."""
    if variant == Variant():
        yield
        return
    processes = {**PROCESSES, "joint_diffusion": variant.process()}
    with (
        mock.patch.object(restricted, "denoise", variant.denoise(counts)),
        mock.patch.dict(PROCESSES, processes),
    ):
        yield


VARIANTS: dict[str, Variant] = {
    "as the package does": Variant(),
    "noise allowed": Variant(noise="allowed", mirage=None),
    "noise allowed, mirage 1/100": Variant(noise="allowed"),
    "evidence once": Variant(evidence=4),
    "evidence once, noise allowed": Variant(noise="allowed", evidence=4),
    "evidence once, noise of training": Variant(noise="training", evidence=4),
    "evidence once, noise of training and mirage": Variant(noise="training", mirage=None, evidence=4),
    "evidence once, noise allowed from 0.3": Variant(noise="allowed", evidence=4, since=0.3),
    "evidence once, noise allowed from 0.6": Variant(noise="allowed", evidence=4, since=0.6),
    "calibrated": Variant(noise="allowed", evidence=4, boost=0.0),
    "calibrated, boosted 3": Variant(noise="allowed", evidence=4, boost=3.0),
    "guided": Variant(guidance=1.0),
    "guided, evidence once": Variant(guidance=1.0, evidence=4),
    "guided, evidence once, noise allowed": Variant(guidance=1.0, noise="allowed", evidence=4),
}
