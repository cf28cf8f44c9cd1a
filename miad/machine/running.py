"""Steps at work in a folder: a small file of each, which a thread of the step keeps up to date and others read.

What is written here is for people who watch. It changes no result, and a folder that cannot be written to is no error.
"""

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from miad.core.files import file_name
from miad.core.json_text import as_json
from miad.machine.os_processes import RUN
from miad.machine.owners import Owner
from miad.machine.records import are_times, are_whole, are_words, made, read_record

PLACE = Path(".snakemake") / "miad_progress"  # below the folder in which snakemake works
LOOK_EVERY = 1.0  # seconds between looks at whether there is something new to write
SIGN_EVERY = 30.0  # seconds between signs of life of a step that has nothing new
SILENT = 180.0  # seconds without a sign after which a step does not count as running
STUCK, STUCK_AT_LEAST = 5.0, 60.0  # times the usual time of an item, and seconds, after which no end can be told
PATIENCE = 5.0  # seconds that the end of a step waits for a disk that hangs


@dataclass(frozen=True)
class Count:
    """Progress of a loop.

    Attributes:
        what: its unit, plural, e.g. `crystals relaxed`.
        done: of them in this session and earlier ones.
        before: of them done in earlier sessions.
        total: of all; None if it is not known.
        seconds: from the beginning of the loop in this session to the last item.
        at: time of the last item, seconds since 1970.
    """

    what: str
    done: int
    before: int
    total: int | None
    seconds: float
    at: float

    @classmethod
    def of(cls, known: Any) -> "Count | None":
        """The count of which a record tells; None if it tells of no sound one."""
        found = made(cls, known)
        if found is None or not are_words(found.what) or not are_times(found.seconds, found.at):
            return None
        total = 0 if found.total is None else found.total
        return found if are_whole(found.done, found.before, total) else None

    def left(self, now: float) -> float | None:
        """Seconds from a time (since 1970) to the end at the rate of this session; None if it cannot be told.

        That is so before the first item, and if the present one takes far longer than the others did.
        """
        fresh = self.done - self.before
        if self.total is None or fresh <= 0:
            return None
        each, rest, idle = self.seconds / fresh, max(self.total - self.done, 0), max(now - self.at, 0.0)
        if rest and idle > STUCK * each + STUCK_AT_LEAST:
            return None
        return max(rest * each - idle, max(rest - 1, 0) * each)


@dataclass(frozen=True)
class Running:
    """A step at work, as its file tells.

    Attributes:
        step: its name on the command line.
        part: run, calculator, shard or chunk, as far as it has them, e.g. `miad/chgnet/0`.
        owner: its process.
        job: number of its Slurm job, or nothing.
        updated: last sign of life, seconds since 1970.
        count: of its present loop; None while it is in none.
    """

    step: str
    part: str
    owner: Owner
    job: str
    updated: float
    count: Count | None

    def is_at_work(self, now: float) -> bool:
        """Whether it runs at a time (seconds since 1970): it has told so lately and, if of this machine, lives."""
        return now - self.updated < SILENT and (not self.owner.is_here or self.owner.is_alive)

    @property
    def name(self) -> str:
        """Name of its file: that of a step done again takes the place of one that was killed."""
        return file_name("-".join([self.step, *self.part.split("/")]).rstrip("-")) + ".json"

    def write(self, folder: Path) -> None:
        """Put the file into a folder; whoever reads meanwhile sees the old one. Not worth a wait for the disk."""
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{self.name}.{self.owner.host}-{self.owner.pid}"
        try:
            temporary.write_text(as_json(dataclasses.asdict(self)), encoding="utf-8")
            temporary.replace(folder / self.name)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> "Running | None":
        """The record in a file; None if there is none, or no sound one."""
        found = made(cls, read_record(path))
        if found is None or not are_words(found.step, found.part, found.job) or not are_times(found.updated):
            return None
        owner, count = Owner.of(found.owner), Count.of(found.count)
        if owner is None or (count is None and found.count is not None):
            return None
        return dataclasses.replace(found, owner=owner, count=count)


def steps_in(folder: Path) -> list[Running]:
    """Records of the steps that work in a folder, or were killed there, by their names."""
    return list(_recorded(folder).values())


def _recorded(folder: Path) -> dict[Path, Running]:
    try:
        found = {path: Running.read(path) for path in sorted((folder / PLACE).glob("*.json"))}
    except OSError:
        return {}
    return {path: one for path, one in found.items() if one is not None}


def forget(folder: Path, *, is_idle: bool = False) -> None:
    """Remove the records of steps that do not run any more; of all, if the folder is known to be idle.

    A step that runs after all writes its record again within half a minute.
    """
    for path, one in _recorded(folder).items():
        if is_idle or not one.is_at_work(time.time()):
            with contextlib.suppress(OSError):
                path.unlink()


@dataclass(eq=False)
class Reporter:
    """Keeps the file of this process's step up to date, in a thread, so that its loops do no more than count."""

    record: Running
    folder: Path
    count: Count | None = None
    _written: Count | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        """Write whenever there is news, and signs of life in between, until the step has ended."""
        self.tell()
        last = time.monotonic()
        while not self._ended.wait(LOOK_EVERY):
            if self.count is not self._written or time.monotonic() - last >= SIGN_EVERY:
                self.tell()
                last = time.monotonic()
        with contextlib.suppress(OSError):
            path = self.folder / self.record.name
            found = Running.read(path)
            if found is not None and found.owner == self.record.owner:
                path.unlink()

    def tell(self) -> None:
        """Write the file as things stand."""
        self._written = self.count
        with contextlib.suppress(OSError):
            dataclasses.replace(self.record, updated=time.time(), count=self._written).write(self.folder)


_reporter: Reporter | None = None


@contextlib.contextmanager
def reported(step: str, part: str) -> Iterator[None]:
    """Report a step that snakemake has started, while the block runs; of several processes of torchrun the first."""
    global _reporter
    if RUN not in os.environ or os.environ.get("RANK", "0") != "0":
        yield
        return
    record = Running(step, part, Owner.this(), os.environ.get("SLURM_JOB_ID", ""), 0.0, None)
    _reporter = Reporter(record, Path(os.environ[RUN]) / PLACE)
    thread = threading.Thread(target=_reporter.work, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        _reporter._ended.set()
        thread.join(PATIENCE)
        _reporter = None


def report(count: Count) -> None:
    """Take down how far a loop of this process's step is; costs next to nothing."""
    if _reporter is not None:
        _reporter.count = count
