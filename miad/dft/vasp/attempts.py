"""Folders of the attempts at a stage: earlier ones are set aside, and what is worth keeping of them goes on."""

import gzip
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from miad.dft.vasp.ending import ENDING, Ending
from miad.dft.vasp.flow import STAGES
from miad.machine.os_processes import stop_leftovers

if TYPE_CHECKING:
    from pymatgen.core import Structure

SCRATCH = "scratch_link"  # custodian's link to the folder that it calculates in
WAVEFUNCTIONS = ("WAVECAR", "CHGCAR")  # what VASP can start from


def set_aside(folder: Path) -> Path | None:
    """Make room for a new attempt; the folder of the last one, if any.

    What is worth keeping of an unfinished attempt, its wavefunctions, moves to the new folder.
    """
    earlier = attempts(folder)
    aside = earlier[-1] if earlier else None
    if folder.exists():
        stop_leftovers(folder)
        aside = folder.with_name(f"{folder.name}.{len(earlier) + 1}")
        folder.rename(aside)
    folder.mkdir(parents=True)
    if aside is not None:
        _fetch_from_scratch(aside)
        for name in WAVEFUNCTIONS:
            if (aside / name).is_file() and has_content(aside / name) and contcar_of(aside) is not None:
                (aside / name).rename(folder / name)
    return aside


def _fetch_from_scratch(attempt: Path) -> None:
    """Move the files of a killed attempt here from custodian's scratch folder, if that is on this machine."""
    scratch = calculated_in(attempt)
    if scratch == attempt:
        return
    for path in scratch.iterdir():
        if path.is_file():
            shutil.move(path, attempt / path.name)
    (attempt / SCRATCH).unlink()
    shutil.rmtree(scratch, ignore_errors=True)


def attempts(folder: Path) -> list[Path]:
    """Folders of the earlier attempts at a stage, oldest first."""
    numbered = [path for path in folder.parent.glob(f"{folder.name}.*") if path.suffix[1:].isdigit()]
    return sorted(numbered, key=lambda path: int(path.suffix[1:]))


def all_attempts(work: Path) -> list[tuple[str, Path]]:
    """(stage, folder) of every attempt at every stage of a crystal, in order; the last one of each may be absent."""
    return [(stage, folder) for stage in STAGES for folder in (*attempts(work / stage), work / stage)]


def crashes(folder: Path) -> list[Path]:
    """The earlier attempts that were not ended in an orderly way."""
    return [path for path in attempts(folder) if Ending.of(path).kind not in ("walltime", "stopped")]


def vain_start(folder: Path) -> str | None:
    """The end of VASP's stderr, if all attempts at a stage crashed before VASP wrote an OUTCAR; else None."""
    tried = attempts(folder)
    if (folder / ENDING).is_file():
        tried.append(folder)
    if not tried or any(Ending.of(one).kind != "crashed" or has_content(one / "OUTCAR") for one in tried):
        return None
    path = tried[-1] / "std_err.txt"
    return path.read_text(encoding="utf-8", errors="replace")[-300:].strip() if path.is_file() else ""


def contcar_of(attempt: Path) -> "Structure | None":
    """The last structure that an unfinished attempt wrote whole, if any, with the moments that the attempt began with.

    CONTCAR has none: without them a second relaxation would begin from the sets' moments, not from those of the first.
    """
    from pymatgen.io.vasp.inputs import Incar, Poscar

    try:
        structure = Poscar.from_file(attempt / "CONTCAR", check_for_potcar=False).structure
    except (OSError, ValueError, IndexError):  # absent, empty, or torn
        return None
    moments = Incar.from_file(attempt / "INCAR").get("MAGMOM") if (attempt / "INCAR").is_file() else None
    if moments is not None and len(moments) == len(structure):
        structure.add_site_property("magmom", moments)
    return structure


def calculated_in(folder: Path) -> Path:
    """The folder that VASP works in: custodian's scratch folder, while it is there."""
    link = folder / SCRATCH
    return link.resolve() if link.is_dir() else folder


def has_content(path: Path) -> bool:
    """True if a file is there, plain or gzipped, and not empty."""
    packed = path.with_name(path.name + ".gz")
    if packed.is_file():
        with gzip.open(packed) as content:
            return bool(content.read(1))
    return path.is_file() and path.stat().st_size > 0
