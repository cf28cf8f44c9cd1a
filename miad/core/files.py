"""Files: atomic writing, gzip by name, checksums, caches."""

import contextlib
import csv
import errno
import fcntl
import glob
import gzip
import hashlib
import io
import lzma
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePath

from miad.core.errors import MiadError

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}")
_ODD = re.compile(r"[^A-Za-z0-9._+-]+")
# Errors of a full disk, an exhausted quota and a limit on file sizes; safetensors has them in words only.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Errors of reading a file that is torn, no text, or packed in a way that cannot be undone.
DAMAGED = (
    OSError,
    EOFError,
    UnicodeDecodeError,
    RuntimeError,  # a zip with a password
    NotImplementedError,  # a zip packed in a way that Python does not know
    csv.Error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
# How files begin that stand in the place of data, and what to do about them.
_STAND_INS = {
    rb"(\xef\xbb\xbf)?\s*version https://git-lfs": "the pointer of Git LFS to a file. Get the file: git lfs pull.",
    rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?<(!doctype\s+)?html": "a page of the web. Download the file itself.",
    rb"\xff\xfe|\xfe\xff": "text in UTF-16. Convert it: iconv --from-code=UTF-16 --to-code=UTF-8.",
}


def file_name(identity: str) -> str:
    """The name under which files and folders of a crystal are kept: its id, if that is a plain name.

    Any other id, such as `../../etc`, an absolute path or an empty one, becomes its harmless letters, `~` and a digest
    of it. A plain name has no `~`, so that two ids never share a name, and no name reaches outside its folder.
    """
    if _PLAIN.fullmatch(identity):
        return identity
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{plain_name(identity)[:60] or 'crystal'}~{digest}"


def plain_name(text: str) -> str:
    """The text with `_` for whatever a file name had better not hold; different texts may become the same."""
    return _ODD.sub("_", text).strip(".-_")


def is_hidden(path: PurePath) -> bool:
    """Whether a file is hidden, or in the folder of copies that macOS adds to archives, by its path."""
    return any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in path.parts)


@contextlib.contextmanager
def atomic_path(path: Path, keep: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` only if the block succeeds.

    Readers therefore see the old file or the new one, never half of either, also after kill -9.
    The temporary file keeps the suffixes of `path`, because many writers choose a format by them. The file that was
    there is renamed to `keep` just before; a kill between the two leaves `keep` alone.
    """
    path = Path(path)
    with _temporary(path, is_folder=False) as temporary:
        yield temporary
        sync(temporary)
        # mkstemp makes private files; results are shared with a group as any other file is.
        temporary.chmod(0o666 & ~_umask())
        if keep is not None:
            with contextlib.suppress(FileNotFoundError):
                path.replace(keep)
        temporary.replace(path)
        sync(path.parent)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """The same for a folder of files; the old one, if any, is removed just before the new one takes its place."""
    path = Path(path)
    with _temporary(path, is_folder=True) as temporary:
        yield temporary
        for file in temporary.iterdir():
            sync(file)
        temporary.chmod(0o777 & ~_umask())
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
        sync(path.parent)


@contextlib.contextmanager
def _temporary(path: Path, *, is_folder: bool) -> Iterator[Path]:
    """A temporary neighbour of `path`, locked while this process lives; those of killed processes are removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix, suffix = f".tmp-{path.name}-", "".join(path.suffixes[-2:])
    for leftover in path.parent.glob(glob.escape(prefix) + "*"):
        _remove_unless_locked(leftover)
    while True:
        if is_folder:
            temporary = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=path.parent))
            handle = os.open(temporary, os.O_RDONLY)
        else:
            handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=path.parent)
            temporary = Path(name)
        with contextlib.suppress(OSError):  # a file system without locks; leftovers stay there
            fcntl.flock(handle, fcntl.LOCK_EX)
        if temporary.exists():  # another process did not remove it as a leftover before it was locked
            break
        os.close(handle)
    try:
        yield temporary
    finally:
        os.close(handle)
        _remove(temporary)


def _remove_unless_locked(leftover: Path) -> None:
    with contextlib.suppress(OSError):  # locked, or removed by someone else
        handle = os.open(leftover, os.O_RDONLY if leftover.is_dir() else os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(leftover)
        finally:
            os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk: also for the other nodes of a cluster."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems know no such thing for folders
            raise
    finally:
        os.close(handle)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def is_out_of_space(error: BaseException) -> bool:
    """Whether an error says that the disk is full, the quota exhausted, or a file larger than allowed."""
    in_words = re.search(r"os error (\d+)", str(error))
    return (getattr(error, "errno", None) or (int(in_words[1]) if in_words else None)) in _NO_SPACE


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, compressed if the name ends in .gz."""
    with atomic_path(path) as temporary:
        if Path(path).suffix == ".gz":
            # No name and no time stamp in the header: the same text gives the same bytes.
            with temporary.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
                packed.write(text.encode())
        else:
            temporary.write_text(text, encoding="utf-8")


class Unpacked(gzip.GzipFile):
    """A gzip file to be read, which refuses to be a bomb: a few bytes that would fill the memory.

    Raises:
        MiadError: on reading, once it has unpacked to more than any text does.
    """

    MOST = 1 << 26  # bytes that any file may unpack to
    RATIO = 250  # unpacked over packed bytes; crystals as text have 3 to 20, a bomb a thousand

    def __init__(self, path: Path, packed: bytes | None = None) -> None:
        """A file, or the content of one that has no path of its own."""
        self._label = path
        self._limit = self.limit(Path(path).stat().st_size if packed is None else len(packed))
        self._unpacked = 0
        super().__init__(path, "rb", fileobj=None if packed is None else io.BytesIO(packed))

    @classmethod
    def limit(cls, num_packed: int) -> int:
        """Bytes that so many packed ones may become, in any format that packs."""
        return max(cls.MOST, cls.RATIO * num_packed)

    def read1(self, size: int = -1) -> bytes:
        """The next bytes, counted."""
        return self._counted(super().read1(size))

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, or all that is left."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read1(1 << 20), b""))
        return self._counted(super().read(min(size, self._limit - self._unpacked + 1)))

    def readline(self, size: int | None = -1) -> bytes:
        """The next line, or its first `size` bytes."""
        most = self._limit - self._unpacked + 1
        return self._counted(super().readline(most if size is None or size < 0 else min(size, most)))

    def _counted(self, block: bytes) -> bytes:
        self._unpacked += len(block)
        if self._unpacked > self._limit:
            raise MiadError(f"{self._label} unpacks to more than {self.RATIO} times its size. Refused: no text does.")
        return block


def open_text(path: Path) -> io.TextIOWrapper:
    """Open a text file for reading, plain or gzipped (told by its first bytes, not its name); skips a byte order mark.

    Raises:
        MiadError: the file does not exist, is a folder, or a stand-in for data; on reading, if it is a gzip bomb.
    """
    path = Path(path)
    if not path.is_file():
        raise MiadError(f"{path} does not exist or is not a file. Check the path.")
    refuse_stand_in(path)
    with path.open("rb") as probe:
        is_gzip = probe.read(2) == b"\x1f\x8b"
    return io.TextIOWrapper(Unpacked(path), encoding="utf-8-sig") if is_gzip else path.open(encoding="utf-8-sig")


def refuse_stand_in(path: Path) -> None:
    """Refuse what a download or an export left in the place of data: a pointer of Git LFS, a web page, UTF-16."""
    with path.open("rb") as file:
        start = file.read(1024)
    if found := next((told for pattern, told in _STAND_INS.items() if re.match(pattern, start, re.IGNORECASE)), None):
        raise MiadError(f"{path} is {found}")


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file, plain or gzipped, each with its number, from 1 on.

    Raises:
        MiadError: there is no such file, it is no text, or torn.
    """
    number = 0
    with open_text(path) as lines:
        try:
            for number, line in enumerate(lines, 1):
                yield number, line
        except DAMAGED as error:
            raise MiadError(
                f"{path} is damaged after line {number} ({error}). Delete it and rerun the step that wrote it, or get"
                " it again."
            ) from error


def checksum(path: Path, kind: str) -> str:
    """Hex digest of a file: `sha256`, `md5`, or `git` (the blob id: SHA-1 of `blob <size>\\0` and the content)."""
    if kind not in ("sha256", "md5", "git"):
        raise MiadError(f"unknown checksum '{kind}': use sha256:…, md5:… or git:… (a git blob id).")
    digest = hashlib.new("sha1" if kind == "git" else kind, usedforsecurity=False)
    if kind == "git":
        digest.update(b"blob %d\0" % Path(path).stat().st_size)
    with Path(path).open("rb") as content:
        return hashlib.file_digest(content, lambda: digest).hexdigest()


def verify(path: Path, expected: str, *, remedy: str) -> None:
    """Compare a file with a named checksum such as `md5:60d1…`; a MiadError, with the remedy, if they differ."""
    kind, _, wanted = expected.partition(":")
    found = checksum(path, kind)
    if found != wanted.lower():
        raise MiadError(f"{path} has {kind} {found}, expected {wanted}. {remedy}")


def cache_folder() -> Path:
    """Folder of files that can be made or downloaded again: $MIAD_CACHE, or ~/.cache/miad.

    Raises:
        MiadError: the first is not set, and the user has no home folder, as in a container without an account.
    """
    try:
        return Path(os.environ.get("MIAD_CACHE") or Path.home() / ".cache" / "miad")
    except RuntimeError as error:
        raise MiadError("you have no home folder to keep files in. Set MIAD_CACHE to a folder of yours.") from error
