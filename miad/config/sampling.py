"""Settings of samples and of the conditions that they fulfil."""

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from miad.config.fields import Count, Device, Natural, Positive, Precision, Text
from miad.config.validation import STRICT


def one_unit(formula: object) -> object:
    """A `Formula` of one formula unit, of a text."""
    return Formula(formula) if isinstance(formula, str) and formula else formula


@dataclass(frozen=True, config=STRICT)
class Elements:
    """The elements of samples, by symbols and names of groups (miad/sample/elements.py)."""

    only: Annotated[tuple[Text, ...], Field(description="All that may occur; empty: any.")] = ()
    never: Annotated[tuple[Text, ...], Field(description="Those that do not occur.")] = ()
    must: Annotated[tuple[Text, ...], Field(description="Symbols; each occurs in every sample.")] = ()


@dataclass(frozen=True, config=STRICT)
class Formula:
    """A composition in cells of several sizes."""

    formula: Annotated[Text, Field(description="One formula unit, as written: Ti2O4 is not TiO2.")]
    formula_units: Annotated[
        tuple[Count, ...], Field(min_length=1, strict=False, description="Numbers of them in a cell.")
    ] = (1,)


@dataclass(frozen=True, config=STRICT)
class NumAtoms:
    """The number of real atoms in a cell."""

    min: Annotated[Count, Field(description="Least number of real atoms.")] = 1
    max: Annotated[Count | None, Field(description="Largest number of real atoms; null: that of the model.")] = None


@dataclass(frozen=True, config=STRICT)
class Template:
    """A crystal of which a part is generated anew."""

    file: Annotated[Text, Field(description="Structure file of one crystal.")]
    free: Annotated[tuple[Natural, ...], Field(min_length=1, description="Sites generated anew, from 0, as in file.")]
    keep_cell: Annotated[bool, Field(description="Whether the cell is kept; false: generated too.")] = True


@dataclass(frozen=True, config=STRICT)
class Constraints:
    """Conditions that every sample fulfils; the defaults are none."""

    elements: Annotated[Elements, Field(description="Elements that may, may not and must occur.")] = Elements()
    systems: Annotated[
        tuple[Annotated[tuple[Text, ...], Field(min_length=1)], ...],
        Field(description="Chemical systems that the samples are shared out over."),
    ] = ()
    subsystems: Annotated[bool, Field(description="Whether samples may lack elements of their system.")] = False
    compositions: Annotated[
        tuple[Annotated[Formula, BeforeValidator(one_unit, Text | Formula)], ...],
        Field(description="Formulas, or {formula, formula_units}, that the samples are shared out over."),
    ] = ()
    num_atoms: Annotated[NumAtoms, Field(description="Number of real atoms in a cell.")] = NumAtoms()
    template: Annotated[Template | None, Field(description="Crystal of which a part is generated.")] = None
    guidance: Annotated[
        float,
        Field(ge=0, le=10, description="Of compositions: weight of the fit of places to their elements; 0: none."),
    ] = 1.0

    @property
    def is_guided(self) -> bool:
        """Whether species are known from the beginning, and move atoms and cell until these fit them."""
        return bool(self.compositions) and self.guidance > 0


@dataclass(frozen=True, config=STRICT)
class Sample:
    """Generation of crystals."""

    seed: Natural
    num_crystals: Annotated[Count, Field(description="Samples of the run.")]
    num_shards: Annotated[int, Field(ge=1, le=100_000, description="Jobs that the samples are divided into.")]
    stride: Annotated[Count, Field(description="Noise levels per step; a divisor of diffusion.num_timesteps.")]
    corrector_scale: Annotated[float, Field(ge=0, le=0.01, description="Cells²; γ of the corrector; 0: none.")]
    corrector_steps: Annotated[Natural | None, Field(description="Last steps that have a corrector; null: all.")]
    denoise_last: Annotated[bool, Field(description="Whether the last step gives noise-free coordinates.")]
    limit_lattice: Annotated[
        Positive | None,
        Field(description="Longest lattice vector aimed at, as a multiple of the longest in training; null: no limit."),
    ]
    record: Annotated[int, Field(ge=0, le=1000, description="Snapshots of each shard's first crystals.")]
    epoch: Annotated[Count | None, Field(description="A model that train.keep_every kept; null: the last one.")]
    precision: Precision
    device: Device
    constraints: Annotated[Constraints, Field(description="Conditions that every sample fulfils.")] = Constraints()
