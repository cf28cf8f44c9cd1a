"""Cost of a DFT calculation: core-hours of every start of VASP that left an OUTCAR."""

import gzip
import logging
import re
import tarfile
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path

from miad.core.files import DAMAGED
from miad.dft.vasp.attempts import all_attempts

log = logging.getLogger("miad")
_START = re.compile(r"executed on\s.*\sdate\s+(.+)")
# VASP 5: `running on   16 total cores`; VASP 6: `running    4 mpi-ranks, with    8 threads/rank, on    1 nodes`.
_CORES = re.compile(r"running\s+(?:on\s+)?(\d+)\s+(?:total cores|mpi-ranks)(?:,\s+with\s+(\d+)\s+threads/rank)?")
_LOOP = re.compile(r"LOOP(\+?):.*real time\s*([\d.]+)")
_ELAPSED = re.compile(r"Elapsed time \(sec\):\s*([\d.]+)")


def core_hours(work: Path) -> float | None:
    """Core-hours of a crystal's calculation, or None if no OUTCAR is left.

    Counted are all stages and attempts, those that crashed or were killed, and the runs that custodian ended and set
    aside in error.N.tar.gz, each once: wall time from start to end times ranks times threads per rank. Of a run that
    was killed the time of its finished electronic and ionic steps counts. Time between the starts of VASP does not
    count, nor do cores that the job had but VASP did not use.
    """
    found: dict[str, float] = {}
    for _, folder in all_attempts(work):
        for name, (start, hours) in _runs(folder):
            # Custodian may set one run aside twice, and atomate2 copies the OUTCAR of the stage before.
            key = start or name
            found[key] = max(hours, found.get(key, 0.0))
    return sum(found.values()) if found else None


def spent(lines: Iterable[str]) -> tuple[str | None, float]:
    """Start of a run, as its OUTCAR says, and its core-hours; a line that is torn at the end is left out."""
    start, cores, elapsed, ionic, electronic = None, 1, None, 0.0, 0.0
    try:
        for line in lines:
            if match := _LOOP.search(line):
                # The time of an ionic step holds that of its electronic ones.
                electronic = 0.0 if match[1] else electronic + float(match[2])
                ionic += float(match[2]) if match[1] else 0.0
            elif match := _ELAPSED.search(line):
                elapsed = float(match[1])
            elif start is None and (match := _START.search(line)):
                start = match[1].strip()
            elif match := _CORES.search(line):
                cores = int(match[1]) * int(match[2] or 1)
    except (*DAMAGED, ValueError) as error:
        log.warning("an OUTCAR of %s ends early (%s); its time up to there counts", start, error)
    return start, cores * (ionic + electronic if elapsed is None else elapsed) / 3600


def _runs(folder: Path) -> Iterator[tuple[str, tuple[str | None, float]]]:
    """Start and core-hours of each OUTCAR of an attempt: the last one, and those that custodian set aside."""
    for path in (folder / "OUTCAR", folder / "OUTCAR.gz"):
        if path.is_file():
            with gzip.open(path, "rt", errors="replace") if path.suffix else path.open(errors="replace") as lines:
                yield str(path), spent(lines)
    for archive in sorted(folder.glob("error.*.tar.gz")):
        try:
            with tarfile.open(archive) as file:
                for member in file:
                    content = file.extractfile(member) if Path(member.name).name == "OUTCAR" else None
                    if content is not None:
                        yield str(archive), spent(TextIOWrapper(content, errors="replace"))
        except DAMAGED as error:
            log.warning("%s cannot be read (%s); the run in it is not counted", archive, error)
