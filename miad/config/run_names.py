"""What runs may be called."""

import re

from miad.core.errors import MiadError

TAKEN = ("external", "figures", "tables")  # folders of results/ that are no runs; external: of earlier versions


def check_names(config: dict) -> None:
    """Names of runs are names of folders and of rows, each of one run.

    Args:
        config: config.yaml as read; keys that are missing or of the wrong type are left to others.

    Raises:
        MiadError: a name that is no text of letters, digits and underscores, or that is taken.
    """
    blocks = {key: config[key] for key in ("ablations", "external") if isinstance(config.get(key), dict)}
    own = [("run", config["run"])] if "run" in config else []
    seen: dict[str, str] = {}
    for key, name in [*own, *((key, name) for key, block in blocks.items() for name in block)]:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_]+", name):
            raise MiadError(
                f"config.yaml: {key}: {name!r} cannot be the name of a run. Use letters, digits and underscores, and"
                " quotes where YAML reads a number or a truth value (20, no, on)."
            )
        if name in TAKEN:
            raise MiadError(f"config.yaml: {key}: results/{name} is a folder of its own. Rename the run {name}.")
        if name in seen:
            other = "the main run" if seen[name] == "run" else f"a run under {seen[name]}"
            raise MiadError(f"config.yaml: {key}.{name} has the name of {other}. Rename one of them.")
        seen[name] = key
