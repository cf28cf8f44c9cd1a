"""Settings: one frozen dataclass per section of config.yaml, and how a config becomes the settings of each run.

config.yaml holds the science in sections named like the steps, and two blocks of scale (`laptop`, `paper`) that
fill in what depends on the machine. For each run the sections are laid over each other, later ones winning:

    scale block  <  recipe (train only)  <  sections at the top level  <  the run's entry under `ablations`

A field named like another section (`Train.mirage`) or like a key of the top level (`Train.seed`) takes its value
from there, so that each fact is written once and each step is rerun only when something that it reads has changed.
"""

import dataclasses
import difflib
import json
import math
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from miad.errors import MiadError

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


@dataclass(frozen=True)
class Network:
    """Size of CSPNet."""

    hidden_dim: int
    num_layers: int
    num_frequencies: int
    time_dim: int
    gram_scale: float


@dataclass(frozen=True)
class Train:
    """Optimisation of the joint diffusion model."""

    seed: int
    mirage: Mirage
    diffusion: Diffusion
    network: Network
    recipe: str
    num_epochs: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    cooldown_fraction: float
    clip_norm: float | None
    ema_decay: float | None
    center_scores: bool
    stratified_times: bool
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
    workers: int | None
    device: str


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
class Dft:
    """Which crystals go to DFT double relaxation; off until a site has VASP."""

    enabled: bool
    calculator: str
    max_e_above_hull: float


@dataclass(frozen=True)
class Report:
    """What is written for people at the end."""

    title: str
    published: bool
    protocols: str


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
    "dft": Dft,
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
    "dft": ["dataset", "train", "sample", "relax", "hull", "sun", "dft"],
}


def merge(base: dict, over: dict) -> dict:
    """Lay one nested dict over another; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = merge(base[key], value) if both else value
    return merged


def resolve(config: dict) -> dict[str, dict]:
    """The complete settings of every run that a config asks for.

    Args:
        config: config.yaml as read, after `miad.user_config.check`.

    Returns:
        {run name: {section: {key: value}, "seed": …}}; the first run is the main one, the others are ablations.

    Raises:
        MiadError: a key is missing, has the wrong type, or two keys contradict each other.
    """
    for key in ("run", "seed", "scale", config.get("scale")):
        if key not in config:
            raise MiadError(f"config.yaml lacks {key}. Add it at the top level, or restore config.yaml.")
    ablations = _block(config, "ablations")
    if config["run"] in ablations:
        raise MiadError(f"ablations.{config['run']} has the name of the main run. Rename it, or `run`, in config.yaml.")
    sections = {name: _block(config, name) for name in SECTIONS}
    scale = {name: _block(_block(config, config["scale"]), name) for name in SECTIONS}
    recipes = _block(config, "recipes")
    runs: dict[str, dict] = {}
    for run in (config["run"], *ablations):
        changes = _block(ablations, run)
        over = merge(sections, {name: _block(changes, name) for name in SECTIONS})
        recipe = merge(scale, over)["train"].get("recipe")
        if recipe not in recipes:
            raise MiadError(
                f"train.recipe: {recipe} is not one of {', '.join(recipes)} (section recipes of config.yaml)."
            )
        # The recipe lies between the scale block and what is written under `train` itself.
        below = merge(scale, {"train": _block(recipes, recipe)})
        runs[run] = {**merge(below, over), "seed": changes.get("seed", config["seed"])}
        _cross_check(run, {name: build(runs[run], kind) for name, kind in SECTIONS.items()})
    return runs


def _block(config: dict, name: str) -> dict:
    """A block of keys; one that is absent or empty has none."""
    block = config.get(name)
    if not isinstance(block, dict | None):
        raise MiadError(f"config.yaml: {name} is {block!r}, expected keys with values below it.")
    return block or {}


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
        else:
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
    if set(record) != set(hints):
        odd = sorted(set(record) ^ set(hints))
        raise MiadError(f"settings of {kind.__name__.lower()}: missing or unknown keys {', '.join(odd)}.")
    return kind(
        **{
            key: from_record(hint, record[key])
            if dataclasses.is_dataclass(hint)
            else _typed(record[key], hint, f"{kind.__name__.lower()}.{key}")
            for key, hint in hints.items()
        }
    )


def read_settings(text: str, kind: type[Section]) -> Section:
    """Settings from the command line: JSON of one section, or the path of a config file, whose main run is meant.

    Raises:
        MiadError: neither of the two, or a config file with errors.
    """
    if text.lstrip().startswith("{"):
        try:
            return from_record(kind, json.loads(text))
        except json.JSONDecodeError as error:
            raise MiadError(f"--settings is not JSON ({error}). Give --settings config.yaml, or JSON.") from error
    config = read_config(Path(text))
    schema = Path(text).resolve().parent / "workflow" / "schemas" / "config.schema.yaml"
    if schema.is_file():
        from miad.user_config import check

        check(config, schema)
    return build(next(iter(resolve(config).values())), kind)


def read_config(path: Path) -> dict:
    """Read a config.yaml.

    Raises:
        MiadError: the file cannot be read, or is no YAML of keys with values.
    """
    import yaml

    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise MiadError(f"{path} cannot be read ({error}). Give --settings config.yaml, or JSON.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MiadError(f"{path} is not readable as YAML: {error}") from error
    if not isinstance(config, dict):
        raise MiadError(f"{path} holds no keys with values. Give --settings config.yaml, or JSON.")
    return config


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


def _cross_check(run: str, sections: dict[str, Any]) -> None:
    """What no single key can tell. Each message names both keys."""
    from miad.calculators import potential
    from miad.protocols import read_protocols

    sample, diffusion, sun = sections["sample"], sections["diffusion"], sections["sun"]
    for calculator in sections["relax"].calculators:
        potential(calculator)
    read_protocols(sun.protocols)
    if diffusion.num_timesteps % sample.stride:
        raise MiadError(
            f"run {run}: sample.stride {sample.stride} does not divide diffusion.num_timesteps"
            f" {diffusion.num_timesteps}. Choose a divisor, e.g. 1, 5 or 10."
        )
    if sample.num_shards > sample.num_crystals:
        raise MiadError(
            f"run {run}: sample.num_shards {sample.num_shards} exceeds sample.num_crystals. Use fewer shards."
        )
    if sun.protocol not in sun.protocols:
        raise MiadError(
            f"run {run}: sun.protocol {sun.protocol} is not under sun.protocols ({', '.join(sun.protocols)})."
        )
    if sections["train"].loss_weights.keys() != {"lattice", "coords", "species"}:
        raise MiadError(f"run {run}: train.loss_weights needs exactly lattice, coords and species.")
    if sections["dft"].enabled and sections["dft"].calculator not in sections["relax"].calculators:
        raise MiadError(f"run {run}: dft.calculator {sections['dft'].calculator} is not among relax.calculators.")
    if abs(sum(sections["dataset"].split) - 1) > 1e-9 or len(sections["dataset"].split) != 3:
        raise MiadError(f"run {run}: dataset.split needs three fractions (train, val, test) that add up to 1.")
