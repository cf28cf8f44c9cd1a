"""What others see of settings and messages: no password, no folder of the user's."""

from pathlib import Path

import pytest
import yaml

from miad.config.resolve import resolve
from miad.core.redact import redacted, secrets_in, shown, without_secrets
from tests.builders import ROOT


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A home with a blank in its name, and a folder of work in it."""
    folder = tmp_path / "jane doe"
    (folder / "work").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder / "work")
    return folder


@pytest.mark.parametrize(
    "text, expected",
    [
        ("mongodb://jane:p@ss/w%40rd@db.example.org:27017/x", "mongodb://(hidden)@db.example.org:27017/x"),
        ("mongodb+srv://jane@db", "mongodb+srv://(hidden)@db"),
        (
            "https://host/hull.csv?x=1&X-Amz-Signature=ab12&y=2",
            "https://host/hull.csv?x=1&X-Amz-Signature=(hidden)&y=2",
        ),
        ("https://host/a?access_token=ab.12#part", "https://host/a?access_token=(hidden)#part"),
        ("https://jane:pw@host/repo@1.0/hull.csv", "https://(hidden)@host/repo@1.0/hull.csv"),
        ("https://host/repo@1.0/hull.csv", "https://host/repo@1.0/hull.csv"),
        ("write to jane@example.org about https://host/a", "write to jane@example.org about https://host/a"),
    ],
)
def test_urls_lose_names_passwords_and_tokens(text, expected):
    assert without_secrets(text) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("{home}/hull.csv sha256:ab", "~/hull.csv sha256:ab"),
        ("{home}/work/data/hull.csv", "data/hull.csv"),
        ("{home}/data/hull.csv", "…/hull.csv"),
        ("cannot read '{home}/a b/x.csv'", None),
        ("srun /home/jane/bin/vasp_std -x", "srun …/vasp_std -x"),
        ("../../jane/hull.csv", "…/hull.csv"),
        ("~jane/data/hull.csv", "…/hull.csv"),
        ("file:///home/jane/hull.csv", "…/hull.csv"),
        ("error:/home/jane/x, line 3", "error:…/x, line 3"),
        ("data/hull.csv, 1/2+x, eV/atom, and/or", "data/hull.csv, 1/2+x, eV/atom, and/or"),
        ("https://host/path/to/x.csv", "https://host/path/to/x.csv"),
    ],
)
def test_of_paths_on_this_machine_the_name_is_left(text, expected, home):
    seen = shown(text.format(home=home))
    assert "jane" not in seen
    assert expected is None or seen == expected


def test_values_of_private_keys_are_hidden_however_deep_they_lie():
    store = {"docs_store": {"type": "MongoURIStore", "uri": "mongodb://db", "collection_name": "x", "password": "pw"}}
    store["docs_store"] |= {"apiKey": "k", "user": "u", "port": 27017, "token": None, "hosts": [{"hostName": "h"}]}
    assert redacted(store) == {
        "docs_store": {
            **dict.fromkeys(("uri", "password", "apiKey", "user", "hosts"), "(hidden)"),
            "type": "MongoURIStore",
            "collection_name": "x",
            "port": 27017,
            "token": None,
        }
    }


def test_our_own_settings_are_shown_as_they_are():
    for sections in resolve(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))).values():
        assert redacted(sections) == sections
        assert not list(secrets_in(sections))


def test_passwords_are_found_where_they_stand():
    config = {"relax": {"potentials": {"mine": {"api_key": "x", "num_tokens": 3, "monkey": "y", "key_size": "z"}}}}
    config["hull"] = {"source": "https://jane:pw@host/hull.csv", "references": None}
    assert list(secrets_in(config)) == ["relax.potentials.mine.api_key", "hull.source"]
