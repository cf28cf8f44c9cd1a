"""Settings: one frozen dataclass per section of config.yaml; each field has its type, range, unit and meaning.

A field named like another section (`Train.mirage`) or like a key of the top level (`Train.seed`) takes its value
from there, so that each fact is written once and each step is rerun only when something that it reads has changed.
The values and the reasons for them are in config.yaml, how they become the settings of each run in resolve.py.
"""

import typing
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from miad.config.validation import STRICT, adapter, validated
from miad.core.json_text import as_json

Section = TypeVar("Section")
# Types that several fields share.
Natural = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Energy = Annotated[float, Field(ge=-1, le=2)]  # eV/atom above the hull
Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
Checksum = Annotated[str, Field(pattern=r"^(sha256|md5|git):[0-9a-fA-F]+$")]
Split = Literal["train", "val", "test"]
File = Annotated[str, Field(pattern=r"^(train|val|test|references)$")]
Frame = Literal["mp2020", "uncorrected"]
Precision = Annotated[
    Literal["float32", "tf32", "bf16"], Field(description="Precision of the network; tf32 is float32 on a CPU.")
]
Cutoffs = Literal["mp_20", "perov_5", "carbon_24"]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N.")]
Workers = Annotated[Count | None, Field(description="Processes; null: one per core.")]
Fmax = Annotated[float, Field(gt=0, le=10, description="eV/Å; limit of forces and cell gradient.")]
MaxSteps = Annotated[Natural, Field(description="Optimizer steps per crystal.")]
Memory = Annotated[float, Field(ge=1, description="GB that a worker process on a CPU may take.")]


def adding_up(fractions: list[float]) -> list[float]:
    """Three fractions, refused unless their sum is 1."""
    if len(fractions) != 3 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError("three fractions that add up to 1")
    return fractions


def unique(names: list[str]) -> list[str]:
    """Names, refused if one occurs twice."""
    if len(set(names)) < len(names):
        raise ValueError("each name once")
    return names


def one_unit(formula: object) -> object:
    """A `Formula` of one formula unit, of a text."""
    return Formula(formula) if isinstance(formula, str) and formula else formula


def no_forward(match: object) -> object:
    """A choice of `match`, refused if it is that of earlier versions which no published program makes."""
    if match == "forward":
        raise ValueError("sample_first (forward, fit(reference, sample), was the wrong way round)")
    return match


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


@dataclass(frozen=True, config=STRICT)
class Report:
    """Tables and page for people."""

    title: Annotated[str, Field(description="Title of the table and of report.html.")]
    published: Annotated[bool, Field(description="Whether published rows are appended.")]
    protocols: Annotated[Literal["headline", "all"], Field(description="Rows per run: headline protocol, or all.")]
    epochs: Annotated[bool, Field(description="Whether models that train.keep_every kept are sampled and judged too.")]
    max_viewed: Annotated[Natural, Field(description="Candidates with structures in report.html, all runs together.")]


SECTIONS: dict[str, type] = {
    kind.__name__.lower(): kind
    for kind in (
        Unreadable,
        Dataset,
        Mirage,
        Diffusion,
        Network,
        Train,
        Sample,
        Relax,
        Hull,
        Sun,
        Metrics,
        Dft,
        Vasp,
        Report,
    )
}
_DFT = ["dataset", "train", "sample", "relax", "hull", "sun", "dft", "vasp"]
# The sections that the results of a step depend on; runs that agree in them share the results.
UPSTREAM: dict[str, list[str]] = {
    "dataset": ["dataset"],
    "infuse": ["dataset", "mirage"],
    "train": ["dataset", "train"],
    "sample": ["dataset", "train", "sample"],
    "relax": ["dataset", "train", "sample", "relax"],
    "hull": ["dataset", "hull"],
    "sun": ["dataset", "train", "sample", "relax", "hull", "sun"],
    "metrics": ["dataset", "train", "sample", "metrics"],
    "dft": _DFT,  # vasp, because it says which elements have a pseudopotential
    "vasp": _DFT,
}


def own_keys(kind: type) -> dict[str, Any]:
    """{key: type} of what is written under a section itself: neither other sections nor the seed."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {key: hint for key, hint in hints.items() if hint not in SECTIONS.values() and key != "seed"}


def build(run: dict, kind: type[Section]) -> Section:
    """One section from the settings of a run, as `resolve` returns them.

    Raises:
        MiadError: a key is missing, unknown, of the wrong type or out of its range.
    """
    return validated(kind, _values(run, kind), section=kind.__name__.lower())


def _values(run: dict, kind: type) -> dict[str, Any]:
    """The keys of a section and, below them, those of the sections that it holds."""
    values = dict(run.get(kind.__name__.lower()) or {})
    for key, hint in typing.get_type_hints(kind).items():
        if hint in SECTIONS.values():
            values[key] = _values(run, hint)
        elif key == "seed":
            values[key] = run["seed"]
    return values


def settings_json(run: dict, name: str) -> str:
    """One section as JSON, for a rule's `params`: a changed value reruns only what depends on it.

    A field that has its default is left out, so that one which a later version adds does not train again.
    """
    return as_json(without_defaults(build(run, SECTIONS[name])), sort_keys=True)


def without_defaults(section: Any) -> dict[str, Any]:
    """The values of a section, defaults left out, those of inner sections too."""
    kind: Any = type(section)
    return adapter(kind).dump_python(section, exclude_defaults=True)


def from_record(kind: type[Section], record: Any) -> Section:
    """The inverse of `dataclasses.asdict` for sections and other pydantic dataclasses.

    Raises:
        MiadError: a key is missing, unknown, of the wrong type or out of its range.
    """
    return validated(kind, record, section=kind.__name__.lower(), origin="settings")
