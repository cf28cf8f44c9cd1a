"""Promise 5: a download is whole, bounded and from where it was said to be, or refused; a cache of others serves."""

import errno
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from miad.core import files
from miad.core.errors import MiadError
from miad.io import download
from miad.io.download import cache_path, fetch
from tests.builders import file_server
from tests.builders.file_server import CONTENT, SHA256


@pytest.fixture
def serve(tmp_path, monkeypatch):
    monkeypatch.setenv("MIAD_CACHE", str(tmp_path / "cache"))
    with file_server.serving(monkeypatch) as start:
        yield start


def get(url: str, checksum: str | None = None, attempts: int = 2) -> Path:
    return fetch(url, checksum=checksum, setting="hull.source", attempts=attempts, sleep=lambda _: None)


def test_without_a_checksum_a_body_whose_end_nothing_tells_is_refused(serve):
    for manner in ("endless", "endless cut", "odd", "odd cut"):
        server = serve(manner)
        with pytest.raises(MiadError, match="does not say how long it is"):
            get(server.url)
        assert not cache_path(server.url).exists()


def test_with_a_checksum_an_odd_length_or_none_is_no_harm(serve):
    for manner in ("endless", "odd"):
        assert get(serve(manner).url, SHA256).read_bytes() == CONTENT


def test_a_part_without_a_checksum_is_no_file(serve):
    server = serve("cut", "cut", "cut", "cut no-range")
    assert get(server.url).read_bytes() == CONTENT
    server = serve(*["cut no-range"] * 9)
    with pytest.raises(MiadError, match="cut after"):
        get(server.url)
    assert not cache_path(server.url).exists()


def test_a_server_that_drips_is_left(serve, monkeypatch):
    monkeypatch.setattr(download, "MAX_SECONDS", 0.3)
    with pytest.raises(MiadError, match="has not come within"):
        get(serve("slow").url, SHA256)


def test_a_file_that_says_it_is_too_large_is_not_begun(serve, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 1000)
    monkeypatch.setattr(download, "_receive", lambda *_: pytest.fail("begun"))
    with pytest.raises(MiadError, match="larger"):
        get(serve().url)


@pytest.mark.parametrize("place", ["ftp://127.0.0.1/x", "file:///etc/passwd", "data:text/plain,x"])
def test_a_redirect_leads_to_no_other_kind_of_address(serve, place):
    server = serve(f"to {place}")
    with pytest.raises(MiadError, match="could not download"):
        get(server.url)
    assert len(server.ranges) == 1 and not cache_path(server.url).exists()


def test_a_redirect_leads_on_but_not_from_https_to_http(serve):
    server = serve()
    assert get(serve(f"to {server.url}").url, SHA256).read_bytes() == CONTENT
    asked = urllib.request.Request("https://host/x")
    follow = download._Redirects().redirect_request
    assert follow(asked, None, 302, "Found", {}, "https://other/x").full_url == "https://other/x"
    with pytest.raises(urllib.error.HTTPError, match="leads from https to http, which is refused"):
        follow(asked, None, 302, "Found", {}, "http://host/x")


def test_a_full_disk_is_called_one(serve, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    server = serve()
    monkeypatch.setattr(download, "_receive", full)
    with pytest.raises(OSError, match="No space left") as caught:
        get(server.url)
    assert files.is_out_of_space(caught.value)


def test_what_was_downloaded_is_on_the_disk_before_it_has_its_name(serve, monkeypatch):
    done = []
    monkeypatch.setattr(download, "sync", lambda path: done.append((path.suffix, path.is_dir())))
    server = serve()
    get(server.url)
    assert done == [(".part", False), ("", True)]


def test_a_read_only_cache_that_has_the_file_serves(serve, monkeypatch):
    url = "https://nowhere.invalid/hull.csv"
    path = cache_path(url)
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    monkeypatch.setattr(download, "_locked", lambda *_: pytest.fail("a lock was asked for"))
    assert get(url, SHA256) == path == get(url)
    path.write_bytes(b"changed")
    with pytest.raises(MiadError, match="Delete it"):
        get(url, SHA256)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_without_locks_each_process_downloads_for_itself(serve, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(download.fcntl, "flock", no_locks)
    server = serve("cut")
    path = get(server.url, SHA256)
    assert path.read_bytes() == CONTENT
    server = serve("404")
    with pytest.raises(MiadError, match="404"):
        get(server.url)
    assert not list(path.parent.glob("*.part"))


def test_a_lock_that_cannot_be_opened_is_no_hindrance(serve):
    server = serve()
    lock = cache_path(server.url).with_name(cache_path(server.url).name + ".lock")
    lock.mkdir(parents=True)  # as one of another user, which root could open
    assert get(server.url, SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "rest", ["marker:hunter2@127.0.0.1/x", "127.0.0.1/a b?token=hunter2", "127.0.0.1/ä?token=hunter2", "[::1/x"]
)
def test_an_address_that_cannot_be_asked_for_is_refused_without_its_password(rest):
    with pytest.raises(MiadError, match="has a login, an odd port, spaces or odd letters") as caught:
        get(f"http://{rest}")
    assert "hunter2" not in str(caught.value)


def test_a_server_that_leads_to_no_address_is_no_crash(serve):
    with pytest.raises(MiadError, match="could not download"):
        get(serve("to http://[::1/x").url)
