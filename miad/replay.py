"""Finished calculations from elsewhere in the place of VASP: folders and archives of runs, or tables of entries."""

import json
import logging
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from miad.calculation import Calculation, label, plain_entry, read_calculations, write_calculations
from miad.crystal import Crystal, write_crystals
from miad.errors import MiadError
from miad.files import open_text
from miad.progress import track

log = logging.getLogger("miad")
# Folders named like a stage say nothing about which crystal was calculated: the folder above them does.
_STAGE = re.compile(r"(pre|double|mp|gga)?[-_ ]?(relax|static|scf|opt)([-_. ]?\w*)*", re.IGNORECASE)
_FILE = re.compile(r"(?P<name>.*?)[._-]?vasprun(?P<stage>.*)\.xml(\.gz|\.bz2|\.xz)?", re.IGNORECASE)
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def run(runs: Path, *, crystals: Path, calculations: Path | None = None) -> None:
    """Read finished calculations, correct their energies, and write crystals that `miad evaluate` takes as relaxed.

    Args:
        runs: folder or archive with vasprun.xml files (plain or compressed), or JSON of ComputedStructureEntry
        crystals: JSON lines to write: crystals with MP2020-corrected energies; failed ones keep a line with the reason
        calculations: JSON lines to write: the calculations before correction

    Raises:
        MiadError: nothing to read there, or a mixture of VASP and of stand-ins for it.
    """
    from miad.dft_energies import with_dft

    found = read_runs(runs)
    name = label(found)
    made = []
    for one in found:
        if one.entry is None:
            empty = Crystal(one.crystal_id, np.eye(3), np.zeros((0, 3)), np.zeros(0, dtype=int))
            made.append(empty.failed("read", one.failure or "no energy"))
            continue
        made.append(with_dft(_as_given(one), one, None, name))
    write_crystals(crystals, made)
    if calculations is not None:
        write_calculations(calculations, found)


def replayed(crystals: list[Crystal], runs: Path) -> list[Calculation]:
    """The finished calculation of each crystal, told by its id or the id that it carried into the program.

    Raises:
        MiadError: nothing to read there.
    """
    by_id = {one.crystal_id: one for one in read_runs(runs)}
    found = []
    for crystal in crystals:
        names = [name for name in (crystal.crystal_id, crystal.source_id) if name in by_id]
        if not names:
            found.append(Calculation(crystal.crystal_id, failure=f"replay: {runs} has no run of this id"))
            continue
        record = by_id[names[0]]
        if record.entry is not None and _as_given(record).reduced_formula != crystal.reduced_formula:
            other = _as_given(record).reduced_formula
            record = Calculation(record.crystal_id, failure=f"replay: the run {names[0]} is of {other}")
        found.append(Calculation(**{**vars(record), "crystal_id": crystal.crystal_id}))
    return found


def read_runs(path: Path) -> list[Calculation]:
    """All calculations of a folder, an archive or a table, one per id, in the order of the ids.

    Raises:
        MiadError: it does not exist, or holds no calculation.
    """
    if not path.exists():
        raise MiadError(f"{path} does not exist. Give a folder, an archive or a table of finished calculations.")
    if path.is_file() and not path.name.endswith(_ARCHIVES):
        found = _from_table(path)
    else:
        with _unpacked(path) as folder:
            runs = _grouped(folder)
            found = [_final(name, files, path) for name, files in track(sorted(runs.items()), what="runs read")]
    if not found:
        raise MiadError(
            f"{path} holds no vasprun.xml (plain or compressed) and no entries. Give the folder of the runs, an archive"
            " of it, or JSON with a list of pymatgen's ComputedStructureEntry."
        )
    return found


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """A folder that holds the runs; archives, also those inside a folder, are unpacked as far as needed."""
    archives = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.name.endswith(_ARCHIVES))
    with tempfile.TemporaryDirectory(prefix="miad-replay-") as name:
        folder = Path(name)
        for archive in archives:
            _unpack(archive, folder)
        if path.is_dir():
            (folder / "given").symlink_to(path.resolve())
        yield folder


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the vasprun.xml files of an archive, and nothing outside of the folder."""
    try:
        if archive.name.endswith(".zip"):
            with zipfile.ZipFile(archive) as content:
                for name in content.namelist():
                    if _FILE.fullmatch(Path(name).name):
                        content.extract(name, folder)
            return
        with tarfile.open(archive) as content:
            for member in content:
                if member.isfile() and _FILE.fullmatch(Path(member.name).name):
                    content.extract(member, folder, filter="data")
    except (OSError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise MiadError(f"{archive} cannot be unpacked ({error}). Get it again, or leave it out.") from error


def _grouped(folder: Path) -> dict[str, list[Path]]:
    """{id: its vasprun files}: the name of the folder, stages left out, or what stands before `vasprun` in the name."""
    runs: dict[str, list[Path]] = {}
    places = [folder, *([folder / "given"] if (folder / "given").exists() else [])]
    for place in places:
        for path in sorted(place.rglob("*")):
            match = _FILE.fullmatch(path.name)
            if match is None or not path.is_file():
                continue
            folders = [part for part in path.relative_to(place).parts[:-1] if not _STAGE.fullmatch(part)]
            name = match["name"] or (folders[-1] if folders else "run")
            runs.setdefault(name, []).append(path)
    return runs


def _final(name: str, files: list[Path], source: Path) -> Calculation:
    """The calculation whose energy counts: the static one if there is one, else the last relaxation."""
    static = [path for path in files if "static" in f"{path.parent.name} {path.name}".lower()]
    parsed = [_parse(name, path, source) for path in static or files]
    good = [one for one in parsed if one[1].failure is None]
    # Among equals the last name: relax_2 comes after relax_1.
    return max(good or parsed, key=lambda one: one[0])[1]


def _parse(name: str, path: Path, source: Path) -> tuple[tuple[bool, str], Calculation]:
    """A calculation, and its rank: static ones first, then the later name."""
    from pymatgen.io.vasp.outputs import Vasprun

    where = f"{source.name}: {path.parent.name}/{path.name}"
    try:
        run = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
        entry = run.get_computed_entry(inc_structure=True, entry_id=name)
    except Exception as error:  # the parser fails on broken files in as many ways as files can be broken
        reason = f"replay: {path.name} cannot be read ({type(error).__name__}: {str(error)[:200]})"
        return (False, str(path)), Calculation(name, failure=reason, source=where)
    is_static = run.parameters.get("NSW", 0) == 0
    known: dict[str, Any] = {"vasp_version": run.vasp_version.strip(), "potcars": run.potcar_symbols, "source": where}
    if not run.converged:
        return (is_static, str(path)), Calculation(name, failure="replay: the run is not converged", **known)
    plain = plain_entry(name, entry.structure.as_dict(), entry.energy, entry.parameters, run.potcar_symbols)
    return (is_static, str(path)), Calculation(name, entry=plain, **known)


def _from_table(path: Path) -> list[Calculation]:
    """Calculations of ours as JSON lines, or a JSON list of entries, plain or under the key `entries`."""
    with open_text(path) as text:
        head = text.read(200).lstrip()
    if head.startswith("{") and '"core_hours"' in head:
        return read_calculations(path)
    try:
        with open_text(path) as text:
            content = json.load(text)
    except ValueError as error:
        raise MiadError(f"{path} is not readable as JSON ({error}). Give a list of ComputedStructureEntry.") from error
    entries = content.get("entries", []) if isinstance(content, dict) else content
    return [_from_entry(entry, number, path) for number, entry in enumerate(entries)]


def _from_entry(entry: dict[str, Any], number: int, path: Path) -> Calculation:
    data = entry.get("data") or {}
    name = data.get("crystal_id") or entry.get("entry_id") or data.get("material_id") or f"entry-{number}"
    if "structure" not in entry:
        return Calculation(str(name), failure="replay: the entry has no structure", source=path.name)
    parameters = entry.get("parameters") or {}
    titles = parameters.get("potcar_symbols") or [spec["titel"] for spec in parameters.get("potcar_spec") or []]
    plain = plain_entry(str(name), entry["structure"], entry["energy"], parameters, titles)
    return Calculation(str(name), entry=plain, potcars=titles, source=path.name)


def _as_given(calculation: Calculation) -> Crystal:
    from pymatgen.core import Structure

    structure = Structure.from_dict(calculation.entry["structure"])
    return Crystal.from_structure(calculation.crystal_id, structure, source_id=calculation.crystal_id)
