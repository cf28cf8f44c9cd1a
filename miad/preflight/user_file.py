"""What a user wrote into config.yaml: checked before anything runs, in words that one can act on."""

from pathlib import Path
from typing import Any

from miad.config.run_names import check_names
from miad.config.sections import did_you_mean
from miad.core.errors import MiadError


def check(config: dict, schema_path: Path) -> None:
    """Check a config against the schema, in words a user can act on.

    Numbers, booleans and null that came as text become what they mean, in place.

    Raises:
        MiadError: names the key, what is wrong with it and the remedy.
    """
    import jsonschema
    import yaml

    check_names(config)
    validator = jsonschema.Draft202012Validator(yaml.safe_load(Path(schema_path).read_text(encoding="utf-8")))
    for error in list(validator.iter_errors(config)):
        _from_text(config, error)
    errors = sorted(validator.iter_errors(config), key=lambda error: list(error.path))
    if errors:
        raise MiadError("config.yaml: " + "\n".join(_explain(error) for error in errors))


def _from_text(config: dict, error: Any) -> None:
    """Mend one error in place if it is text that means a number, boolean or null.

    Snakemake hands on what is nested in `--config` as text, and YAML 1.1 reads 1e-5 as text.
    """
    import yaml

    *parents, key = error.absolute_path or [None]
    if error.validator not in ("type", "enum") or not isinstance(error.instance, str):
        return
    try:
        value = yaml.safe_load(error.instance)
        value = float(value) if isinstance(value, str) else value
    except (ValueError, yaml.YAMLError):
        return  # it does mean text; the check says so
    if isinstance(value, dict | list):
        return
    holder: Any = config
    for parent in parents:
        holder = holder[parent]
    holder[key] = value


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "required":
        return f"{where + '.' if where else ''}{error.message}. Add it, or restore config.yaml."
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        odd = sorted(set(error.instance) - set(known))[0]
        return f"{where + '.' if where else ''}{odd} is not a known key.{did_you_mean(odd, known)}"
    if error.validator == "type":
        wanted = error.validator_value if isinstance(error.validator_value, str) else " or ".join(error.validator_value)
        return f"{where}: {error.instance!r} should be of type {wanted}. {error.schema.get('description', '')}"
    if error.validator == "enum":
        return f"{where}: {error.instance!r} is not one of {', '.join(map(str, error.validator_value))}."
    return f"{where}: {error.message}. {error.schema.get('description', '')}".strip()


def own_files(run: dict) -> dict[str, list[str]]:
    """The user's own files that a run reads, by section: local paths, neither URLs nor what is built in.

    Those of the potentials are under `relax.` and the name of the calculator. Finished calculations may be a folder.

    Args:
        run: settings of one run, as `resolve` returns them.

    Raises:
        MiadError: one of them does not exist.
    """
    from miad.hull.sources import MATERIALS_PROJECT
    from miad.io.download import is_url
    from miad.relax.potentials.register import potential

    hull = run["hull"]
    source = None if hull["source"] in ("dataset", MATERIALS_PROJECT) else hull["source"]
    named = {
        "dataset": {f"dataset.files.{name}": path for name, path in run["dataset"]["files"].items()},
        "train": {"train.start_from": run["train"]["start_from"]},
        "hull": {"hull.source": source, "hull.references": hull["references"]},
        "metrics": {"metrics.scaler": run["metrics"]["scaler"]},
        "vasp": {"vasp.replay": run["vasp"]["replay"] if run["dft"]["enabled"] else None},
    }
    found: dict[str, list[str]] = {}
    for section, files in named.items():
        local = {key: path for key, path in files.items() if path and not is_url(path)}
        for key, path in local.items():
            if key.startswith("dataset.files.") and Path(path).is_dir():
                raise MiadError(
                    f"{key}: {path} is a folder. A data set is a CSV file with a column `cif` (and `material_id`):"
                    " write the CIFs of the folder into one, and give its path in config.yaml."
                )
            if not (Path(path).exists() if key == "vasp.replay" else Path(path).is_file()):
                raise MiadError(f"{key}: {path} is not a file in {Path.cwd()}. Correct the path in config.yaml.")
        found[section] = list(local.values())
    for calculator in run["relax"]["calculators"]:
        chosen = potential(calculator, run["relax"]["potentials"].get(calculator))
        found[f"relax.{calculator}"] = [str(path) for path in chosen.files()]
    return found
