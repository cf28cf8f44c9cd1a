"""Kills at random moments, a full disk and two runs at once end in the same bytes as peace does: make test-chaos.

SIGKILL hits a step, a worker of one, or snakemake and all its steps at once. After each one, whatever lies under its
final name must be the file of the undisturbed run: nothing half-written can be read, at any moment. MIAD_CHAOS_SEED
repeats the moments of a run as far as the machine's pace allows; MIAD_CHAOS_KILLS changes their number.
"""

import contextlib
import math
import os
import random
import re
import resource
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.builders.at_work import processes
from tests.builders.tiny import Project

pytestmark = pytest.mark.chaos
STEPS = ("dataset", "infuse", "hull", "train", "sample", "relax", "sun", "candidates", "table")
STEPS += ("compare", "figures", "report", "export")
KILLS = int(os.environ.get("MIAD_CHAOS_KILLS", "4"))  # of each step
WORKERS = 6  # workers of steps that are killed, one of each process of a step
CRASHES = 4  # of snakemake with everything that it has started
TABLE = "results/sun_table.csv"
# What the rules promise; times are in logs, in the loss curve and what shows it, and in the entries of tensorboard.
OUTPUTS = (
    "results/sun_table.*",
    "results/*/candidates.csv",
    "results/*/ledger.csv",
    "results/*/*.parquet",
    "results/*/cif/*.cif",
    "results/*/dataset/*.jsonl.gz",
    "results/*/infuse/*.safetensors",
    "results/*/hull/*.csv.gz",
    "results/*/train/model.*",
    "results/*/sample/*.jsonl",
    "results/*/sample/*.safetensors",
    "results/*/relax/*/*.jsonl",
    "results/*/sun/*/*.json*",
    "results/*/export/*",
    "results/*/export/generated/*.cif",
    "results/figures/[!l]*.csv",
    "results/figures/[!l]*.svg",
    "results/tables/*",
)


class Chaos:
    """A run that is disturbed, beside what an undisturbed one gave.

    Args:
        project: the workflow to run.
        expected: {path: bytes} of the undisturbed run.
        seconds: how long each step took there.
        generator: of the moments.
    """

    def __init__(self, project: Project, expected: dict, seconds: dict[str, float], generator: random.Random) -> None:
        self.project, self.expected, self.seconds, self.generator = project, expected, seconds, generator
        self.kills: Counter[str] = Counter()
        self.crashes = self.workers = 0

    def check(self) -> None:
        """Nothing but whole files under final names."""
        for name, content in self.expected.items():
            with contextlib.suppress(FileNotFoundError):
                assert (self.project.folder / name).read_bytes() == content, f"{name} is not what it should be"

    def wanted(self) -> list[str]:
        """Steps that have not been killed often enough."""
        return [step for step in STEPS if self.kills[step] < KILLS or (step == "relax" and self.workers < WORKERS)]

    def run(self, *options: str) -> tuple[int, str]:
        """One snakemake, steps killed at random moments of their lives until each has had its share."""
        process = self.project.start("snakemake", "--retries", "99", "all", *options)
        crash_at = None
        if self.crashes < CRASHES:
            crash_at = time.monotonic() + self.generator.uniform(0.2, 1.0) * sum(self.seconds.values())
        moments: dict[int, float] = {}
        of_workers: dict[int, float] = {}
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(drained(process))
            while process.poll() is None:
                self._kill_what_is_due(moments)
                self._kill_a_worker(of_workers)
                if crash_at is not None and time.monotonic() > crash_at:
                    os.killpg(process.pid, signal.SIGKILL)
                    self.crashes += 1
                    self.check()
                    break
                time.sleep(0.01)
            process.wait()
        return process.returncode, "".join(output)

    def _kill_what_is_due(self, moments: dict[int, float]) -> None:
        now = time.monotonic()
        for pid, step in running(self.project).items():
            if pid not in moments:
                moments[pid] = now + self.generator.uniform(0, 0.95) * self.seconds[step]
            if self.kills[step] < KILLS and now > moments[pid]:
                moments[pid] = float("inf")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.kills[step] += 1
                    self.check()

    def _kill_a_worker(self, moments: dict[int, float]) -> None:
        """One of each process of a step, some time after they have been started."""
        now = time.monotonic()
        for pid, step in running(self.project).items():
            found = workers(pid)
            if found and pid not in moments:
                moments[pid] = now + self.generator.uniform(0, 0.7) * self.seconds[step]
            if found and self.workers < WORKERS and now > moments[pid]:
                moments[pid] = math.inf
                with contextlib.suppress(psutil.NoSuchProcess):
                    self.generator.choice(found).kill()
                    self.workers += 1
                    self.check()


def workers(pid: int) -> list[psutil.Process]:
    """The worker processes of a step."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        found += [one for one in psutil.Process(pid).children() if "spawn_main" in str(one.cmdline())]
    return found


def run_twice_at_once(chaos: Chaos, target: str) -> None:
    """Of two snakemakes that are started at once one does the work, and the other says why it does not."""
    both = [chaos.project.start("snakemake", target) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(drained(process)) for process in both]
        codes = [process.wait() for process in both]
    said = ["".join(lines) for lines in outputs]
    assert codes.count(0) == 1, said
    refused = said[1 - codes.index(0)]
    assert re.search("is at work in|cannot be locked|Another (snakemake|make)", refused), refused
    assert (chaos.project.folder / target).read_bytes() == chaos.expected[target]
    chaos.check()


def running(project: Project) -> dict[int, str]:
    """{process id: step} of the steps at work in a project, without the shells around them."""
    found = {}
    for pid, words in processes(project.folder).items():
        if words[1:3] == ["-m", "miad"] and words[3] in STEPS:
            found[pid] = words[3]
    return found


@contextlib.contextmanager
def drained(process: subprocess.Popen) -> Iterator[list[str]]:
    """The output of a process, read all the while so that it never waits for us."""
    lines: list[str] = []
    thread = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    thread.start()
    yield lines
    thread.join(timeout=60)


def undisturbed(project: Project) -> dict[str, float]:
    """Run everything in peace; how long each step took, in seconds."""
    process = project.start("snakemake", "all")
    seconds = dict.fromkeys(STEPS, 0.3)
    since: dict[int, float] = {}
    with drained(process) as output:
        while process.poll() is None:
            now = time.monotonic()
            for pid, step in running(project).items():
                seconds[step] = max(seconds[step], now - since.setdefault(pid, now))
            time.sleep(0.02)
    assert process.returncode == 0, "".join(output)
    return seconds


def disk(folder: Path) -> bool:
    """Make a folder a small disk of its own; whether that was possible."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder]
    return os.getuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path) -> Iterator[tuple[Path, bool]]:
    """A folder, and whether it is a disk that can be filled."""
    folder = tmp_path / "disk"
    is_mounted = disk(folder)
    yield folder, is_mounted
    if is_mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def run_out_of_space(chaos: Chaos, step: str, is_disk: bool) -> str:
    """Fill the disk when a step begins; what snakemake said before it gave up."""
    project = chaos.project
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not is_disk:  # a quota of another kind: no file may be larger than this
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        process = project.start("snakemake", TABLE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    ballast = project.folder / "ballast"
    with drained(process) as output:
        while process.poll() is None:
            if is_disk and not ballast.exists() and step in running(project).values():
                fill(ballast)
            time.sleep(0.02)
    assert process.returncode != 0, "".join(output)
    chaos.check()
    ballast.unlink(missing_ok=True)
    return "".join(output)


def fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 12))


def test_whatever_is_killed_the_results_are_the_same_bytes(tmp_path, small_disk):
    seed = int(os.environ.get("MIAD_CHAOS_SEED", time.time_ns() % 10**6))
    start = time.monotonic()
    (tmp_path / "peace").mkdir()
    peace = Project.create(tmp_path / "peace")
    seconds = undisturbed(peace)
    folder, is_disk = small_disk
    chaos = Chaos(Project.create(folder), peace.contents(*OUTPUTS), seconds, random.Random(seed))  # noqa: S311
    assert len(chaos.expected) > 60 and TABLE in chaos.expected

    step = chaos.generator.choice(["dataset", "infuse", "hull", "train"])
    said = run_out_of_space(chaos, step, is_disk)
    assert re.search("No space left|os error (28|27)|File too large|no space is left", said), said

    run_twice_at_once(chaos, "results/miad/train/model.safetensors")

    rounds, code = 0, None
    while chaos.wanted() or chaos.crashes < CRASHES or code != 0:
        rounds += 1
        assert rounds < 60, f"kills do not come about: {chaos.kills}"
        if rounds > 1:
            cancelled, said = chaos.project.run("python", "-m", "miad", "cancel")
            assert cancelled == 0, said
        again = ["--forcerun", *chaos.wanted()] if (folder / TABLE).exists() else []
        code, output = chaos.run(*again)
        assert code in (0, -signal.SIGKILL), output
    final = chaos.project.contents(*OUTPUTS)
    assert final.keys() == chaos.expected.keys()
    chaos.check()
    litter = [path for path in (folder / "results").rglob(".*") if not path.name.startswith(".snakemake")]
    assert litter == [], "left by killed steps and never removed"
    code, output = chaos.project.run("snakemake", "all")
    assert code == 0 and "Nothing to be done" in output
    print(
        f"\nseed {seed}: {sum(chaos.kills.values())} kills of steps {dict(chaos.kills)}, {chaos.workers} of workers,"
        f" {chaos.crashes} crashes of everything, a full disk in {step}, two runs at once;"
        f" {len(final)} files the same, {time.monotonic() - start:.0f} s"
    )
