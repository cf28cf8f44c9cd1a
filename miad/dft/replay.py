"""The replay step: finished calculations from elsewhere in the place of VASP, as folders, archives or tables."""

import dataclasses
import hashlib
import json
import logging
import os
import re
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from miad.core.crystal import MAX_ID, Crystal, shortened, write_crystals
from miad.core.errors import MiadError
from miad.core.files import open_text
from miad.dft.calculation import Calculation, label, plain_entry, read_calculations, relaxed_by_dft, write_calculations
from miad.dft.comparable import has_ionic_step, refusal, sound
from miad.machine.progress import track

if TYPE_CHECKING:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

log = logging.getLogger("miad")
# Folders of stages; the folder above them names the crystal. Numbers of stages are short: relax_2 is a stage,
# relax_mp-149 is a crystal.
_STAGE = re.compile(
    r"(?:(?:pre|double|mp|gga|pbe)[-_ ]?){0,4}(?:relax|static|scf|opt)[-_. ]?\d{0,2}(?:\.\d{1,2})?", re.IGNORECASE
)
# The stage may also stand behind: custodian's double relaxation leaves vasprun.xml.relax1.gz and vasprun.xml.relax2.gz.
_FILE = re.compile(r"(?P<name>.*?)[._-]?vasprun[^/]*?\.xml([._-](relax|static)\d*)?(\.gz|\.bz2|\.xz)?", re.IGNORECASE)
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_OF_CUSTODIAN = re.compile(r"(error\.\d+|custodian\.chk.*)\.tar\.gz")  # set aside before a run was corrected


def run(runs: Path, *, crystals: Path, calculations: Path | None = None) -> None:
    """Read finished calculations, correct their energies, and write crystals that `miad evaluate` takes as relaxed.

    Args:
        runs: folder or archive with vasprun.xml files (plain or compressed), or JSON of ComputedStructureEntry
        crystals: JSON lines to write: crystals with MP2020-corrected energies; failed ones keep a line with the reason
        calculations: JSON lines to write: the calculations before correction

    Raises:
        MiadError: nothing to read there, or a mixture of VASP and of stand-ins for it.
    """
    found = read_runs(runs)
    name = label(found)
    write_crystals(crystals, [_as_relaxed(one, name) for one in found])
    if calculations is not None:
        write_calculations(calculations, found)


def _as_relaxed(calculation: Calculation, name: str) -> Crystal:
    """The crystal of a calculation with its corrected energy; without an energy it has no atoms, and a reason."""
    if calculation.entry is None:
        empty = Crystal(calculation.crystal_id, np.eye(3), np.zeros((0, 3)), np.zeros(0, dtype=int))
        return empty.failed("read", calculation.failure or "no energy")
    return relaxed_by_dft(calculation.crystal, calculation, name)


def replayed(crystals: list[Crystal], runs: Path) -> list[Calculation]:
    """The finished calculation of each crystal, found by its id or by the id that its input had."""
    by_id = {one.crystal_id: one for one in read_runs(runs)}
    found = []
    for crystal in crystals:
        record = by_id.get(crystal.crystal_id) or by_id.get(crystal.source_id or "")
        if record is None:
            record = Calculation("", failure=f"replay: {runs} has no run of this id")
        elif record.entry is not None and (formula := record.crystal.reduced_formula) != crystal.reduced_formula:
            record = Calculation("", failure=f"replay: the run {record.crystal_id} is of {formula}")
        found.append(dataclasses.replace(record, crystal_id=crystal.crystal_id))
    return found


def read_runs(path: Path) -> list[Calculation]:
    """All calculations of a folder, an archive or a table, one per id, in the order of the ids.

    Raises:
        MiadError: it does not exist, holds no calculation, or several of one id.
    """
    if not path.exists():
        raise MiadError(f"{path} does not exist. Give a folder, an archive or a table of finished calculations.")
    if path.is_file() and not path.name.endswith(_ARCHIVES):
        found = _from_table(path)
    else:
        with _unpacked(path) as places:
            runs = _grouped(places)
            found = [_final(name, files, path) for name, files in track(sorted(runs.items()), what="runs read")]
    for name, count in Counter(one.crystal_id for one in found).items():
        if count > 1:
            raise MiadError(f"{path} holds several calculations of {name}. Leave one of them, or give them own ids.")
    if not found:
        raise MiadError(
            f"{path} holds no vasprun.xml (plain or compressed) and no entries. Give the folder of the runs, an archive"
            " of it, or JSON with a list of pymatgen's ComputedStructureEntry."
        )
    return found


def fingerprint(path: Path) -> str | None:
    """Names, sizes and times of the files in a folder that hold runs, as one hash; None if it is no folder.

    Snakemake takes a folder for as old as its own entry: a run that is edited or added further down would go unseen.
    """
    if not path.is_dir():
        return None
    read = [one for one in _files(path) if _is_run(one.name) or _is_archive(one)]
    looks = [(str(one.relative_to(path)), one.stat().st_size, int(one.stat().st_mtime)) for one in read]
    return hashlib.sha256(json.dumps(looks).encode()).hexdigest()


@contextmanager
def _unpacked(path: Path) -> Iterator[list[Path]]:
    """The folders that hold the runs; each archive, also those inside a folder, is unpacked into one of its own."""
    archives = [path] if path.is_file() else [one for one in _files(path) if _is_archive(one)]
    with tempfile.TemporaryDirectory(prefix="miad-replay-") as name:
        places = [] if path.is_file() else [path]
        for number, archive in enumerate(archives):
            stem = next(archive.name.removesuffix(end) for end in _ARCHIVES if archive.name.endswith(end))
            # Files that lie in no folder there are named by the archive.
            _unpack(archive, Path(name) / str(number) / stem.removesuffix(".tar"))
            places.append(Path(name) / str(number))
        yield places


def _is_archive(path: Path) -> bool:
    return path.name.endswith(_ARCHIVES) and not _OF_CUSTODIAN.fullmatch(path.name)


def _is_run(name: str) -> bool:
    return _FILE.fullmatch(Path(name).name) is not None


def _files(folder: Path) -> list[Path]:
    """All files below a folder, also behind links to folders, each folder once."""
    found, seen = [], {os.path.realpath(folder)}
    for place, folders, names in os.walk(folder, followlinks=True):
        # Before it is walked: os.walk reads the list after this.
        folders[:] = [one for one in sorted(folders) if os.path.realpath(os.path.join(place, one)) not in seen]
        seen.update(os.path.realpath(os.path.join(place, one)) for one in folders)
        found += [Path(place) / name for name in names]
    return sorted(path for path in found if path.is_file())


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the vasprun.xml files of an archive, and nothing outside of the folder."""
    try:
        if archive.name.endswith(".zip"):
            with zipfile.ZipFile(archive) as content:
                for name in filter(_is_run, content.namelist()):
                    content.extract(name, folder)
            return
        with tarfile.open(archive) as content:
            content.extractall(folder, (one for one in content if one.isfile() and _is_run(one.name)), filter="data")
    except (OSError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise MiadError(f"{archive} cannot be unpacked ({error}). Get it again, or leave it out.") from error


def _grouped(places: list[Path]) -> dict[str, list[Path]]:
    """{id: its vasprun files}; the id is the text before `vasprun` in the name, or else the last folder but stages."""
    runs: dict[str, list[Path]] = {}
    for place in places:
        for path in _files(place):
            match = _FILE.fullmatch(path.name)
            if match is None:
                continue
            folders = [part for part in path.relative_to(place).parts[:-1] if not _STAGE.fullmatch(part)]
            name = match["name"] or (folders[-1] if folders else "run")
            runs.setdefault(shortened(name, MAX_ID) or "run", []).append(path)
    return runs


def _final(name: str, files: list[Path], source: Path) -> Calculation:
    """The calculation whose energy counts: the static one if there is one, else the last relaxation.

    If that one is broken or not converged there is no energy: that of an earlier stage would be of another cell.
    """
    static = [path for path in files if "static" in f"{path.parent.name} {path.name}".lower()]
    parsed = [_parse(name, path, source) for path in static or files]
    formulas = sorted({one.crystal.reduced_formula for _, one in parsed if one.entry is not None})
    if len(formulas) > 1:
        reason = f"replay: files named {name} are of {', '.join(formulas)}; give each crystal a folder of its own"
        return Calculation(name, failure=reason, source=source.name)
    # Among equals the last name: relax_2 comes after relax_1.
    return max(parsed, key=lambda one: one[0])[1]


def _parse(name: str, path: Path, source: Path) -> tuple[tuple[bool, str], Calculation]:
    """A calculation, and its rank: static ones first, then the later name."""
    from pymatgen.io.vasp.outputs import Vasprun

    known: dict[str, Any] = {"source": f"{source.name}: {path.parent.name}/{path.name}"}
    try:
        run = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
        entry = cast("ComputedStructureEntry", run.get_computed_entry(inc_structure=True, entry_id=name))
        is_converged, refused = run.converged, refusal(run, path)
    except Exception as error:  # the parser fails on broken files in as many ways as files can be broken
        reason = f"replay: {path.name} cannot be read ({type(error).__name__}: {str(error)[:200]})"
        if isinstance(error, IndexError) and not has_ionic_step(path):
            reason = f"replay: {path.name} has no ionic step; give a run that is finished"
        return (False, str(path)), Calculation(name, failure=reason, **known)
    known |= {"vasp_version": run.vasp_version.strip(), "potcars": run.potcar_symbols}
    rank = run.parameters.get("NSW", 0) == 0, str(path)
    if refused is not None:
        return rank, Calculation(name, failure=f"replay: {path.name}, {refused}", **known)
    if not is_converged:
        return rank, Calculation(name, failure="replay: the run is not converged", **known)
    plain = plain_entry(name, entry.structure.as_dict(), entry.energy, entry.parameters, run.potcar_symbols)
    return rank, sound(Calculation(name, entry=plain, **known))


def _from_table(path: Path) -> list[Calculation]:
    """Calculations of ours as JSON lines, or a JSON list of entries, plain or under the key `entries`."""
    with open_text(path) as text:
        head = text.read(200).lstrip()
    if head.startswith("{") and '"core_hours"' in head:
        return [sound(one) for one in read_calculations(path)]
    try:
        with open_text(path) as text:
            content = json.load(text)
    except ValueError as error:
        raise MiadError(f"{path} is not readable as JSON ({error}). Give a list of ComputedStructureEntry.") from error
    entries = content.get("entries", []) if isinstance(content, dict) else content
    if not isinstance(entries, list):
        raise MiadError(f"{path} holds no list of entries. Give a list of ComputedStructureEntry.")
    return [_from_entry(entry, number, path) for number, entry in enumerate(entries)]


def _from_entry(entry: Any, number: int, path: Path) -> Calculation:
    """The calculation of an entry; what is missing in the entry is its reason of failure."""
    data = (entry.get("data") or {}) if isinstance(entry, dict) else None
    if not isinstance(data, dict):
        found = f"number {number}, from 0, is no ComputedStructureEntry: {str(entry)[:60]!r}"
        raise MiadError(f"{path}: {found}. Leave it out.")
    name = data.get("crystal_id") or entry.get("entry_id") or data.get("material_id") or ""
    name = shortened(str(name), MAX_ID) or f"entry-{number}"
    for key in ("structure", "energy"):
        if entry.get(key) is None:
            return Calculation(name, failure=f"replay: the entry has no {key}", source=path.name)
    try:
        parameters = entry.get("parameters") or {}
        titles = parameters.get("potcar_symbols") or [spec["titel"] for spec in parameters.get("potcar_spec") or []]
        plain = plain_entry(name, entry["structure"], entry["energy"], parameters, titles)
        return sound(Calculation(name, entry=plain, potcars=titles, source=path.name))
    except MiadError as error:
        return Calculation(name, failure=f"replay: the entry cannot be read: {error}", source=path.name)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = f"replay: the entry cannot be read ({type(error).__name__}: {str(error)[:200]})"
        return Calculation(name, failure=reason, source=path.name)
