"""A training small enough for seconds: a few random crystals, a tiny network, twenty noise levels."""

import dataclasses
from pathlib import Path

import numpy as np

from miad.config.sections import Diffusion, Mirage, Network, Train
from miad.core.crystal import Crystal, write_crystals
from miad.infuse import step as infuse

MIRAGE = Mirage(num_atoms=5, coordinates="uniform", mask_loss=True)
BASELINE = Mirage(num_atoms=None, coordinates="uniform", mask_loss=True)
DIFFUSION = Diffusion(num_timesteps=20, cosine_offset=0.008, sigma_min=0.005, sigma_max=0.5)
NETWORK = Network(hidden_dim=16, num_layers=1, num_frequencies=4, time_dim=8, gram_scale=0.05)
TRAIN = Train(
    seed=0,
    mirage=MIRAGE,
    diffusion=DIFFUSION,
    network=NETWORK,
    recipe="toy",
    start_from=None,
    num_epochs=4,
    batch_size=8,
    learning_rate=1e-3,
    warmup_steps=3,
    cooldown_fraction=0.0,
    clip_norm=1.0,
    ema_decay=0.9,
    center_scores=True,
    stratified_times=True,
    cross_entropy=0.5,
    precision="float32",
    loss_weights={"lattice": 1.0, "coords": 1.0, "species": 1.0},
    checkpoint_minutes=10.0,
    keep_every=None,
    validate_every=2,
    device="cpu",
)


def crystals(num: int, seed: int = 0, sizes: tuple[int, ...] = (1, 2, 4)) -> list[Crystal]:
    """Random crystals whose numbers of atoms go round `sizes`."""
    rng = np.random.default_rng(seed)
    return [
        Crystal(
            f"toy-{seed}-{index}",
            4 * np.eye(3) + 0.1 * rng.normal(size=(3, 3)),
            rng.random((sizes[index % len(sizes)], 3)),
            rng.integers(1, 99, sizes[index % len(sizes)]),
        )
        for index in range(num)
    ]


def infused(folder: Path, mirage: Mirage = MIRAGE, num: int = 20, seed: int = 0) -> dict[str, Path]:
    """Infused splits on disk, as flags of the train step."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / name for name in ("train", "val", "infused_train", "infused_val")}
    write_crystals(paths["train"], crystals(num, seed))
    write_crystals(paths["val"], crystals(6, seed + 1))
    infuse.run(mirage, **paths)
    return {"train": paths["infused_train"], "val": paths["infused_val"]}


def changed(**changes: object) -> Train:
    """The toy's settings with some of them changed."""
    return dataclasses.replace(TRAIN, **changes)
