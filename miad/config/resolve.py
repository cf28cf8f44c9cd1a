"""Settings of each run, made of config.yaml.

config.yaml holds the science in sections named like the steps, and three blocks of scale (`laptop`, `small`, `paper`)
that fill in what depends on the machine. For each run the sections are laid over each other, later ones winning:

    scale block  <  recipe (train only)  <  sections at the top level  <  the run's entry under `ablations`

A scale block may hold `recipes` of its own: keys that a recipe of that name has at this scale.
"""

import json
import re
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any

import miad
from miad.config.schema import checked, checked_sections
from miad.config.sections import SECTIONS, UPSTREAM, Section, build, from_record, settings_json
from miad.core.errors import MiadError

Check = Callable[[dict[str, dict]], None]
TAKEN = ("external", "figures", "tables")  # folders of results/ that are no runs; external: of earlier versions


def merge(base: dict, over: dict) -> dict:
    """Lay one nested dict over another; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = merge(base[key], value) if both else value
    return merged


def resolve(config: dict) -> dict[str, dict]:
    """The complete settings of every run that a config asks for.

    Returns:
        {run name: {section: {key: value}, "seed": …}}; the first run is the main one, the others are ablations.

    Raises:
        MiadError: a key is missing, unknown, of the wrong type or out of its range, or a name cannot be that of a run.
    """
    check_names(config)
    config = checked(config)
    ablations, recipes = config.get("ablations") or {}, config["recipes"] or {}
    sections = {name: config.get(name) or {} for name in SECTIONS}
    scale = {name: {} for name in SECTIONS} | (config[config["scale"]] or {})
    at_scale = scale.pop("recipes", None) or {}
    known = f"{', '.join(recipes)} (section recipes of config.yaml)"
    if unknown := sorted(set(at_scale) - set(recipes)):
        raise MiadError(f"{config['scale']}.recipes.{unknown[0]} is not one of {known}.")
    runs: dict[str, dict] = {}
    for run in (config["run"], *ablations):
        changes = ablations.get(run) or {}
        over = merge(sections, {name: changes.get(name) or {} for name in SECTIONS})
        recipe = merge(scale, over)["train"].get("recipe")
        if recipe not in recipes:
            raise MiadError(f"train.recipe: {recipe} is not one of {known}.")
        # The recipe lies between the scale block and what is written under `train` itself.
        below = merge(scale, {"train": merge(recipes[recipe] or {}, at_scale.get(recipe) or {})})
        runs[run] = {**merge(below, over), "seed": changes.get("seed", config["seed"])}
        for kind in SECTIONS.values():
            build(runs[run], kind)
    return runs


def check_names(config: dict) -> None:
    """Names of runs are names of folders and of rows, each of one run; wrong types of blocks are left to `checked`.

    Raises:
        MiadError: a name that is no text of letters, digits and underscores, or that is taken.
    """
    blocks = {key: config[key] for key in ("ablations", "external") if isinstance(config.get(key), dict)}
    own = [("run", config["run"])] if "run" in config else []
    seen: dict[str, str] = {}
    for key, name in [*own, *((key, name) for key, block in blocks.items() for name in block)]:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_]{1,100}", name):
            raise MiadError(
                f"config.yaml: {key}: {name!r:.120} cannot be the name of a run. Use at most 100 letters, digits and"
                " underscores, and quotes where YAML reads a number or a truth value (20, no, on)."
            )
        if name in TAKEN:
            raise MiadError(f"config.yaml: {key}: results/{name} is a folder of its own. Rename the run {name}.")
        if name in seen:
            other = "the main run" if seen[name] == "run" else f"a run under {seen[name]}"
            raise MiadError(f"config.yaml: {key}.{name} has the name of {other}. Rename one of them.")
        seen[name] = key


def kept_runs(runs: dict[str, dict], others: Container[str] = ()) -> dict[str, dict]:
    """Further runs, one per model that `train.keep_every` kept, of the runs that ask for them with `report.epochs`.

    They share the training, and are called {run}_epoch_{epoch}; the last epoch is that of the run itself. No
    name may be that of a run, or of the others, which are crystals of other programs.

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
            if name in runs or name in others:
                block = "ablations" if name in runs else "external"
                raise MiadError(f"{block}.{name} has the name of a run that report.epochs makes. Rename it.")
            kept[name] = {**sections, "sample": {**sections["sample"], "epoch": epoch}}
    return kept


def read_runs(config: dict, main: dict) -> dict[str, dict]:
    """Further runs, one per entry of `external`: crystals of other programs that are read instead of sampled.

    Their settings are those of the main run, but for `sample`, which says where the crystals are read, the calculator,
    and DFT, which is left out.
    """
    runs = {}
    for name, entry in (checked(config).get("external") or {}).items():
        named = {key: entry.get(key) for key in ("crystals", "generated", "energy_frame", "column")}
        changes = {
            "sample": {**named, "num_shards": 1, "epoch": None},
            "relax": {**main["relax"], "calculators": [entry.get("calculator") or "chgnet"]},
            "dft": {**main["dft"], "enabled": False},
        }
        runs[name] = main | changes
    return runs


def is_read(sections: dict) -> bool:
    """Whether the samples of a run are read from a file of another program."""
    return "crystals" in sections["sample"]


def homes(runs: dict[str, dict]) -> dict[str, dict[str, str]]:
    """The run in whose folder the results of each step of each run are: {step: {run: run}}.

    It is the first run whose settings of the step, and of all steps before it, are the same: runs share what they have
    in common, so an ablation of the sampler starts from the weights of the main run.
    """
    names = {name for upstream in UPSTREAM.values() for name in upstream}
    texts = {
        run: {
            name: str(settings[name]) if name == "sample" and is_read(settings) else settings_json(settings, name)
            for name in names
        }
        for run, settings in runs.items()
    }
    found: dict[str, dict[str, str]] = {}
    for step, upstream in UPSTREAM.items():
        first: dict[tuple[str | None, ...], str] = {}
        found[step] = {run: first.setdefault(tuple(map(text.get, upstream)), run) for run, text in texts.items()}
    return found


def default_config() -> str:
    """./config.yaml, or where there is none, the one that came with miad: for what is used outside a checkout."""
    own = Path("config.yaml")
    return str(own if own.is_file() else Path(miad.__file__).with_name("config.yaml"))


def read_settings(text: str, kind: type[Section], check: Check | None = None) -> Section:
    """Settings from the command line: JSON of one section, or the path of a config file, whose main run is meant.

    All runs of a config file are checked, for what no single key can tell.

    Raises:
        MiadError: neither of the two, or a config file with errors.
    """
    if text.lstrip().startswith("{"):
        return from_record(kind, from_json(text))
    runs = resolve(read_config(Path(text)))
    if check is not None:
        check(runs)
    return build(next(iter(runs.values())), kind)


def read_sections(text: str, kinds: Sequence[type], check: Check | None = None) -> list[Any]:
    """Several sections of the main run of a config file; JSON has some of their keys, laid over `default_config`.

    Raises:
        MiadError: neither of the two, a section or key that is not known, or a config file with errors.
    """
    path, changes = text, {}
    if text.lstrip().startswith("{"):
        path, changes = default_config(), checked_sections(from_json(text), kinds)
    runs = resolve(merge(read_config(Path(path)), changes))
    if check is not None:
        check(runs)
    main = next(iter(runs.values()))
    return [build(main, kind) for kind in kinds]


def from_json(text: str, flag: str = "--settings") -> dict[str, Any]:
    """The value of a flag that begins like JSON.

    Raises:
        MiadError: it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MiadError(f"{flag} is not JSON ({error}). Give {flag} config.yaml, or JSON.") from error


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
    except FileNotFoundError as error:
        raise MiadError(
            f"{Path(path).absolute()} does not exist. Start miad in the folder that holds config.yaml, or give"
            " --settings (compare, figures, report: --runs) its path, or JSON."
        ) from error
    except OSError as error:
        raise MiadError(f"{path} cannot be read ({error}). Give --settings config.yaml, or JSON.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)  # the line itself stays out of logs: it may hold a password
        problem = getattr(error, "problem", error)
        reason = f"{problem}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(error)
        raise MiadError(f"{path} is not readable as YAML: {reason}") from None
    if not isinstance(config, dict):
        raise MiadError(f"{path} holds no keys with values. Give --settings config.yaml, or JSON.")
    return config


def _check_keys(node: Any, path: str, above: str = "") -> None:
    """Refuse keys that YAML would take silently: the second of two wins over all that the first one holds."""
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
