"""Downloads against a server that misbehaves; everything stays on this machine."""

import hashlib
import socket

import pytest

from miad.core.errors import MiadError
from miad.io import download
from miad.io.download import cache_path, fetch, is_url
from tests.builders import file_server
from tests.builders.at_home import no_home
from tests.builders.file_server import CONTENT, SHA256


@pytest.fixture
def serve(tmp_path, monkeypatch):
    monkeypatch.setenv("MIAD_CACHE", str(tmp_path / "cache"))
    with file_server.serving(monkeypatch) as start:
        yield start


def get(url: str, waits: list | None = None, checksum: str | None = SHA256, **more):
    waits = [] if waits is None else waits
    return fetch(url, checksum=checksum, setting="dataset.files.train", sleep=waits.append, **more)


def test_a_file_arrives_whole_and_is_not_fetched_twice(serve):
    server = serve()
    path = get(server.url)
    assert path.read_bytes() == CONTENT
    assert path == cache_path(server.url)
    assert get(server.url) == path
    assert len(server.ranges) == 1
    assert not list(path.parent.glob("*.part"))


def test_a_user_without_a_home_folder_is_told_what_to_set(serve, monkeypatch):
    server = serve()
    no_home(monkeypatch)
    with pytest.raises(MiadError, match=r"no home folder.*Set MIAD_CACHE"):
        get(server.url)
    assert not server.ranges


def test_a_cut_connection_is_resumed_where_it_stopped(serve):
    server = serve("cut", "cut")
    assert get(server.url).read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert server.ranges == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_without_range_support_a_cut_download_starts_again(serve):
    server = serve("cut", "no-range")
    assert get(server.url).read_bytes() == CONTENT


def test_a_server_that_always_cuts_without_range_is_given_up(serve):
    server = serve(*["cut no-range"] * 20)
    with pytest.raises(MiadError, match=f"cut after {len(CONTENT) // 2} of {len(CONTENT)} bytes"):
        get(server.url, attempts=3)
    assert len(server.ranges) == 4  # the first one brought new bytes, three did not


def test_a_partial_file_of_an_earlier_process_is_continued(serve):
    server = serve()
    partial = cache_path(server.url).with_name(cache_path(server.url).name + ".part")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:1000])
    assert get(server.url).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


@pytest.mark.parametrize("stale", [b"other bytes", b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)])
def test_a_partial_file_with_other_bytes_is_thrown_away(serve, stale):
    server = serve()
    partial = cache_path(server.url).with_name(cache_path(server.url).name + ".part")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(stale)
    assert get(server.url).read_bytes() == CONTENT


def test_a_partial_file_that_nothing_could_verify_is_not_trusted(serve):
    server = serve()
    partial = cache_path(server.url).with_name(cache_path(server.url).name + ".part")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"x" * 1000)
    assert get(server.url, checksum=None).read_bytes() == CONTENT
    assert server.ranges == [None]


def test_passing_failures_are_retried_with_growing_waits(serve):
    server, waits = serve("503", "429"), []
    assert get(server.url, waits).read_bytes() == CONTENT
    assert waits == [2.0, 4.0]


def test_a_lasting_failure_ends_after_the_attempts_and_names_the_remedy(serve):
    server, waits = serve(*["500"] * 9), []
    with pytest.raises(MiadError) as caught:
        get(server.url, waits, attempts=4)
    assert len(server.ranges) == 4
    for part in (server.url, "500", "dataset.files.train: /path", str(cache_path(server.url))):
        assert part in str(caught.value)


def test_not_found_is_not_retried(serve):
    server, waits = serve("404"), []
    with pytest.raises(MiadError, match=r"404.*dataset\.files\.train"):
        get(server.url, waits)
    assert waits == []


def test_a_wrong_checksum_leaves_nothing_under_the_name(serve):
    server = serve()
    with pytest.raises(MiadError, match=rf"downloaded {server.url}.*expected {'0' * 64}.*dataset\.files\.train"):
        get(server.url, checksum="sha256:" + "0" * 64)
    assert not cache_path(server.url).exists()
    assert get(server.url).read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["md5", "git"])
def test_the_other_checksums(serve, kind):
    digest = {"md5": hashlib.md5(CONTENT), "git": hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT)}  # noqa: S324
    assert get(serve().url, checksum=f"{kind}:{digest[kind].hexdigest()}").read_bytes() == CONTENT


def test_a_changed_file_in_the_cache_is_noticed(serve):
    server = serve()
    path = get(server.url)
    path.write_bytes(b"changed")
    with pytest.raises(MiadError, match="Delete it"):
        get(server.url)


def test_a_refused_connection_names_the_remedy(serve):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/train.csv"
    waits = []
    with pytest.raises(MiadError, match=r"no connection.*dataset\.files\.train: /path/to/the/file"):
        get(url, waits, attempts=3)
    assert len(waits) == 2


def test_a_file_put_in_the_cache_by_hand_needs_no_network(serve):
    url = "https://nowhere.invalid/train.csv"
    cache_path(url).parent.mkdir(parents=True)
    cache_path(url).write_bytes(CONTENT)
    assert get(url).read_bytes() == CONTENT


def test_a_file_that_never_ends_is_refused(serve, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 1000)
    server = serve()
    with pytest.raises(MiadError, match="larger"):
        get(server.url)
    assert [path.suffix for path in cache_path(server.url).parent.iterdir()] == [".lock"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "/etc/passwd", "train.csv"])
def test_only_http_is_fetched(serve, url):
    assert not is_url(url)
    with pytest.raises(MiadError, match="neither a file nor"):
        get(url)


@pytest.mark.parametrize(
    "last", ["..", "../../etc/passwd", "%2e%2e%2f", ".bashrc", "", "a" * 500, "x?y=/../z", "a\x00b"]
)
def test_no_url_reaches_outside_the_cache(serve, last, tmp_path):
    path = cache_path(f"https://host/{last}")
    assert path.parent == tmp_path / "cache"
    assert not path.name.startswith(".")
    assert len(path.name) < 100
    assert path != cache_path(f"https://host/other/{last}")


def test_a_cache_that_cannot_be_written_names_the_variable(serve, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MIAD_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MiadError, match="MIAD_CACHE"):
        get("http://127.0.0.1:1/x")
