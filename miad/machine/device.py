"""Choice of the device that a step computes on."""

import os

from miad.core.errors import MiadError


def pick_device(device: str) -> str:
    """`auto` is the GPU where there is one; under torchrun each process has its own.

    Raises:
        MiadError: a GPU is asked for and there is none, or none of this number.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return device
    if not torch.cuda.is_available():
        raise MiadError(f"device: {device}, but torch sees no GPU. Set device: auto in config.yaml, or fix the driver.")
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    if (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise MiadError(
            f"device: {device}, but torch sees {torch.cuda.device_count()} GPUs, numbered from 0."
            " Ask for another device, or start fewer processes."
        )
    return device
