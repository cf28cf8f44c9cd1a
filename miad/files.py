"""Files that are either whole or absent: atomic writing, gzip by name, checksums."""

import contextlib
import gzip
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from miad.errors import MiadError


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` only if the block succeeds.

    Readers therefore see the old file or the new one, never half of either, also after kill -9.
    The temporary file keeps the suffixes of `path`, because many writers choose a format by them.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".tmp-", suffix="".join(path.suffixes[-2:]), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        # mkstemp makes private files; results are shared with a group as any other file is.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, compressed if the name ends in .gz."""
    with atomic_path(path) as temporary:
        if Path(path).suffix == ".gz":
            # No name and no time stamp in the header: the same text gives the same bytes.
            with temporary.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
                packed.write(text.encode())
        else:
            temporary.write_text(text, encoding="utf-8")


def open_text(path: Path) -> IO[str]:
    """Open a text file for reading, plain or gzipped (told by its first bytes, not its name).

    Raises:
        MiadError: the file does not exist or is a folder.
    """
    path = Path(path)
    if not path.is_file():
        raise MiadError(f"{path} does not exist or is not a file. Check the path.")
    with path.open("rb") as probe:
        is_gzip = probe.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8") if is_gzip else path.open(encoding="utf-8")


def checksum(path: Path, kind: str) -> str:
    """Hex digest of a file.

    Args:
        path: the file.
        kind: `sha256`, `md5`, or `git` (the blob id: SHA-1 of `blob <size>\\0` and the content).

    Raises:
        MiadError: `kind` is none of these.
    """
    if kind not in ("sha256", "md5", "git"):
        raise MiadError(f"unknown checksum '{kind}': use sha256:…, md5:… or git:… (a git blob id).")
    digest = hashlib.new("sha1" if kind == "git" else kind, usedforsecurity=False)
    if kind == "git":
        digest.update(b"blob %d\0" % Path(path).stat().st_size)
    with Path(path).open("rb") as content:
        for block in iter(lambda: content.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def verify(path: Path, expected: str, *, remedy: str) -> None:
    """Compare a file with a named checksum such as `md5:60d1…`.

    Raises:
        MiadError: it differs; the message names the file, both checksums and `remedy`.
    """
    kind, _, wanted = expected.partition(":")
    found = checksum(path, kind)
    if found != wanted.lower():
        raise MiadError(f"{path} has {kind} {found}, expected {wanted}. {remedy}")
