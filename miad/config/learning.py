"""Settings of the data set, the model and its training."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from miad.config.fields import (
    Checksum,
    Count,
    Device,
    File,
    Fraction,
    Frame,
    Name,
    Natural,
    NotNegative,
    Positive,
    Precision,
    Text,
)
from miad.config.validation import STRICT


def adding_up(fractions: list[float]) -> list[float]:
    """Three fractions, refused unless their sum is 1."""
    if len(fractions) != 3 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError("three fractions that add up to 1")
    return fractions


@dataclass(frozen=True, config=STRICT)
class Unreadable:
    """How much of what is read as a reference may be missing: data set, known crystals, hull."""

    max_share: Annotated[Fraction, Field(description="Share of a reference that may be unreadable; more is refused.")]


@dataclass(frozen=True, config=STRICT)
class Dataset:
    """The crystals to learn from."""

    seed: Natural
    name: Annotated[Name, Field(description="prototypes, a published set such as mp_20, or any with files.")]
    files: Annotated[dict[File, Text], Field(description="Own data, path or URL: CSV with cif; JSON of elements.")]
    checksums: Annotated[dict[File, Checksum], Field(description="Of own files: sha256:…, md5:… or git:… (blob id).")]
    max_crystals: Annotated[Count | None, Field(description="Rows read of each file; null: all.")]
    exclude: Annotated[dict[str, list[str]], Field(description="Rows to leave out: {column: [values]}.")]
    energy_column: Annotated[Text | None, Field(description="CSV column of energies, eV/atom.")]
    energy_kind: Annotated[Literal["total", "formation"], Field(description="Meaning of the energy column.")]
    energy_frame: Annotated[Frame | None, Field(description="Frame of the energies; needed with energy_column.")]
    unreadable: Annotated[
        Literal["stop", "skip"],
        Field(description="Reaction to a row that cannot be read; skip: up to unreadable.max_share."),
    ]
    split: Annotated[
        list[Fraction],
        AfterValidator(adding_up),
        Field(description="Fractions of train, val and test, if only train is given."),
    ]
    bound: Unreadable = Unreadable(max_share=0.1)
    max_atoms: Annotated[Count | None, Field(description="Atoms in the standardised cell at most; null: any.")] = None


@dataclass(frozen=True, config=STRICT)
class Mirage:
    """The mirage infusion of section 3 of the paper."""

    num_atoms: Annotated[int | None, Field(ge=1, le=500, description="N_m, atoms when infused; null: none.")]
    coordinates: Annotated[Literal["uniform", "center"], Field(description="Place of mirage atoms.")]
    mask_loss: Annotated[bool, Field(description="Whether the coordinate loss leaves mirage atoms out.")]


@dataclass(frozen=True, config=STRICT)
class Diffusion:
    """The three noise processes."""

    num_timesteps: Annotated[int, Field(ge=10, le=100_000, description="T, number of noise levels.")]
    cosine_offset: Annotated[float, Field(gt=0, le=0.1, description="s of the cosine schedules.")]
    sigma_min: Annotated[float, Field(gt=0, le=0.1, description="Cells; coordinate noise at t = 1.")]
    sigma_max: Annotated[float, Field(ge=0.3, le=2, description="Cells; at t = T; below 0.3 the prior is not uniform.")]
    process: Annotated[str, Field(description="Name in miad/model/register.py.")] = "joint_diffusion"


@dataclass(frozen=True, config=STRICT)
class Network:
    """Size of CSPNet."""

    hidden_dim: Annotated[int, Field(ge=8, le=4096, description="Width of atom and edge features.")]
    num_layers: Annotated[int, Field(ge=1, le=64, description="Rounds of messages.")]
    num_frequencies: Annotated[int, Field(ge=1, le=1024, description="Fourier frequencies per axis.")]
    time_dim: Annotated[int, Field(ge=4, le=4096, multiple_of=2, description="Width of the time embedding.")]
    gram_scale: Annotated[float, Field(gt=0, le=1, description="1/Å²; factor on L Lᵀ as input; paper: 1.")]
    kind: Annotated[str, Field(description="Name in miad/model/register.py.")] = "cspnet"
    allowed_input: Annotated[bool, Field(description="Whether it is told which elements may occur.")] = False


@dataclass(frozen=True, config=STRICT)
class Train:
    """Optimisation of the joint diffusion model."""

    seed: Natural
    mirage: Mirage
    diffusion: Diffusion
    network: Network
    recipe: Annotated[str, Field(description="One of the keys of recipes.")]
    start_from: Annotated[Text | None, Field(description="Model whose weights are the first ones; null: random ones.")]
    num_epochs: Annotated[Natural, Field(description="Passes over the crystals; 0: start_from as it is.")]
    batch_size: Annotated[Count, Field(description="Crystals per optimizer step, all GPUs together.")]
    learning_rate: Annotated[float, Field(gt=0, le=1, description="Of Adam.")]
    warmup_steps: Annotated[Natural, Field(description="Optimizer steps of linear rise.")]
    cooldown_fraction: Annotated[Fraction, Field(description="Last share of steps, in which the rate falls to 0.")]
    clip_norm: Annotated[Positive | None, Field(description="Limit of the gradient norm; null: none.")]
    ema_decay: Annotated[float | None, Field(ge=0, lt=1, description="Of averaged weights; null: the last ones.")]
    center_scores: Annotated[bool, Field(description="Whether the rigid shift is taken out of the coordinate target.")]
    stratified_times: Annotated[bool, Field(description="Whether the times of a batch are spread evenly.")]
    cross_entropy: Annotated[NotNegative, Field(description="Per nat; weight of the species' auxiliary cross entropy.")]
    precision: Precision
    loss_weights: Annotated[dict[str, NotNegative], Field(description="κ of each loss of the process.")]
    checkpoint_minutes: Annotated[Positive, Field(description="Minutes between checkpoints.")]
    keep_every: Annotated[Count | None, Field(description="Epochs between models that are kept; null: none.")]
    validate_every: Annotated[Count, Field(description="Epochs between validations.")]
    device: Device
    free_share: Annotated[
        Fraction,
        Field(description="Crystals without limits for network.allowed_input; the others get random ones."),
    ] = 0.3
