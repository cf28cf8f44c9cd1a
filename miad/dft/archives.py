"""Archives of finished calculations, unpacked within bounds: their size, their number of files, their depth."""

import itertools
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from miad.core.errors import MiadError
from miad.core.files import DAMAGED, is_hidden, is_out_of_space
from miad.dft.run_files import ARCHIVES, files_in, is_archive, is_run

MAX_DEPTH = 3  # archives within archives within an archive
MAX_FILES = 100_000
MIN_BYTES = 1 << 30  # what any archive may unpack to
MAX_NAME = 1 << 20  # bytes of a member's name and other notes, which tarfile reads into memory in one piece
RATIO = 100  # unpacked over packed bytes beyond that; vasprun.xml has 5 to 20, an archive made to fill disks a thousand


class Budget:
    """What an archive, with those inside it, may still unpack to."""

    def __init__(self, archive: Path) -> None:
        self.bytes_left, self.files_left = max(MIN_BYTES, RATIO * archive.stat().st_size), MAX_FILES

    def spend(self, num_bytes: int, num_files: int = 0) -> None:
        """Count what was unpacked; a ValueError if it is too much."""
        self.bytes_left -= num_bytes
        self.files_left -= num_files
        if self.bytes_left < 0:
            raise ValueError(f"it unpacks to more than {RATIO} times its size")
        if self.files_left < 0:
            raise ValueError(f"it holds more than {MAX_FILES} files")


# Members of a tar file that hold what does not fit into the header of the next one.
_NOTES = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class _Member(tarfile.TarInfo):
    """A member of a tar file, whose name is no bomb."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        """Called by tarfile for each header, and meant by it to be overridden."""
        if self.type in _NOTES and self.size > MAX_NAME:
            raise tarfile.ReadError(f"it has a name of {self.size:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[list[Path], dict[str, str]]]:
    """Unpack an archive, or those inside a folder, each into a temporary folder of its own.

    Yields:
        The places that hold runs: the folder itself, if it is one, and one folder per archive; and of each archive that
        could not be unpacked, by its name without ending, the reason.

    Raises:
        MiadError: the archive that was given is broken, or larger than any set of runs; one of many fails alone.
    """
    with tempfile.TemporaryDirectory(prefix="miad-replay-") as name:
        numbers = itertools.count()  # in the order of the archives, by which runs are sorted
        places: list[Path] = [] if path.is_file() else [path]
        broken: dict[str, str] = {}
        archives = [path] if path.is_file() else [one for one in files_in(path) if is_archive(one)]
        top = path.parent if path.is_file() else path
        waiting = [(one, PurePosixPath(one.relative_to(top).parent), 1, Budget(one)) for one in archives]
        while waiting:
            archive, parent, depth, budget = waiting.pop(0)
            place, stem = Path(name) / str(next(numbers)), _stem(archive)
            inside = parent / stem  # so that files that lie in no folder there are named by the archive
            (place / inside).mkdir(parents=True)
            try:
                if depth > MAX_DEPTH:
                    raise ValueError(f"archives lie more than {MAX_DEPTH} deep in each other")
                _unpack(archive, place / inside, budget)
            except (*DAMAGED, ValueError) as error:
                if is_out_of_space(error):
                    raise
                if archive == path:
                    raise MiadError(f"{path} cannot be unpacked ({error}). Get it again, or leave it out.") from error
                broken[stem] = f"{archive.name} cannot be unpacked ({error}); get it again, or leave it out"
                continue
            finally:
                if archive.is_relative_to(name):
                    archive.unlink()
            places.append(place)
            inner = [one for one in files_in(place) if is_archive(one)]
            waiting += [(one, PurePosixPath(one.relative_to(place).parent), depth + 1, budget) for one in inner]
        yield places, broken


def _stem(archive: Path) -> str:
    end = next(end for end in ARCHIVES if archive.name.lower().endswith(end))
    return archive.name[: -len(end)] or "archive"


def _unpack(archive: Path, folder: Path, budget: Budget) -> None:
    """Unpack the vasprun.xml files and the archives of an archive, and nothing outside of the folder."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as content:
            for info in content.infolist():
                if not info.is_dir() and (target := _target(folder, info.filename)) is not None:
                    with content.open(info) as member:
                        _copy(member, target, budget)
        return
    with tarfile.open(archive, tarinfo=_Member) as packed:
        for one in packed:
            target = _target(folder, one.name) if one.isfile() else None
            source = None if target is None else packed.extractfile(one)
            if target is None or source is None:
                budget.spend(one.size)  # it is unpacked all the same, to come to what follows
                continue
            _copy(source, target, budget)


def _target(folder: Path, name: str) -> Path | None:
    """Where a member goes; None if it is none that is read.

    Raises:
        ValueError: it would go outside of the folder.
    """
    inside = PurePosixPath(name.replace("\\", "/"))  # as some programs for Windows write them
    if is_hidden(inside) or not (is_run(inside.name) or is_archive(inside)):
        return None
    if inside.is_absolute() or ".." in inside.parts:
        raise ValueError(f"its member {name} would lie outside of the folder")
    return folder / inside


def _copy(source: IO[bytes], target: Path, budget: Budget) -> None:
    budget.spend(0, 1)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        while block := source.read(1 << 20):
            budget.spend(len(block))
            file.write(block)


def check_size(path: Path) -> None:
    """Refuse a compressed vasprun.xml that unpacks to more than any does.

    Raises:
        ValueError: it is larger.
    """
    from monty.io import zopen

    if path.suffix.lower() == ".xml":
        return
    budget = Budget(path)
    with zopen(path, mode="rb") as content:
        while block := content.read(1 << 20):
            budget.spend(len(block))
