"""Stores of task documents: one JSON file per crystal, or a database, whose settings are in a file of the user's.

They hold passwords: the path of the file is all of them that config.yaml, rules, logs and reports know.
"""

import functools
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miad.config.sections import Vasp
from miad.core.errors import MiadError
from miad.core.files import atomic_path
from miad.core.redact import HIDDEN, is_private, without_secrets

if TYPE_CHECKING:
    from jobflow import JobStore

log = logging.getLogger("miad")


def open_store(settings: Vasp, path: Path) -> "JobStore":
    """The connected store of a crystal: that of the file vasp.job_store, or else a JSON file at a path.

    Raises:
        MiadError: the file or what it says is wrong, or the database does not answer.
    """
    from jobflow import JobStore

    if settings.job_store is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        store = JobStore(_json_store()(str(path), read_only=False), additional_stores={})
        store.connect()
        return store
    spec = store_settings(settings.job_store)
    try:
        store = JobStore.from_dict_spec(spec)
        store.connect()
        store.count()
    except Exception as error:  # each kind of store fails in its own way
        # Neither the message nor the trace may show what is in the file.
        raise _unusable(f"{type(error).__name__}: {_without_values(str(error), spec)}") from None
    return store


def store_settings(named: str) -> dict[str, Any]:
    """The settings of a store in jobflow's terms, from a file: `docs_store: …`, or that below JOB_STORE.

    Args:
        named: path of the file, YAML or JSON; environment variables and ~ are filled in.

    Raises:
        MiadError: the file cannot be read; nothing of its content is told.
    """
    import yaml

    path = Path(os.path.expandvars(named)).expanduser()
    if "$" in str(path):
        raise _unusable(f"{named}: the environment variable is not set")
    try:
        if path.stat().st_mode & 0o077:
            log.warning("%s can be read by other users; chmod 600 keeps its passwords from them", path)
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unusable(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        place = getattr(error, "problem_mark", None)
        raise _unusable(f"{path} is no YAML" + (f", line {place.line + 1}" if place else "")) from None
    found = found.get("JOB_STORE", found) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise _unusable(f"{path} holds no keys with values")
    return found


def _unusable(reason: str) -> MiadError:
    return MiadError(
        f"vasp.job_store cannot be used ({reason}). It is the path of a file with docs_store of jobflow. Correct the"
        " file or its path, or set the key to null in config.yaml to keep JSON files."
    )


def _without_values(text: str, spec: Any) -> str:
    """A message without the private values of the settings, or none if these are too short to be told from words."""
    values = sorted(map(str, _private_values(spec)), key=len, reverse=True)
    if any(len(value) < 4 and value in text for value in values):
        return HIDDEN
    for value in values:
        text = text.replace(value, HIDDEN)
    return without_secrets(text)


def _private_values(value: Any, is_hidden: bool = False) -> Iterator[Any]:
    """All values below keys such as password, uri or host."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _private_values(inner, is_hidden or is_private(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _private_values(inner, is_hidden)
    elif is_hidden and value not in (None, ""):
        yield value


@functools.cache
def _json_store() -> Any:
    import orjson
    from maggma.stores import JSONStore

    class WholeJSONStore(JSONStore):
        """A JSONStore whose file is renamed into place: a kill while it is written costs no finished stage."""

        def update_json_file(self) -> None:
            documents = [{key: value for key, value in one.items() if key != "_id"} for one in self.query()]
            with atomic_path(Path(self.paths[0])) as temporary:
                temporary.write_bytes(orjson.dumps(documents))

    return WholeJSONStore


def task_document(store: "JobStore", identity: str) -> dict[str, Any] | None:
    """The task document that a job left in the store, or None."""
    found = store.query_one({"uuid": identity}, properties=["output"], load=False)
    return None if found is None else found["output"]
