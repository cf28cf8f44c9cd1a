"""Task documents: one file per crystal that no kill can tear, or the store that the config names."""

import json
import os

import orjson
import pytest

from miad.core.errors import MiadError
from miad.dft.vasp.store import open_store, task_document
from tests.builders.vasp_stand_in.site import Site


def put(store, identity: str, **output) -> None:
    """Write a document as jobflow does when a job has ended."""
    store.update({"uuid": identity, "index": 1, "output": output}, key=["uuid", "index"])


def test_documents_outlive_the_process_in_a_file_of_their_own(tmp_path):
    path = tmp_path / "store" / "a.json"
    settings = Site(tmp_path).vasp()
    put(open_store(settings, path), "first", energy=-1.5)
    again = open_store(settings, path)
    put(again, "second", energy=-2.5)
    assert [task_document(again, name) for name in ("first", "second")] == [{"energy": -1.5}, {"energy": -2.5}]
    assert task_document(again, "third") is None
    assert [one["uuid"] for one in json.loads(path.read_text())] == ["first", "second"]
    # Another crystal's file is another store.
    assert task_document(open_store(settings, tmp_path / "store" / "b.json"), "first") is None


def test_a_document_that_cannot_be_written_costs_none_of_those_before(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    store = open_store(Site(tmp_path).vasp(), path)
    put(store, "first", energy=-1.5)
    before = path.read_bytes()

    def die(*_):
        raise KeyboardInterrupt

    for module, name in ((orjson, "dumps"), (os, "replace")):  # before the new file is whole, and before it is in place
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, name, die)
            put(store, "second", energy=-2.5)
        assert path.read_bytes() == before


def test_the_store_of_the_config_comes_first(tmp_path):
    spec = {"docs_store": {"type": "MemoryStore"}, "additional_stores": {}}
    store = open_store(Site(tmp_path).vasp(job_store=spec), tmp_path / "a.json")
    put(store, "first", energy=-1.5)
    assert task_document(store, "first") == {"energy": -1.5}
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("spec", [{"docs_store": {"type": "NoSuchStore"}}, {"docs": {}}])
def test_a_store_that_cannot_be_used_is_said_with_the_way_out(tmp_path, spec):
    with pytest.raises(MiadError, match=r"vasp\.job_store cannot be used .*set it to null"):
        open_store(Site(tmp_path).vasp(job_store=spec), tmp_path / "a.json")
