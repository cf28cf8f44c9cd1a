"""Stores of task documents: one JSON file per crystal, or the database that the config names."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miad.config.sections import Vasp
from miad.core.errors import MiadError
from miad.core.files import atomic_path

if TYPE_CHECKING:
    from jobflow import JobStore


def open_store(settings: Vasp, path: Path) -> "JobStore":
    """The connected store of a crystal: vasp.job_store, in jobflow's terms, or else a JSON file.

    Raises:
        MiadError: the specification is wrong, or the database does not answer.
    """
    from jobflow import JobStore

    if settings.job_store is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        store = JobStore(_json_store()(str(path), read_only=False), additional_stores={})
        store.connect()
        return store
    try:
        store = JobStore.from_dict_spec(settings.job_store)
        store.connect()
        store.count()
    except Exception as error:  # each kind of store fails in its own way
        raise MiadError(
            f"vasp.job_store cannot be used ({type(error).__name__}: {error}). Correct it in config.yaml, or set it to"
            " null to keep JSON files."
        ) from error
    return store


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
