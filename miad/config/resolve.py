"""How config.yaml becomes the settings of each run.

config.yaml holds the science in sections named like the steps, and two blocks of scale (`laptop`, `paper`) that
fill in what depends on the machine. For each run the sections are laid over each other, later ones winning:

    scale block  <  recipe (train only)  <  sections at the top level  <  the run's entry under `ablations`

A scale block may hold `recipes` of its own: keys that a recipe of that name has at this scale.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from miad.config.run_names import check_names
from miad.config.sections import SECTIONS, UPSTREAM, Relax, Sun, build, from_record, settings_json
from miad.core.errors import MiadError

Section = TypeVar("Section")
OF_EACH_RUN = ("epochs",)  # keys of report that an ablation may set; the others are about all runs together


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
        config: config.yaml as read, after `miad.preflight.user_file.check`.

    Returns:
        {run name: {section: {key: value}, "seed": …}}; the first run is the main one, the others are ablations.

    Raises:
        MiadError: a key is missing, has the wrong type, or two keys contradict each other.
    """
    for key in ("run", "seed", "scale", config.get("scale")):
        if key not in config:
            raise MiadError(f"config.yaml lacks {key}. Add it at the top level, or restore config.yaml.")
    check_names(config)
    ablations = _block(config, "ablations")
    sections = {name: _block(config, name) for name in SECTIONS}
    scale = {name: _block(_block(config, config["scale"]), name) for name in SECTIONS}
    recipes, at_scale = _block(config, "recipes"), _block(_block(config, config["scale"]), "recipes")
    if unknown := sorted(set(at_scale) - set(recipes)):
        raise MiadError(
            f"{config['scale']}.recipes.{unknown[0]} is not one of {', '.join(recipes)} (section recipes of"
            " config.yaml)."
        )
    runs: dict[str, dict] = {}
    for run in (config["run"], *ablations):
        changes = _block(ablations, run)
        _check_report(run, _block(changes, "report"))
        over = merge(sections, {name: _block(changes, name) for name in SECTIONS})
        recipe = merge(scale, over)["train"].get("recipe")
        if recipe not in recipes:
            raise MiadError(
                f"train.recipe: {recipe} is not one of {', '.join(recipes)} (section recipes of config.yaml)."
            )
        # The recipe lies between the scale block and what is written under `train` itself.
        below = merge(scale, {"train": merge(_block(recipes, recipe), _block(at_scale, recipe))})
        runs[run] = {**merge(below, over), "seed": changes.get("seed", config["seed"])}
        _cross_check(run, {name: build(runs[run], kind) for name, kind in SECTIONS.items()})
    return runs


def _check_report(run: str, report: dict) -> None:
    """Refuse what an ablation cannot change.

    Raises:
        MiadError: a key of the section report that is read from the main run only.
    """
    idle = [key for key in report if key not in OF_EACH_RUN]
    if idle:
        raise MiadError(
            f"ablations.{run}.report.{idle[0]} would have no effect: there is one report for all runs. Write it into"
            f" the section report itself; an ablation has only {', '.join(OF_EACH_RUN)} of its own."
        )


def kept_runs(runs: dict[str, dict]) -> dict[str, dict]:
    """Further runs, one per model that `train.keep_every` kept, of the runs that ask for them with `report.epochs`.

    They share the training; the last epoch is that of the run itself.

    Args:
        runs: settings of the runs, as `resolve` returns them.

    Returns:
        {`{run}_epoch_{epoch}`: settings}.

    Raises:
        MiadError: no models are kept, or a run of this name exists.
    """
    kept = {}
    for run, sections in runs.items():
        if not sections["report"]["epochs"] or sections["sample"]["epoch"] is not None:
            continue
        every, last = sections["train"]["keep_every"], sections["train"]["num_epochs"]
        if every is None:
            raise MiadError(
                f"run {run}: report.epochs needs models of several epochs, but train.keep_every keeps none."
                " Set train.keep_every, e.g. to a tenth of train.num_epochs; it takes effect from the next training on."
            )
        for epoch in range(every, last, every):
            name = f"{run}_epoch_{epoch}"
            if name in runs:
                raise MiadError(f"ablations.{name} has the name of a run that report.epochs makes. Rename it.")
            kept[name] = {**sections, "sample": {**sections["sample"], "epoch": epoch}}
    return kept


def homes(runs: dict[str, dict]) -> dict[str, dict[str, str]]:
    """In whose folder the results of each step of each run are: {step: {run: run}}.

    It is the first run whose settings of the step, and of all steps before it, are the same: runs share what they have
    in common, so an ablation of the sampler starts from the weights of the main run.
    """
    sections = {section for upstream in UPSTREAM.values() for section in upstream}
    texts = {run: {section: settings_json(settings, section) for section in sections} for run, settings in runs.items()}
    found: dict[str, dict[str, str]] = {}
    for step, upstream in UPSTREAM.items():
        first: dict[tuple[str, ...], str] = {}
        found[step] = {
            run: first.setdefault(tuple(text[name] for name in upstream), run) for run, text in texts.items()
        }
    return found


def _block(config: dict, name: str) -> dict:
    """A block of keys; one that is absent or empty has none."""
    block = config.get(name)
    if not isinstance(block, dict | None):
        raise MiadError(f"config.yaml: {name} is {block!r}, expected keys with values below it.")
    return block or {}


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
        from miad.preflight.user_file import check

        check(config, schema)
    return build(next(iter(resolve(config).values())), kind)


def read_sections(text: str, kinds: Sequence[type]) -> list[Any]:
    """Several sections from --settings: JSON of them by name, or the path of a config file, whose main run is meant.

    Raises:
        MiadError: neither of the two, a section is missing, or errors in one.
    """
    if not text.lstrip().startswith("{"):
        return [read_settings(text, kind) for kind in kinds]
    names = [kind.__name__.lower() for kind in kinds]
    try:
        sections = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MiadError(f"--settings is not JSON ({error}). Give the path of a config.yaml, or JSON.") from error
    absent = [name for name in names if name not in sections]
    if absent:
        raise MiadError(f"--settings lacks the section {absent[0]}; JSON of {', '.join(names)} is needed, or a path.")
    return [from_record(kind, sections[name]) for kind, name in zip(kinds, names, strict=True)]


def read_config(path: Path) -> dict:
    """Read a config.yaml.

    Raises:
        MiadError: the file cannot be read, is no YAML of keys with values, or has a key twice.
    """
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()  # None: an empty file
        _check_keys(node, str(path))
        config = None if node is None else loader.construct_document(node)
    except OSError as error:
        raise MiadError(f"{path} cannot be read ({error}). Give --settings config.yaml, or JSON.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MiadError(f"{path} is not readable as YAML: {error}") from error
    if not isinstance(config, dict):
        raise MiadError(f"{path} holds no keys with values. Give --settings config.yaml, or JSON.")
    return config


def _check_keys(node: Any, path: str, above: str = "") -> None:
    """Refuse keys that YAML would take silently: the second of two wins over all that the first one holds.

    Raises:
        MiadError: a key occurs twice, or is no text.
    """
    lines: dict[str, int] = {}
    for key, value in node.value if getattr(node, "id", None) == "mapping" else ():
        name, line = f"{above}{key.value}", key.start_mark.line + 1
        if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
            raise MiadError(f"{path}, line {line}: the key {name} is no text to YAML. Put it in quotes, or rename it.")
        if name in lines:
            raise MiadError(
                f"{path} has {name} twice, in lines {lines[name]} and {line}; only the second would count."
                " Write what belongs to it in one place."
            )
        lines[name] = line
        _check_keys(value, path, f"{name}.")


def frames_compared(sun: Sun, relax: Relax) -> dict[str, str]:
    """Energy frame of each calculator, as far as the headline protocol asks that the hull's frame is the same."""
    from miad.relax.potentials.register import potential

    if sun.protocols[sun.protocol]["frames"] != "must_match":
        return {}
    options = relax.potentials
    return {name: potential(name, options.get(name)).energy_frame for name in relax.calculators}


def _cross_check(run: str, sections: dict[str, Any]) -> None:
    """What no single key can tell. Each message names both keys."""
    from miad.core.energy_frames import must_match
    from miad.relax.potentials.register import potential, settings_of
    from miad.sun.protocols import read_protocols

    sample, diffusion, sun = sections["sample"], sections["diffusion"], sections["sun"]
    for calculator in sections["relax"].calculators:
        potential(calculator, sections["relax"].potentials.get(calculator))
        settings_of(sections["relax"], calculator)
    read_protocols(sun.protocols)
    if diffusion.num_timesteps % sample.stride:
        raise MiadError(
            f"run {run}: sample.stride {sample.stride} does not divide diffusion.num_timesteps"
            f" {diffusion.num_timesteps}. Choose a divisor, e.g. 1, 5 or 10."
        )
    train = sections["train"]
    if sample.epoch is not None and (not train.keep_every or sample.epoch % train.keep_every):
        raise MiadError(
            f"run {run}: sample.epoch {sample.epoch} is not among the models that train.keep_every"
            f" ({train.keep_every}) keeps. Choose a multiple of it, or null for the trained model."
        )
    if sample.num_shards > sample.num_crystals:
        raise MiadError(
            f"run {run}: sample.num_shards {sample.num_shards} exceeds sample.num_crystals. Use fewer shards."
        )
    if sun.protocol not in sun.protocols:
        raise MiadError(
            f"run {run}: sun.protocol {sun.protocol} is not under sun.protocols ({', '.join(sun.protocols)})."
        )
    hull = sections["hull"]
    for calculator, frame in frames_compared(sun, sections["relax"]).items():
        # A hull whose frame is not named here is compared when it is made.
        must_match(f"run {run}: {calculator}", frame, hull.source, hull.energy_frame or frame)
    if train.num_epochs == 0 and not train.start_from:
        raise MiadError(f"run {run}: train.num_epochs is 0. Name the weights to sample in train.start_from, or train.")
    if train.loss_weights.keys() != {"lattice", "coords", "species"}:
        raise MiadError(f"run {run}: train.loss_weights needs exactly lattice, coords and species.")
    if sections["dft"].enabled and sections["dft"].calculator not in sections["relax"].calculators:
        raise MiadError(f"run {run}: dft.calculator {sections['dft'].calculator} is not among relax.calculators.")
    if sections["dft"].not_sent == "estimate" and sections["dft"].subsample == 0:
        raise MiadError(f"run {run}: dft.not_sent: estimate needs crystals to estimate from. Set dft.subsample.")
    if abs(sum(sections["dataset"].split) - 1) > 1e-9 or len(sections["dataset"].split) != 3:
        raise MiadError(f"run {run}: dataset.split needs three fractions (train, val, test) that add up to 1.")
