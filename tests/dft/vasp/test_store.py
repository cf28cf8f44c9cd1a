"""Task documents: one file per crystal that no kill can tear, or the store that the config names."""

import json
import os
import traceback
from pathlib import Path

import orjson
import pytest
import yaml

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


SECRETS = {
    "host": "db.of.a.group.example.org",
    "username": "jane_doe_of_the_group",
    "password": "hunter2hunter2",
    "uri": "mongodb://jane:hunter3@db.example.org",
}


def described(path: Path, content) -> str:
    """A file with the settings of a store, as YAML; its path."""
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize("form", ["plain", "as in jobflow.yaml", "JSON", "named by a variable"])
def test_the_store_of_the_file_comes_first(form, tmp_path, monkeypatch, caplog):
    content = {"docs_store": {"type": "MemoryStore"}, "additional_stores": {}}
    content = {"JOB_STORE": content} if form == "as in jobflow.yaml" else content
    named = described(tmp_path / "store.yaml", json.dumps(content) if form == "JSON" else content)
    if form == "named by a variable":
        monkeypatch.setenv("MY_STORE", named)
        named = "$MY_STORE"
    store = open_store(Site(tmp_path).vasp(job_store=named), tmp_path / "a.json")
    put(store, "first", energy=-1.5)
    assert task_document(store, "first") == {"energy": -1.5}
    assert not (tmp_path / "a.json").exists() and "chmod" not in caplog.text


def test_a_file_that_others_can_read_is_warned_of(tmp_path, caplog):
    named = described(tmp_path / "store.yaml", {"docs_store": {"type": "MemoryStore"}})
    Path(named).chmod(0o644)
    open_store(Site(tmp_path).vasp(job_store=named), tmp_path / "a.json")
    assert "store.yaml can be read by other users; chmod 600" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        {"docs_store": {"type": "NoSuchStore", **SECRETS}},
        {"docs": SECRETS},
        {"docs_store": {"type": "MongoStore", "database": "x", "collection_name": "y", "colour": 1, **SECRETS}},
        {"docs_store": {"type": "MemoryStore", "password": SECRETS["password"]}},
        "docs_store: {password: hunter2hunter2, uri: [",
        "hunter2hunter2",
        "- hunter2hunter2",
    ],
)
def test_a_store_that_cannot_be_used_is_said_without_what_is_in_the_file(tmp_path, content, monkeypatch):
    named = described(tmp_path / "store.yaml", content)
    with pytest.raises(MiadError, match=r"vasp\.job_store cannot be used .*set the key to null") as caught:
        open_store(Site(tmp_path).vasp(job_store=named), tmp_path / "a.json")
    told = "".join(traceback.format_exception(caught.value))
    assert not [value for value in (*SECRETS.values(), "hunter3") if value in told], told


def test_an_error_of_the_database_is_told_without_names_and_passwords(tmp_path, monkeypatch):
    from jobflow import JobStore

    def refuse(self):
        raise ConnectionError(f"{SECRETS['host']}:27017 refuses {SECRETS['username']} at {SECRETS['uri']}/x (code 18)")

    monkeypatch.setattr(JobStore, "connect", refuse)
    named = described(tmp_path / "store.yaml", {"docs_store": {"type": "MemoryStore"}, "aside": SECRETS})
    with pytest.raises(MiadError) as caught:
        open_store(Site(tmp_path).vasp(job_store=named), tmp_path / "a.json")
    assert "ConnectionError: (hidden):27017 refuses (hidden) at (hidden)/x (code 18)" in str(caught.value)


@pytest.mark.parametrize("named, said", [("$NO_SUCH_VARIABLE", "is not set"), ("absent.yaml", "No such file")])
def test_a_file_that_is_not_there_is_said(named, said, tmp_path):
    with pytest.raises(MiadError, match=rf"vasp\.job_store cannot be used .*{said}"):
        open_store(Site(tmp_path).vasp(job_store=named), tmp_path / "a.json")
