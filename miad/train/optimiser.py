"""Optimiser, learning rate and averaged weights of a training."""

import torch
from torch import Tensor, nn

from miad.config.sections import Train


def cooldown_start(settings: Train, num_steps: int) -> int:
    """The first step of the cooldown; up to it, runs of all lengths are the same."""
    return round(num_steps * (1 - settings.cooldown_fraction))


def learning_rate(settings: Train, step: int, num_steps: int) -> float:
    """Warm-up, constant, cooldown: linear over `warmup_steps`, at the end 1 − √ down to zero.

    The constant stretch is what lets a run be cut into pieces: a longer run shares all steps before its cooldown.

    Source: Hägele et al., arXiv:2405.18392.
    """
    rise = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    start = cooldown_start(settings, num_steps)
    if step < start:
        return settings.learning_rate * rise
    return settings.learning_rate * rise * (1 - ((step - start) / (num_steps - start)) ** 0.5)


class Optimiser:
    """Adam with clipping and an exponential moving average of the weights."""

    def __init__(self, network: nn.Module, settings: Train) -> None:
        self.settings = settings
        self.parameters = dict(network.named_parameters())
        self.adam = torch.optim.Adam(self.parameters.values(), lr=settings.learning_rate, fused=True)
        self.average = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}

    def step(self, step: int, num_steps: int) -> Tensor:
        """Apply the gradients; returns their norm before clipping, a scalar."""
        settings = self.settings
        for group in self.adam.param_groups:
            group["lr"] = learning_rate(settings, step, num_steps)
        limit = settings.clip_norm if settings.clip_norm is not None else float("inf")
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), limit, foreach=True)
        self.adam.step()
        # Warm-up of the average (as in its TensorFlow original) so that early weights are soon forgotten.
        decay = min(settings.ema_decay or 0.0, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), 1 - decay)
        return norm

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Groups of tensors for a checkpoint."""
        moments = {name: self.adam.state.get(parameter, {}) for name, parameter in self.parameters.items()}
        return {
            "weights": {name: parameter.detach() for name, parameter in self.parameters.items()},
            "average": self.average,
            "exp_avg": {name: state["exp_avg"] for name, state in moments.items() if state},
            "exp_avg_sq": {name: state["exp_avg_sq"] for name, state in moments.items() if state},
        }

    def load_state(self, groups: dict[str, dict[str, Tensor]], steps: int) -> None:
        """The inverse of `state`, after `steps` steps."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(groups["weights"][name])
                self.average[name].copy_(groups["average"][name])
                if name in groups.get("exp_avg", {}):
                    self.adam.state[parameter] = {
                        "step": torch.tensor(float(steps), device=parameter.device),
                        "exp_avg": groups["exp_avg"][name].to(parameter.device),
                        "exp_avg_sq": groups["exp_avg_sq"][name].to(parameter.device),
                    }
