"""Owners of folders: a record of each process at work in one, by which others see that it lives, and locks.

A process is known by its host, its id and the second in which it started: ids are used again.
"""

import contextlib
import dataclasses
import fcntl
import getpass
import logging
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from miad.core.errors import MiadError
from miad.core.files import write_text
from miad.core.json_text import as_json
from miad.machine.records import NUM_PIDS, are_times, are_whole, are_words, made, read_record

log = logging.getLogger("miad")
# Seconds between two readings of one start: it is told by the clock, which is set meanwhile. One that is set by more
# makes a living process look ended. A wider tolerance would be worse: busy machines use an id again within minutes, and
# the process that has it then would count as the owner, and keep everybody out, for as long as it lives.
TOLERANCE = 60.0


@dataclass(frozen=True)
class Owner:
    """A process that works in a folder.

    Attributes:
        host: name of its machine.
        user: who started it.
        pid: its id there.
        group: its process group.
        since: its start, seconds since 1970.
    """

    host: str
    user: str
    pid: int
    group: int
    since: float

    def __str__(self) -> str:
        """The process in words, for messages."""
        begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.since))
        return f"process {self.pid} of {self.user} on {self.host}, started {begun}"

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine, so that it can be looked for."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; of a process of this machine, whoever's it is.

        One that has ended may keep its id as a zombie, in a container even for ever; it does not run.
        """
        import psutil

        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.since) < TOLERANCE
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:  # also where a system hides the processes of others: then the id is taken
            return psutil.pid_exists(self.pid)
        except psutil.AccessDenied:
            return True

    @classmethod
    def this(cls) -> "Owner":
        """The process that asks."""
        import psutil

        try:
            user = "".join(filter(str.isprintable, getpass.getuser()))  # others are not believed, see `of`
        except (OSError, KeyError):  # a container whose user has no name
            user = f"user {os.getuid()}"
        return cls(socket.gethostname(), user, os.getpid(), os.getpgrp(), psutil.Process().create_time())

    def write(self, path: Path) -> None:
        """Keep the record in a file."""
        write_text(path, as_json(dataclasses.asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "Owner | None":
        """The record in a file; None if there is none, or no sound one."""
        return cls.of(read_record(path))

    @classmethod
    def of(cls, known: Any) -> "Owner | None":
        """The owner of which a record tells; None if it tells of none that there can be."""
        found = made(cls, known)
        if found is None or not are_words(found.host, found.user) or not are_times(found.since):
            return None
        return found if are_whole(found.pid, found.group, below=NUM_PIDS) and found.pid > 0 else None


def recorded(folder: Path) -> dict[Path, Owner]:
    """{file: owner} of all records in a folder."""
    found = {path: Owner.read(path) for path in folder.glob("*.json")}
    return {path: owner for path, owner in found.items() if owner is not None}


def at_work(folder: Path) -> list[Owner]:
    """Owners with a record in a folder that run on this machine, or may run on another one; this process left out.

    Records of processes of this machine that have ended are removed.
    """
    found, me = [], Owner.this()
    for path, owner in recorded(folder).items():
        if owner.is_here and not owner.is_alive:
            with contextlib.suppress(OSError):  # that of another user may have to stay
                path.unlink()
        elif (owner.host, owner.pid) != (me.host, me.pid):
            found.append(owner)
    return found


@contextlib.contextmanager
def locked(path: Path, *, what: str, remedy: str) -> Iterator[None]:
    """Hold a lock that dies with this process; its file says meanwhile who holds it.

    A file system without locks is no obstacle: there, what the file says is all that is known.

    Args:
        what: that is locked, for the message.
        remedy: what to do, for the message.

    Raises:
        MiadError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path) as file:
        holder = Owner.read(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MiadError(f"{what} is in use by {holder or 'another process'}. {remedy}") from error
        except OSError as error:
            if holder is not None and holder.is_here and holder.is_alive and holder.pid != os.getpid():
                raise MiadError(f"{what} is in use by {holder}. {remedy}") from error
            log.warning("%s: no locks on this file system (%s); two runs at once would disturb each other", path, error)
        if file.writable():
            file.truncate(0)
            file.write(as_json(dataclasses.asdict(Owner.this())))
            file.flush()
        try:
            yield
        finally:
            if file.writable():
                file.truncate(0)


def _opened(path: Path) -> TextIO:
    """A file to be locked, never what a link leads to; that of another user of a shared folder can only be read."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
    except PermissionError:
        return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8")
    return open(handle, "a+", encoding="utf-8")
