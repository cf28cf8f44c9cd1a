"""Randomness made of (seed, run, shard, …): the same config gives the same crystals, in any order, on any worker."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seed_of(*key: object) -> int:
    """A 63-bit seed from any key; equal keys give equal seeds on every machine and in every Python."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*key: object, device: "torch.device | str" = "cpu") -> "torch.Generator":
    """A torch generator seeded by `key`."""
    import torch

    return torch.Generator(device=device).manual_seed(seed_of(*key))
