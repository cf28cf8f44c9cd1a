"""Files are whole or absent, whoever dies when."""

import gzip
import hashlib
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

from miad.core.errors import MiadError
from miad.core.files import (
    atomic_folder,
    atomic_path,
    checksum,
    file_name,
    is_out_of_space,
    open_text,
    verify,
    write_text,
)


def test_a_failing_block_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "out.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_the_file_appears_only_at_the_end_with_usual_permissions_and_suffixes(tmp_path):
    path = tmp_path / "new" / "out.jsonl.gz"
    with atomic_path(path) as temporary:
        temporary.write_text("x")
        assert not path.exists()
        assert temporary.name.endswith(".jsonl.gz")
        assert temporary.parent == path.parent
    assert path.read_text() == "x"
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


PROGRAM = """import sys, time
from miad.core.files import atomic_folder, atomic_path
from tests.builders import ROOT
with {}(sys.argv[1]) as temporary:
    (temporary / "part" if temporary.is_dir() else temporary).write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["atomic_path", "atomic_folder"])
def test_kill_9_in_the_middle_keeps_the_old_and_the_next_writer_tidies_up(tmp_path, kind):
    path = tmp_path / "out.txt"
    manager = {"atomic_path": atomic_path, "atomic_folder": atomic_folder}[kind]

    def write(text):
        with manager(path) as temporary:
            (temporary / "part" if kind == "atomic_folder" else temporary).write_text(text)

    def text():
        return (path / "part" if kind == "atomic_folder" else path).read_text()

    write("old")
    process = subprocess.Popen([sys.executable, "-c", PROGRAM.format(kind), str(path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    write("newer")  # what another process is still writing stays
    assert len(os.listdir(tmp_path)) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert text() == "newer"
    assert len(os.listdir(tmp_path)) == 2
    write("newest")
    assert os.listdir(tmp_path) == ["out.txt"]
    assert text() == "newest"


def test_a_limit_on_space_is_told_from_other_errors(tmp_path):
    with pytest.raises(OSError) as full, open("/dev/full", "w") as file:
        file.write("x")
    assert is_out_of_space(full.value)
    assert not is_out_of_space(FileNotFoundError(2, "No such file"))
    assert not is_out_of_space(ValueError("os"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(Exception, match="os error") as limited:  # of a class of their own
            save_file({"a": np.zeros(1000)}, tmp_path / "a.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert is_out_of_space(limited.value)


def test_gzip_gives_the_same_bytes_at_any_time_under_any_name(tmp_path, monkeypatch):
    write_text(tmp_path / "a.jsonl.gz", "Zeile äöü\n" * 100)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    write_text(tmp_path / "b.jsonl.gz", "Zeile äöü\n" * 100)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).decode() == "Zeile äöü\n" * 100


def test_text_is_opened_by_content_not_by_name(tmp_path):
    (tmp_path / "plain.gz").write_text("plain")
    (tmp_path / "packed.txt").write_bytes(gzip.compress(b"packed"))
    (tmp_path / "empty").touch()
    for name, content in (("plain.gz", "plain"), ("packed.txt", "packed"), ("empty", "")):
        with open_text(tmp_path / name) as text:
            assert text.read() == content
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(MiadError, match="does not exist or is not a file"):
            open_text(path)


def test_checksums_known_from_elsewhere(tmp_path):
    path = tmp_path / "hello"
    path.write_bytes(b"hello\n")
    # git hash-object, md5sum, sha256sum of "hello\n"
    assert checksum(path, "git") == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert checksum(path, "md5") == "b1946ac92492d2347c6235b4d2611184"
    assert checksum(path, "sha256") == hashlib.sha256(b"hello\n").hexdigest()
    verify(path, "md5:B1946AC92492D2347C6235B4D2611184", remedy="")
    with pytest.raises(MiadError, match=r"hello has md5 b194.*expected 0000.*Do this\."):
        verify(path, "md5:0000", remedy="Do this.")
    for unknown in ("crc32:00", "b1946ac92492d2347c6235b4d2611184", "sha1:00"):
        with pytest.raises(MiadError, match="unknown checksum"):
            verify(path, unknown, remedy="")


HOSTILE = [
    "",
    ".",
    "..",
    "../../x",
    "/etc/x",
    "a/b",
    "a\\b",
    "a b",
    "-rf",
    ".hidden",
    "ä",
    "a\0b",
    "a\nb",
    "\ud800",
    "x" * 300,
]


@pytest.mark.parametrize("identity", HOSTILE)
def test_a_file_name_is_one_harmless_part_of_a_path(identity, tmp_path):
    name = file_name(identity)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-~")
    assert 0 < len(name) <= 100 and name[0] not in ".-~" and (tmp_path / name).parent == tmp_path
    (tmp_path / name).mkdir()
    assert name == file_name(identity) and [one.name for one in tmp_path.iterdir()] == [name]


def test_file_names_of_two_ids_are_never_the_same():
    ids = [*HOSTILE, "a_b", "a.b", "etc_x", file_name("a b"), file_name("")]
    assert len({file_name(one) for one in ids}) == len(ids)


@pytest.mark.parametrize("identity", ["miad-000-00001", "mp-149", "a.b+c_d", "_x"])
def test_plain_ids_name_their_files_themselves(identity):
    assert file_name(identity) == identity
