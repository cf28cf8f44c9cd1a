"""Downloads that resume, retry and verify, kept in one folder for all projects of a user."""

import contextlib
import errno
import fcntl
import hashlib
import http.client
import logging
import math
import os
import re
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import miad
from miad.core.errors import MiadError
from miad.core.files import cache_folder, is_out_of_space, sync, verify
from miad.core.redact import without_secrets
from miad.machine.progress import track

ATTEMPTS = 5  # in a row without a new byte
TIMEOUT = 30.0  # seconds without an answer
BLOCK = 1 << 20  # bytes, the unit of the progress bar
MAX_BYTES = 16 << 30  # no published file that we know of is a tenth of this
MAX_SECONDS = 6 * 3600.0  # for one file with all attempts; a server that sends a byte now and then ends there
_TOO_LARGE = f"it is larger than {MAX_BYTES >> 30} GiB; that cannot be the file."
_PASSING = (408, 425, 429)  # client errors that go away by themselves, as all server errors may
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)  # these do not

_PLAIN_URL = re.compile(r"https?://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?([/?#][!-~]*)?")

log = logging.getLogger("miad")


class _Cut(OSError):
    """The connection ended before the file did."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a publisher to another address, but not from https to http, or to what is neither."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        """The request to the new address."""
        schemes = ("https",) if req.type == "https" else ("http", "https")
        if (to := urllib.parse.urlsplit(newurl).scheme) not in schemes:
            said = f"and leads from {req.type} to {to or 'nowhere'}, which is refused"
            raise urllib.error.HTTPError(newurl, code, said, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_open = urllib.request.build_opener(_Redirects).open


def is_url(text: str) -> bool:
    """Whether `text` is an http(s) address rather than a path."""
    return text.startswith(("http://", "https://"))


def cache_path(url: str) -> Path:
    """Place of the file behind `url` in the cache folder.

    The name is a digest and the harmless letters of the last part of the URL, so no URL reaches outside the folder.
    """
    last = urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1]
    readable = re.sub(r"[^A-Za-z0-9._-]", "_", last).lstrip(".")[-60:]
    return cache_folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:10]}-{readable or 'file'}"


def fetch(
    url: str,
    *,
    checksum: str | None,
    setting: str,
    attempts: int = ATTEMPTS,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """The local copy of a published file, downloaded unless it is in the cache already.

    A download that was cut, also by a kill, goes on where it stopped. The file appears under its name only when it
    is whole and its checksum is right. Two processes that want the same file download it once.

    Args:
        url: http(s) address.
        checksum: `sha256:…`, `md5:…` or `git:…`; None accepts what comes.
        setting: the key of config.yaml where a user could give a local path instead, e.g. `dataset.files.train`.
        attempts: how often to try in a row without a new byte.
        sleep: waits between attempts, in seconds; 1, 2, 4, … up to 60.

    Raises:
        MiadError: not an http(s) URL, no network, refused, not found, cut too often, or a wrong checksum; names the
            URL, the reason and how to give the file by hand.
    """
    if not is_url(url):
        raise MiadError(
            f"{setting}: {without_secrets(url)} is neither a file nor an http(s) URL. Correct {setting} in config.yaml."
        )
    if not _PLAIN_URL.fullmatch(url):  # the library would repeat it, with its password, in the message
        raise MiadError(
            f"{setting}: {without_secrets(url)} has a login, an odd port, spaces or odd letters. Write %20 and the"
            " like, or download it yourself and give its path."
        )
    target, named = cache_path(url), without_secrets(url)
    by_hand = (
        f"If this machine cannot reach it, get the file elsewhere and either write `{setting}: /path/to/the/file` in"
        f" config.yaml, or put it at {target}."
    )
    if not target.is_file():
        with _locked(target) as partial:
            if not target.is_file():  # another process has not brought it in the meantime
                _bring(url, target, partial, checksum, by_hand, attempts, sleep)
                return target
    if checksum:
        verify(target, checksum, remedy=f"Delete it and {named} is downloaded again.")
    return target


def local_copy(source: str, checksum: str | None, setting: str, checksum_setting: str = "") -> Path:
    """The local file of a path or URL, verified; a MiadError with the keys of config.yaml if there is none."""
    if is_url(source):
        return fetch(source, checksum=checksum, setting=setting)
    path = Path(source)
    if not path.is_file():
        raise MiadError(
            f"{setting}: {source} does not exist or is not a file. Correct it in config.yaml, or the flag of `miad"
            " evaluate`; it may be a path or a URL."
        )
    if checksum is not None:
        verify(path, checksum, remedy=f"Get the file again, or correct {checksum_setting} in config.yaml.")
    return path


def _bring(
    url: str,
    target: Path,
    partial: Path,
    checksum: str | None,
    by_hand: str,
    attempts: int,
    sleep: Callable[[float], None],
) -> None:
    """Download `partial` and give it its name; see `fetch`."""
    try:
        if checksum is None:
            partial.write_bytes(b"")  # nothing could tell a stale beginning from a fresh end
        _download(url, partial, checksum, attempts, sleep)
        sync(partial)
        partial.replace(target)
        sync(target.parent)
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: an address that the server leads to
        if is_out_of_space(error):
            raise  # the command line says what to do
        raise MiadError(f"could not download {without_secrets(url)}: {_reason(error)}. {by_hand}") from error
    except MiadError as error:
        raise MiadError(f"downloaded {without_secrets(url)}, but {error} {by_hand}") from error


def _reason(error: Exception) -> str:
    """Reason of a failed request, in few words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"no connection ({error.reason})"
    return f"{type(error).__name__}: {error}" if not isinstance(error, _Cut) else str(error)


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[Path]:
    """The partial file beside `target`, held by this process alone.

    Where the file system knows no locks, or the lock is another user's, this process has a partial file of its own.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        probe = target.with_name(f"{target.name}.{socket.gethostname()}-{os.getpid()}.part")
        probe.touch()
        probe.unlink()
    except OSError as error:
        if is_out_of_space(error):
            raise
        raise MiadError(
            f"cannot write to {target.parent} ({error.strerror}). Set MIAD_CACHE to a folder that you can write to."
        ) from error
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(target.with_name(target.name + ".lock").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            log.info("%s cannot be locked (%s); it is downloaded for this process alone", target, error.strerror)
            stack.callback(probe.unlink, missing_ok=True)
            yield probe
        else:
            yield target.with_name(target.name + ".part")


def _download(url: str, partial: Path, checksum: str | None, attempts: int, sleep: Callable[[float], None]) -> None:
    """Fill `partial` until it is whole and right; raise the last error after `attempts` fruitless ones."""
    fruitless, furthest, until = 0, _size(partial), time.monotonic() + MAX_SECONDS
    is_stale = furthest > 0  # it began in an earlier process, perhaps with other bytes
    while True:
        try:
            _attempt(url, partial, until, is_verified=checksum is not None)
            try:
                if checksum is not None:
                    verify(partial, checksum, remedy="The publisher has changed it, or something on the way has.")
                return
            except MiadError:
                partial.unlink()
                if not is_stale:
                    raise
            is_stale, furthest = False, 0
            log.info("%s: the resumed file has a wrong checksum; starting afresh", without_secrets(url))
        except (OSError, http.client.HTTPException) as error:
            fruitless, furthest = (0, _size(partial)) if _size(partial) > furthest else (fruitless + 1, furthest)
            if not _may_pass(error) or fruitless >= attempts:
                raise
            wait = min(2.0**fruitless, 60.0)
            log.info("%s: %s; trying again in %.0f s", without_secrets(url), _reason(error), wait)
            sleep(wait)


def _may_pass(error: Exception) -> bool:
    """Whether trying again could help."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in _PASSING or error.code >= 500
    return getattr(error, "errno", None) not in _OF_THE_DISK


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _attempt(url: str, partial: Path, until: float, *, is_verified: bool) -> None:
    """One request, from where `partial` ends; a MiadError at the time `until`, or where no end can be told."""
    start = _size(partial)
    headers = {"User-Agent": f"miad/{miad.__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (fetch lets only http and https through)
    try:
        answer = _open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        total = error.headers.get("Content-Range", "").rpartition("/")[2]
        if total == str(start):
            return  # it was whole already
        partial.unlink()
        raise _Cut("the partial file does not fit the published one; starting afresh") from error
    with answer:
        continues = answer.status == http.client.PARTIAL_CONTENT
        if continues and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            partial.unlink()
            raise _Cut("the server continued at another place; starting afresh")
        start = start if continues else 0
        length = answer.headers.get("Content-Length", "")
        whole = start + int(length) if length.isascii() and length.isdigit() else None
        if whole is None and not answer.chunked and not is_verified:
            raise MiadError(
                "the server does not say how long it is: a part of it would pass for the whole. Give its checksum."
            )
        if whole is not None and whole > MAX_BYTES:
            raise MiadError(_TOO_LARGE)
        _receive(answer, partial, start, whole, until)


def _blocks(answer: http.client.HTTPResponse, until: float) -> Iterator[bytes]:
    """The body of an answer in blocks of `BLOCK` bytes, until the time `until`."""
    gathered = bytearray()
    while received := answer.read1(BLOCK):
        if time.monotonic() > until:
            raise MiadError(f"it has not come within {MAX_SECONDS / 3600:g} hours.")
        gathered += received
        if len(gathered) >= BLOCK:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def _receive(answer: http.client.HTTPResponse, partial: Path, start: int, total: int | None, until: float) -> None:
    """Write the body of an answer behind the first `start` bytes of `partial`."""
    with partial.open("ab" if start else "wb") as file:
        blocks = max(1, math.ceil((total - start) / BLOCK)) if total is not None else None
        name = partial.name.removesuffix(".part")
        for block in track(_blocks(answer, until), what=f"MiB of {name}", total=blocks):
            file.write(block)
            if file.tell() > MAX_BYTES:
                partial.unlink()
                raise MiadError(_TOO_LARGE)
        received = file.tell()
    if total is not None and received != total:
        raise _Cut(f"the connection was cut after {received} of {total} bytes")
