"""Files of finished calculations: which they are, and of which crystal and stage each is, by its name."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

from miad.core.crystal import MAX_ID, shortened
from miad.core.files import is_hidden
from miad.core.json_text import as_json

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# Folders of stages; the folder above them names the crystal. Numbers of stages are short: relax_2 is a stage,
# relax_mp-149 is a crystal. Folders of FireWorks (launcher_2024-…) are crystals.
_STAGE = re.compile(
    r"(?:(?:pre|double|mp|gga|pbe)[-_ ]?){0,4}"
    r"(?:relax|static|scf|opt|(?P<other>nscf|non[-_]?scf|bands?(?:structure)?|dos|phonons?|uniform|line))"
    r"[-_. ]?\d{0,2}(?:\.\d{1,2})?",
    re.IGNORECASE,
)
_STATIC = re.compile("static|scf", re.IGNORECASE)
# The stage may also stand behind: custodian's double relaxation leaves vasprun.xml.relax1.gz and vasprun.xml.relax2.gz.
_FILE = re.compile(
    r"(?P<name>.*?)[._-]?vasprun(?P<before>[^/]*?)\.xml"
    r"(?:[._-](?P<after>(?:relax|static|scf|nscf|bands?|dos|phonons?)\d*))?(?:\.gz|\.bz2|\.xz)?",
    re.IGNORECASE,
)
_OF_CUSTODIAN = re.compile(r"(error\.\d+|custodian\.chk.*)\.tar\.gz")  # set aside before a run was corrected


@dataclass(frozen=True)
class RunFile:
    """One vasprun.xml.

    Attributes:
        path: of the file.
        name: of the crystal: the text before `vasprun` in the name of the file, or else the last folder but stages.
        home: the folders above it without stages; runs of one crystal have one home.
        is_static: whether a stage in its names is a static calculation.
        is_other: whether a stage in its names gives no energy: bands, density of states, phonons.
    """

    path: Path
    name: str
    home: str
    is_static: bool
    is_other: bool

    @property
    def order(self) -> list[tuple[int, int, str]]:
        """Key of sorting: by name, numbers by their value, so that relax_10 comes after relax_2."""
        parts = re.split(r"(\d{1,18})", str(self.path))
        return [(0, int(part), "") if index % 2 else (1, 0, part) for index, part in enumerate(parts)]


def is_run(name: str) -> bool:
    """Whether a file name is that of a vasprun.xml, plain or compressed."""
    return _FILE.fullmatch(name) is not None


def is_archive(path: PurePath) -> bool:
    """Whether a file is an archive of runs by its name; custodian's archives of what it corrected are none."""
    return path.name.lower().endswith(ARCHIVES) and not _OF_CUSTODIAN.fullmatch(path.name)


def files_in(folder: Path) -> list[Path]:
    """All files below a folder but hidden ones, also behind links to folders, each folder once."""
    found, seen = [], {os.path.realpath(folder)}
    for place, folders, names in os.walk(folder, followlinks=True):
        # Before it is walked: os.walk reads the list after this.
        shown = [one for one in sorted(folders) if not is_hidden(PurePath(one))]
        folders[:] = [one for one in shown if os.path.realpath(os.path.join(place, one)) not in seen]
        seen.update(os.path.realpath(os.path.join(place, one)) for one in folders)
        found += [Path(place) / name for name in names if not is_hidden(PurePath(name))]
    return sorted(path for path in found if path.is_file())


def fingerprint(path: Path) -> str | None:
    """Names, sizes and times of the files in a folder that hold runs, as one hash; None if it is no folder.

    Snakemake takes a folder for as old as its own entry: a run that is edited or added further down would go unseen.
    """
    if not path.is_dir():
        return None
    read = [one for one in files_in(path) if is_run(one.name) or is_archive(one)]
    looks = [(str(one.relative_to(path)), one.stat().st_size, int(one.stat().st_mtime)) for one in read]
    return hashlib.sha256(as_json(looks).encode()).hexdigest()


def grouped(places: list[Path]) -> dict[str, list[RunFile]]:
    """{name of a crystal: its runs, in the order of their names}."""
    runs: dict[str, list[RunFile]] = {}
    for place in places:
        for path in files_in(place):
            match = _FILE.fullmatch(path.name)
            if match is None:
                continue
            run = _run_file(path, path.relative_to(place).parts[:-1], match)
            runs.setdefault(run.name, []).append(run)
    return {name: sorted(ones, key=lambda one: one.order) for name, ones in runs.items()}


def _run_file(path: Path, folders: tuple[str, ...], match: re.Match[str]) -> RunFile:
    home: list[str] = []
    words = [part.strip("._- ") for part in (match["before"], match["after"] or "")]
    stages = [found for word in words if (found := _STAGE.fullmatch(word))]
    for folder in folders:
        stage = _STAGE.fullmatch(folder)
        if stage is None:
            home.append(folder)
            continue
        stages.append(stage)
        if stage["other"] and home:
            break  # folders below, such as those of displacements, are no crystals of their own
    is_other = any(stage["other"] for stage in stages)
    return RunFile(
        path=path,
        name=shortened(match["name"] or (home[-1] if home else ""), MAX_ID) or "run",
        home="/".join(home),
        is_static=not is_other and any(_STATIC.search(stage[0]) for stage in stages),
        is_other=is_other,
    )
