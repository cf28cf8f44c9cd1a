"""Settings: one frozen dataclass per section of config.yaml, made from plain values and checked on the way.

A field named like another section (`Train.mirage`) or like a key of the top level (`Train.seed`) takes its value
from there, so that each fact is written once and each step is rerun only when something that it reads has changed.
How a config becomes the settings of each run is in miad/config/resolve.py.
"""

import dataclasses
import difflib
import json
import math
import types
import typing
from dataclasses import dataclass
from typing import Any, TypeVar

from miad.core.errors import MiadError

Section = TypeVar("Section")


@dataclass(frozen=True)
class Dataset:
    """Which crystals to learn from; see config.yaml for units and reasons."""

    seed: int
    name: str
    files: dict[str, str]
    checksums: dict[str, str]
    max_crystals: int | None
    exclude: dict[str, list[str]]
    energy_column: str | None
    energy_kind: str
    energy_frame: str | None
    unreadable: str
    split: list[float]


@dataclass(frozen=True)
class Mirage:
    """The mirage infusion of section 3 of the paper."""

    num_atoms: int | None
    coordinates: str
    mask_loss: bool


@dataclass(frozen=True)
class Diffusion:
    """The three noise processes."""

    num_timesteps: int
    cosine_offset: float
    sigma_min: float
    sigma_max: float
    process: str = "joint_diffusion"  # of miad.model.register


@dataclass(frozen=True)
class Network:
    """Size of CSPNet."""

    hidden_dim: int
    num_layers: int
    num_frequencies: int
    time_dim: int
    gram_scale: float
    kind: str = "cspnet"  # of miad.model.register


@dataclass(frozen=True)
class Train:
    """Optimisation of the joint diffusion model."""

    seed: int
    mirage: Mirage
    diffusion: Diffusion
    network: Network
    recipe: str
    start_from: str | None
    num_epochs: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    cooldown_fraction: float
    clip_norm: float | None
    ema_decay: float | None
    center_scores: bool
    stratified_times: bool
    cross_entropy: float
    precision: str
    loss_weights: dict[str, float]
    checkpoint_minutes: float
    keep_every: int | None
    validate_every: int
    device: str


@dataclass(frozen=True)
class Sample:
    """Generation of crystals."""

    seed: int
    num_crystals: int
    num_shards: int
    stride: int
    corrector_scale: float
    corrector_steps: int | None
    denoise_last: bool
    limit_lattice: float | None
    record: int
    epoch: int | None
    precision: str
    device: str


@dataclass(frozen=True)
class Relax:
    """Relaxation by machine-learned potentials."""

    calculators: list[str]
    fmax: float
    max_steps: int
    min_distance: float
    max_volume_ratio: float
    time_limit: float
    memory: float
    workers: int | None
    device: str
    potentials: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Hull:
    """The convex hull that energies are compared with."""

    dataset: Dataset
    source: str
    checksum: str | None
    energy_frame: str | None
    references: str | None
    missing: str


@dataclass(frozen=True)
class Sun:
    """What stable, unique and novel mean; each protocol is a named set of explicit choices."""

    seed: int | None
    hull: Hull
    protocol: str
    protocols: dict[str, dict[str, Any]]
    workers: int | None


@dataclass(frozen=True)
class Metrics:
    """The older metrics of the paper's appendix E (Table 6)."""

    seed: int
    dataset: Dataset
    enabled: bool
    cutoffs: str | None
    scaler: str | None
    workers: int | None


@dataclass(frozen=True)
class Dft:
    """Which crystals go to DFT double relaxation, and how the others count; off until a site has VASP."""

    seed: int
    enabled: bool
    calculator: str
    max_e_above_hull: float
    subsample: int
    strata: list[float]
    not_sent: str
    core_hours: float


@dataclass(frozen=True)
class Vasp:
    """How the DFT calculations are run; nothing here but `functional` and `replay` changes their results."""

    num_chunks: int
    command: str
    gamma_command: str | None
    potcars: str | None
    functional: str
    parallel: dict[str, Any]
    max_errors: int
    max_attempts: int
    polling: float
    monitor_every: int
    walltime: float | None
    walltime_buffer: float
    scratch: str | None
    job_store: dict[str, Any] | None
    keep_wavefunctions: bool
    replay: str | None


@dataclass(frozen=True)
class Report:
    """What is written for people at the end."""

    title: str
    published: bool
    protocols: str
    epochs: bool
    max_viewed: int


SECTIONS: dict[str, type] = {
    "dataset": Dataset,
    "mirage": Mirage,
    "diffusion": Diffusion,
    "network": Network,
    "train": Train,
    "sample": Sample,
    "relax": Relax,
    "hull": Hull,
    "sun": Sun,
    "metrics": Metrics,
    "dft": Dft,
    "vasp": Vasp,
    "report": Report,
}
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
    # vasp, because it says which elements have a pseudopotential
    "dft": ["dataset", "train", "sample", "relax", "hull", "sun", "dft", "vasp"],
    "vasp": ["dataset", "train", "sample", "relax", "hull", "sun", "dft", "vasp"],
}


def build(run: dict, kind: type[Section]) -> Section:
    """One section's dataclass from the settings of a run.

    Args:
        run: settings of one run, as `resolve` returns them.
        kind: a dataclass of this module.

    Raises:
        MiadError: a key is missing, unknown or of the wrong type.
    """
    name = next(key for key, value in SECTIONS.items() if value is kind)
    section = run.get(name) or {}
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, hint in hints.items():
        if hint in SECTIONS.values():
            values[key] = build(run, hint)
        elif key == "seed":
            values[key] = _typed(run["seed"], hint, "seed")
        elif key in section:
            values[key] = _typed(section[key], hint, f"{name}.{key}")
        elif not hasattr(kind, key):
            raise MiadError(f"config.yaml lacks {name}.{key}. Add it under {name}, or restore config.yaml.")
    own = [key for key, hint in hints.items() if hint not in SECTIONS.values() and key != "seed"]
    unknown = sorted(set(section) - set(own), key=str)
    if unknown:
        raise MiadError(f"config.yaml: {name}.{unknown[0]} is not a known key.{did_you_mean(str(unknown[0]), own)}")
    return kind(**values)


def settings_json(run: dict, name: str) -> str:
    """One section as JSON, for a rule's `params`: a changed value reruns only what depends on it."""
    return json.dumps(dataclasses.asdict(build(run, SECTIONS[name])), sort_keys=True)


def from_record(kind: type[Section], record: dict) -> Section:
    """The inverse of `dataclasses.asdict` for the dataclasses of this module.

    Raises:
        MiadError: a key is missing, unknown or of the wrong type.
    """
    hints = typing.get_type_hints(kind)
    if not isinstance(record, dict):
        raise MiadError(f"settings of {kind.__name__.lower()} are {record!r}, expected keys with values.")
    odd = sorted({key for key in set(record) ^ set(hints) if key in record or not hasattr(kind, key)})
    if odd:
        raise MiadError(f"settings of {kind.__name__.lower()}: missing or unknown keys {', '.join(odd)}.")
    return kind(
        **{
            key: from_record(hint, record[key])
            if dataclasses.is_dataclass(hint)
            else _typed(record[key], hint, f"{kind.__name__.lower()}.{key}")
            for key, hint in hints.items()
            if key in record
        }
    )


def did_you_mean(word: str, known: typing.Iterable[str]) -> str:
    """The close one of the known words, as a sentence, or all of them."""
    known = sorted(known)
    close = [key for key in known if key.startswith(word)] or difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {close[0]}?" if close else f" Known keys: {', '.join(known)}."


def _typed(value: Any, hint: Any, where: str) -> Any:
    """Return `value` if it has the type `hint`; whole numbers are welcome where fractions are."""
    if hint is Any:
        return value
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _typed(value, next(a for a in arguments if a is not type(None)), where)
    if hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        # YAML 1.1 reads 1e-5 as text; only 1.0e-5 is a number to it.
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isnan(number):
            raise MiadError(f"config.yaml: {where} is {value!r}, expected a number.")
        return number
    if origin is list and isinstance(value, list):
        return [_typed(item, arguments[0], f"{where}[{index}]") for index, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {key: _typed(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    expected = origin or hint
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise MiadError(f"config.yaml: {where} is {value!r}, expected {getattr(expected, '__name__', expected)}.")
    return value
