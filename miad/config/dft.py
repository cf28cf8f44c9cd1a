"""Settings of DFT."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from miad.config.fields import Count, Energy, Natural, NotNegative, Positive, Text
from miad.config.validation import STRICT


@dataclass(frozen=True, config=STRICT)
class Dft:
    """The crystals that go to DFT double relaxation, and how the others count."""

    seed: Natural
    enabled: Annotated[bool, Field(description="Whether the last stage is part of all.")]
    calculator: Annotated[str, Field(description="Its energies decide; one of relax.calculators.")]
    max_e_above_hull: Annotated[Energy, Field(description="eV/atom; unique and novel crystals below it are sent.")]
    subsample: Annotated[Natural, Field(description="Crystals drawn at random from each stratum of the rest.")]
    strata: Annotated[
        list[Annotated[float, Field(ge=-1, le=100)]],
        Field(description="eV/atom above the hull, ascending; limits of the strata of the rest."),
    ]
    not_sent: Annotated[Literal["not_sun", "estimate"], Field(description="How crystals count that were not sent.")]
    core_hours: Annotated[Positive, Field(description="Of a double relaxation with 100 valence electrons.")]


@dataclass(frozen=True, config=STRICT)
class Vasp:
    """The run of DFT; only `functional` and `replay` change its results."""

    num_chunks: Annotated[int, Field(ge=1, le=100_000, description="Jobs that the crystals are dealt to.")]
    command: Annotated[str, Field(min_length=1, description="Of VASP, with its launcher.")]
    gamma_command: Annotated[Text | None, Field(description="Of the Γ-only VASP, with its launcher; null: command.")]
    potcars: Annotated[Text | None, Field(description="Folder of pseudopotentials in pymatgen's layout.")]
    functional: Annotated[Literal["PBE", "PBE_52", "PBE_54"], Field(description="Version of the pseudopotentials.")]
    parallel: Annotated[
        dict[Annotated[str, Field(pattern=r"^(NCORE|NPAR|KPAR|NSIM)$")], Count],
        Field(description="INCAR keys that change the speed only: NCORE, NPAR, KPAR, NSIM."),
    ]
    max_errors: Annotated[Count, Field(description="Corrections that custodian may try in a stage.")]
    max_attempts: Annotated[Count, Field(description="Starts of a stage that crashes, hangs or is killed.")]
    max_alike: Annotated[
        Count, Field(description="First crystals that may all fail alike, for want of VASP or of a parser that works.")
    ]
    polling: Annotated[Positive, Field(description="Seconds between custodian's looks whether VASP has ended.")]
    monitor_every: Annotated[Count, Field(description="Pollings between its looks for errors.")]
    walltime: Annotated[Positive | None, Field(description="Minutes that a job may take; null: what Slurm grants.")]
    walltime_buffer: Annotated[NotNegative, Field(description="Seconds before the end at which VASP is asked to stop.")]
    scratch: Annotated[Text | None, Field(description="Fast local folder to calculate in; null: that of the results.")]
    job_store: Annotated[
        Text | None,
        Field(description="File (YAML, JSON) with jobflow's settings of a store; null: one JSON file per crystal."),
    ]
    keep_wavefunctions: Annotated[bool, Field(description="Whether WAVECAR and CHGCAR stay in the archive.")]
    replay: Annotated[Text | None, Field(description="Finished calculations that are read instead of VASP's.")]
