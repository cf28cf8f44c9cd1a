"""The replay step: finished calculations from elsewhere in the place of VASP, as folders, archives or tables."""

import dataclasses
import json
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from miad.core.crystal import MAX_ID, Crystal, shortened, write_crystals
from miad.core.errors import MiadError
from miad.core.files import open_text
from miad.core.sound import unread
from miad.core.unreadable import of_crystals
from miad.dft.archives import check_size, unpacked
from miad.dft.calculation import Calculation, label, plain_entry, read_calculations, relaxed_by_dft, write_calculations
from miad.dft.comparable import NO_STEP, foreign, has_ionic_step, is_self_consistent, refusal, sound
from miad.dft.run_files import RunFile, grouped, is_archive
from miad.machine.progress import track

if TYPE_CHECKING:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

log = logging.getLogger("miad")
SAME_ENERGY = 1e-3  # eV/atom; runs of one crystal that differ by more are perhaps of two


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
    relaxed = [_as_relaxed(one, name) for one in found]
    write_crystals(crystals, relaxed)
    if calculations is not None:
        write_calculations(calculations, found)
    of_crystals(runs, relaxed, "keep a line with the reason").report(None, "Correct the runs, or give others.")


def _as_relaxed(calculation: Calculation, name: str) -> Crystal:
    """The crystal of a calculation with its corrected energy; without an energy it has no atoms, and a reason."""
    if calculation.entry is None:
        return unread(calculation.crystal_id, "read", calculation.failure or "no energy")
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
    found = _from_table(path) if path.is_file() and not is_archive(path) else _from_files(path)
    for name, count in Counter(one.crystal_id for one in found).items():
        if count > 1:
            raise MiadError(f"{path} holds several calculations of {name}. Leave one of them, or give them own ids.")
    if not found:
        raise MiadError(
            f"{path} holds no vasprun.xml (plain or compressed) and no entries. Give the folder of the runs, an archive"
            " of it, or JSON with a list of pymatgen's ComputedStructureEntry."
        )
    return found


def _from_files(path: Path) -> list[Calculation]:
    """The calculations of a folder or an archive."""
    several: list[str] = []
    with unpacked(path) as content:
        runs = grouped(content.places)
        found = [_final(name, files, path, several) for name, files in track(sorted(runs.items()), what="runs read")]
    lost = {name: reason for name, reason in content.broken.items() if name not in runs}
    for reason in content.broken.values():
        log.warning("%s", reason)
    if several:
        log.warning(
            "%d crystals have several runs that could count; of each the last by name does, e.g. %s",
            len(several),
            several[0],
        )
    found += [Calculation(name, failure=f"replay: {reason}", source=path.name) for name, reason in lost.items()]
    return sorted(found, key=lambda one: one.crystal_id)


@dataclass(frozen=True)
class _Parsed:
    """A run that was read, and what decides whether it is the one that counts."""

    file: RunFile
    calculation: Calculation
    is_static: bool
    is_self_consistent: bool = True

    @property
    def rank(self) -> tuple[bool, bool, list[tuple[int, int, str]]]:
        return self.is_self_consistent, self.is_static, self.file.order


def _final(name: str, files: list[RunFile], source: Path, several: list[str]) -> Calculation:
    """The calculation whose energy counts: the last self-consistent static one, else the last relaxation.

    The last is that by name: relax_2 comes after relax_1. If that one is broken or not converged there is no energy:
    that of an earlier stage would be of another cell. Crystals with several such runs are noted in `several`.
    """
    able = [file for file in files if not file.is_other]
    if not able:
        reason = "it has only runs of bands, densities of states or phonons; give its relaxation or static run"
        return Calculation(name, failure=f"replay: {reason}", source=source.name)
    parsed = [_parse(name, file, source) for file in [file for file in able if file.is_static] or able]
    if mixed := _mixed(name, parsed):
        return Calculation(name, failure=f"replay: {mixed}", source=source.name)
    last = max(parsed, key=lambda one: one.rank)
    if last.is_static and sum(one.rank[:2] == last.rank[:2] for one in parsed) > 1:
        several.append(f"{name}: {last.calculation.source}")
    return last.calculation


def _mixed(name: str, parsed: list[_Parsed]) -> str | None:
    """Reason why runs of one name are not of one crystal, or None."""
    made = sorted((one for one in parsed if one.calculation.entry is not None), key=lambda one: one.rank)
    formulas = sorted({one.calculation.crystal.reduced_formula for one in made})
    if len(formulas) > 1:
        return f"files named {name} are of {', '.join(formulas)}; give each crystal a folder of its own"
    # The last of each home; the same run may be there twice, unpacked and packed.
    homes = {one.file.home: one.calculation for one in made}
    energies = [one.entry["energy"] / one.crystal.num_atoms for one in homes.values() if one.entry]
    if len(homes) > 1 and max(energies) - min(energies) > SAME_ENERGY:
        first, *_, last = homes
        return f"{first} and {last} differ in energy; are they two crystals? Give each a folder with a name of its own"
    return None


def _parse(name: str, file: RunFile, source: Path) -> _Parsed:
    """Read one run; whatever is wrong with it is the reason of its failure."""
    from pymatgen.io.vasp.outputs import Vasprun

    path = file.path
    known: dict[str, Any] = {"source": f"{source.name}: {path.parent.name}/{path.name}"}
    try:
        check_size(path)
        run = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
        known |= {"vasp_version": run.vasp_version.strip(), "potcars": run.potcar_symbols}
        kind = {"is_static": run.parameters.get("NSW", 0) == 0, "is_self_consistent": is_self_consistent(run)}
        refused = foreign(run.potcar_symbols) or refusal(run, path)
        if refused is not None:
            failed = Calculation(name, failure=f"replay: {path.name}: {refused}", **known)
            return _Parsed(file, failed, **kind)
        entry = cast("ComputedStructureEntry", run.get_computed_entry(inc_structure=True, entry_id=name))
        plain = plain_entry(name, entry.structure.as_dict(), entry.energy, entry.parameters, run.potcar_symbols)
        return _Parsed(file, sound(Calculation(name, entry=plain, **known), is_pbe=True), **kind)
    except Exception as error:  # the parser fails on broken files in as many ways as files can be broken
        reason = f"replay: {path.name} cannot be read ({type(error).__name__}: {error})"
        if isinstance(error, IndexError) and not has_ionic_step(path):
            reason = f"replay: {path.name}: {NO_STEP}"
        return _Parsed(file, Calculation(name, failure=reason, **known), is_static=file.is_static)


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
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = f"replay: the entry cannot be read: {type(error).__name__}: {error}"
        return Calculation(name, failure=reason, source=path.name)
