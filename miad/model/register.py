"""Registers of the generative processes and of the networks.

Another process is a module that fulfils `miad.model.process.Process`, another network one that fulfils
`miad.model.process.Predict`, and an entry here. Its name is then a value of `diffusion.process` or `network.kind`;
`train.loss_weights` has the weights of its losses, in an ablation beside those of the main run's process.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

from miad.config.sections import Diffusion, Mirage, Network, Train
from miad.config.validation import did_you_mean
from miad.core.errors import MiadError
from miad.model.diffusion.process import JointDiffusion
from miad.model.network import CSPNet
from miad.model.process import Process

Entry = TypeVar("Entry")
PROCESSES: dict[str, Any] = {"joint_diffusion": JointDiffusion}
NETWORKS: dict[str, Callable[[Network], nn.Module]] = {"cspnet": CSPNet}


def make_process(
    settings: Diffusion,
    variant: Mirage,
    device: torch.device | str = "cpu",
    center_scores: bool = False,
    cross_entropy: float = 0.0,
) -> Process:
    """The process that `settings.process` names, on a device; the other arguments are those of `JointDiffusion`.

    Raises:
        MiadError: there is no such process.
    """
    kind = _entry(PROCESSES, settings.process, "diffusion.process")
    return kind(settings, variant, device, center_scores, cross_entropy)


def check(settings: Train) -> str:
    """Names of the process and the network of a training.

    Raises:
        MiadError: there is no such process or network, or train.loss_weights does not fit.
    """
    _entry(NETWORKS, settings.network.kind, "network.kind")
    names = _entry(PROCESSES, settings.diffusion.process, "diffusion.process").weighted
    # An ablation lies over the main run: weights of another process may be there, and are not used.
    known = {name for kind in PROCESSES.values() for name in kind.weighted}
    if not set(names) <= set(settings.loss_weights) <= known:
        raise MiadError(
            f"train.loss_weights is for {', '.join(settings.loss_weights)}; the losses of"
            f" {settings.diffusion.process} are {', '.join(names)}. Give each of them a weight in config.yaml."
        )
    return f"{settings.diffusion.process} by {settings.network.kind}"


def make_network(settings: Network) -> nn.Module:
    """The network that `settings.kind` names, with random weights.

    Raises:
        MiadError: there is no such network.
    """
    return _entry(NETWORKS, settings.kind, "network.kind")(settings)


def _entry(register: dict[str, Entry], name: str, key: str) -> Entry:
    if name not in register:
        raise MiadError(f"{key} is {name}, which does not exist.{did_you_mean(name, register)}")
    return register[name]
