"""Settings of relaxation, hull, S.U.N., older metrics and report."""

import typing
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from miad.config.fields import (
    Checksum,
    Cutoffs,
    Device,
    Energy,
    Fmax,
    Frame,
    MaxSteps,
    Memory,
    Natural,
    Positive,
    Split,
    Text,
    Workers,
)
from miad.config.learning import Dataset
from miad.config.validation import STRICT


def unique(names: list[str]) -> list[str]:
    """Names, refused if one occurs twice."""
    if len(set(names)) < len(names):
        raise ValueError("each name once")
    return names


def no_forward(match: object) -> object:
    """A choice of `match`, refused if it is that of earlier versions which no published program makes."""
    if match == "forward":
        raise ValueError("sample_first (forward, fit(reference, sample), was the wrong way round)")
    return match


@dataclass(frozen=True, config=STRICT)
class Relax:
    """Relaxation by machine-learned potentials."""

    calculators: Annotated[
        list[str],
        AfterValidator(unique),
        Field(min_length=1, description="Machine-learned potentials; one row of the table each."),
    ]
    fmax: Fmax
    max_steps: MaxSteps
    min_distance: Annotated[float, Field(ge=0, le=5, description="Å; crystals with closer atoms are not relaxed.")]
    max_volume_ratio: Annotated[float, Field(gt=1, description="Change of volume that counts as exploded.")]
    time_limit: Annotated[Positive, Field(description="Seconds per crystal.")]
    memory: Memory
    workers: Workers
    device: Device
    potentials: Annotated[
        dict[str, dict[str, Any]],
        Field(description="Needs of single calculators; keys of relax in an entry hold for this calculator only."),
    ]


@dataclass(frozen=True, config=STRICT)
class Hull:
    """The convex hull that energies are compared with."""

    dataset: Dataset
    source: Annotated[
        Text, Field(description="dataset, prototypes (built in), mp-2023-02-07, or path or URL of entries.")
    ]
    checksum: Annotated[Checksum | None, Field(description="Of the source.")]
    energy_frame: Annotated[Frame | None, Field(description="Frame of the source's energies; null: as it says.")]
    references: Annotated[Text | None, Field(description="JSON {element: eV/atom} for sources of formation energies.")]
    missing: Annotated[Literal["report", "stop"], Field(description="Reaction to an element without entries.")]
    functional: Annotated[
        Text | None, Field(description="run_type of the entries that count, without U; null: GGA, or the only one.")
    ] = None


@dataclass(frozen=True, config=STRICT)
class Protocol:
    """One definition of S.U.N., a named set of explicit choices."""

    cells: Annotated[Literal["relaxed", "generated"], Field(description="The cells that are compared.")]
    match: Annotated[
        Literal["either", "sample_first", "sample_first_rms", "sample_first_disordered"],
        BeforeValidator(no_forward),
        Field(
            description="Criterion: fit in either direction, fit(sample, reference), get_rms_dist, or fit with swaps of"
            " like elements."
        ),
    ]
    duplicates: Annotated[
        Literal["components", "first_seen", "every_earlier", "dropped"],
        Field(
            description="Components of the matches; first come, of the samples kept or of every earlier one; dropped."
        ),
    ]
    representative: Annotated[
        Literal["lowest_energy", "first_seen"], Field(description="The duplicate that counts as the unique one.")
    ]
    novel_against: Annotated[
        tuple[Split, ...],
        AfterValidator(lambda splits: tuple(one for one in typing.get_args(Split) if one in splits)),
        Field(min_length=1, description="Splits of the data set whose crystals are known."),
    ]
    stable_below: Annotated[float, Field(ge=-1, le=1, description="eV/atom above the hull.")]
    metastable_below: Annotated[Energy, Field(description="eV/atom above the hull.")]
    inclusive: Annotated[bool, Field(description="Whether a crystal exactly at a limit counts.")]
    elements_count: Annotated[bool, Field(description="Whether crystals of one element can be S.U.N.")]
    converged_only: Annotated[bool, Field(description="Whether a relaxation that ran out of steps is barred.")]
    frames: Annotated[
        Literal["must_match", "as_given"],
        Field(description="Whether energies of another frame than the hull's are refused."),
    ]

    @model_validator(mode="after")
    def _ordered(self) -> "Protocol":
        if self.metastable_below < self.stable_below:
            raise ValueError("metastable_below not lower than stable_below: every stable crystal is metastable")
        return self

    def is_below(self, energy: float | None, limit: float) -> bool:
        """True if an energy above the hull (eV/atom, None: unknown) counts as below a limit."""
        return energy is not None and (energy < limit or (self.inclusive and energy == limit))


@dataclass(frozen=True, config=STRICT)
class Sun:
    """Stable, unique and novel, as each protocol means them."""

    seed: Natural | None
    hull: Hull
    protocol: Annotated[str, Field(description="The headline protocol, one of the keys of protocols.")]
    protocols: Annotated[dict[str, Protocol], Field(description="Named sets of explicit choices.")]
    workers: Workers


@dataclass(frozen=True, config=STRICT)
class Metrics:
    """The older metrics of the paper's appendix E (Table 6)."""

    seed: Natural
    dataset: Dataset
    enabled: Annotated[bool, Field(description="Whether results/metrics.csv is part of all.")]
    cutoffs: Annotated[Cutoffs | None, Field(description="Of coverage; null: as dataset.")]
    scaler: Annotated[
        Text | None, Field(description="cdvae, or JSON of magpie means and stds; null: of the test split.")
    ]
    self_images: Annotated[
        bool, Field(description="Whether an atom too close to its own periodic images makes a structure invalid.")
    ]
    workers: Workers


@dataclass(frozen=True, config=STRICT)
class Report:
    """Tables and page for people."""

    title: Annotated[str, Field(description="Title of the table and of report.html.")]
    published: Annotated[bool, Field(description="Whether published rows are appended.")]
    protocols: Annotated[Literal["headline", "all"], Field(description="Rows per run: headline protocol, or all.")]
    epochs: Annotated[bool, Field(description="Whether models that train.keep_every kept are sampled and judged too.")]
    max_viewed: Annotated[Natural, Field(description="Candidates with structures in report.html, all runs together.")]
