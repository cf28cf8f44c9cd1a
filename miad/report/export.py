"""Exports for other programs: candidates in four formats, and all samples for MatterGen and LeMat-GenBench."""

import logging
import re
import zipfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from miad.core.crystal import Crystal, read_crystals
from miad.core.energy_frames import FRAMES, correction_per_atom
from miad.core.errors import MiadError
from miad.core.files import atomic_path, write_text
from miad.core.json_text import as_json
from miad.core.sound import is_decoded, is_relaxed
from miad.core.tabular import Rows, read_csv, write_csv
from miad.report.candidates import CANDIDATE_COLUMNS, MAX_FILES, cif_names, to_cif, write_parquet
from miad.report.outcomes import read_row

if TYPE_CHECKING:
    from ase import Atoms

log = logging.getLogger("miad")
GIVEN = "given"  # in names of files: crystals that were relaxed elsewhere


def run(*, candidates: Path, ledgers: list[Path], rows: list[Path], generated: list[Path], out: Path, run: str) -> None:
    """Write the S.U.N. crystals as extended XYZ, pymatgen JSON and Parquet, and all samples for other evaluators.

    Args:
        candidates: CSV of the S.U.N. crystals that `miad candidates` wrote
        ledgers: ledgers of `miad sun`, one per calculator
        rows: its row files, in the same order
        generated: crystals before relaxation, all shards
        out: folder to write
        run: its name

    Raises:
        MiadError: a candidate is in no ledger, the lists differ in length, or a file is damaged.
    """
    if len(ledgers) != len(rows):
        raise MiadError("--ledgers and --rows must name one file each per calculator, in the same order.")
    lines = read_csv(candidates, ("crystal_id", "calculator"))
    names = [read_row(row)["calculator_name"] or GIVEN for row in rows]
    judged = {name: read_crystals(ledger) for name, ledger in zip(names, ledgers, strict=True)}
    by_key = {(one.crystal_id, one.calculator): one for ones in judged.values() for one in ones}
    absent = [line for line in lines if (line["crystal_id"], line["calculator"]) not in by_key]
    if absent:
        raise MiadError(
            f"{absent[0]['crystal_id']} of {candidates} is in none of the ledgers. Run sun and candidates again."
        )
    chosen = [by_key[line["crystal_id"], line["calculator"]] for line in lines]
    write_extxyz(out / "candidates.extxyz", [to_atoms(one) for one in chosen])
    entries = [to_entry(one, line) for one, line in zip(chosen, lines, strict=True)]
    write_text(out / "candidates.json", as_json(entries))
    write_table(out / "candidates.parquet", chosen, lines)
    samples = read_crystals(*generated)
    decoded = [one for one in samples if is_decoded(one)]
    write_generated(out, decoded)
    relaxed = {name: [one for one in ones if is_relaxed(one)] for name, ones in judged.items()}
    for name, ones in relaxed.items():
        write_relaxed(out, name, ones)
    counts = {name: len(ones) for name, ones in relaxed.items()}
    text = _readme(run, counts, len(samples), len(decoded))
    write_text(out / "README.md", text)
    log.info("%d candidates and %d samples are in %s", len(chosen), len(decoded), out)


def to_atoms(crystal: Crystal) -> "Atoms":
    """An ASE Atoms with all that is known of the crystal in `info`."""
    from ase import Atoms

    atoms = Atoms(crystal.atomic_numbers, cell=crystal.lattice, pbc=True)
    atoms.set_scaled_positions(crystal.frac_coords)
    names = ("crystal_id", "energy_per_atom", "energy_frame", "calculator", "e_above_hull", "converged")
    atoms.info |= {name: value for name in names if (value := getattr(crystal, name)) is not None}
    return atoms


def write_extxyz(path: Path, frames: "list[Atoms]") -> None:
    """One frame per crystal."""
    import ase.io

    with atomic_path(path) as temporary:
        ase.io.write(temporary, frames, format="extxyz")


def to_entry(crystal: Crystal, line: dict[str, Any]) -> dict[str, Any]:
    """A ComputedStructureEntry of pymatgen as JSON; energy in eV, the frame in its data."""
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    known = ("e_above_hull", "energy_frame", "calculator", "converged")
    data = {name: getattr(crystal, name) for name in known}
    data |= {name: line[name] for name in ("hull", "space_group", "decomposition")}
    energy = float(line["energy_per_atom"]) * crystal.num_atoms
    return ComputedStructureEntry(crystal.structure, energy, data=data, entry_id=crystal.crystal_id).as_dict()


def write_table(path: Path, crystals: list[Crystal], lines: Rows) -> None:
    """The columns of candidates.csv, and lattice (Å, rows are vectors), coordinates (fractional) and atomic numbers."""
    import pyarrow

    vectors = pyarrow.list_(pyarrow.list_(pyarrow.float64()))
    arrays = {"lattice": vectors, "frac_coords": vectors, "atomic_numbers": pyarrow.list_(pyarrow.int64())}
    read = {"string": str, "int64": int, "double": float}
    rows = []
    for crystal, line in zip(crystals, lines, strict=True):
        row = {name: read[CANDIDATE_COLUMNS[name]](value) for name, value in line.items() if value is not None}
        rows.append({**row, **{name: getattr(crystal, name).tolist() for name in arrays}})
    write_parquet(path, {**CANDIDATE_COLUMNS, **arrays}, rows)


def write_generated(out: Path, crystals: list[Crystal]) -> None:
    """CIFs of samples as generated: a folder of them, or one zip where they are many."""
    names = cif_names(crystals, several=False)
    if len(crystals) <= MAX_FILES:
        for name, one in zip(names, crystals, strict=True):
            write_text(out / "generated" / name, to_cif(one))
        return
    with (
        atomic_path(out / "generated.zip") as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, one in zip(names, crystals, strict=True):
            # Without the time: the same crystals give the same bytes.
            member = zipfile.ZipInfo(f"generated/{name}")
            archive.writestr(member, to_cif(one), zipfile.ZIP_DEFLATED)


def write_relaxed(out: Path, name: str, crystals: list[Crystal]) -> None:
    """Relaxed crystals of one calculator: extended XYZ and energies for MatterGen, a CSV for LeMat-GenBench."""
    write_extxyz(out / f"relaxed_{name}.extxyz", [to_atoms(one) for one in crystals])
    with atomic_path(out / f"energies_{name}.npy") as temporary, temporary.open("wb") as file:
        np.save(file, np.array([uncorrected(one) * one.num_atoms for one in crystals]))
    rows = [{"material_id": one.crystal_id, "structure": as_json(one.structure.as_dict())} for one in crystals]
    write_csv(out / f"relaxed_{name}.csv", ("material_id", "structure"), rows)


def uncorrected(crystal: Crystal) -> float:
    """Energy in eV/atom without the corrections of the Materials Project.

    Raises:
        MiadError: there is no energy, or it has no known frame.
    """
    if crystal.energy_per_atom is None or crystal.energy_frame not in FRAMES:
        raise MiadError(f"{crystal.crystal_id} has an energy of the frame '{crystal.energy_frame}'; known: {FRAMES}.")
    if crystal.energy_frame == "uncorrected":
        return crystal.energy_per_atom
    return crystal.energy_per_atom - correction_per_atom(crystal.structure)


def _readme(run: str, relaxed: dict[str, int], attempted: int, decoded: int) -> str:
    """README.md of the folder; `relaxed` has the number of samples that each calculator has relaxed."""
    import jinja2

    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True)  # noqa: S701  Markdown, not HTML
    template = environment.from_string((resources.files("miad.report") / "export.md.jinja").read_text("utf-8"))
    return template.render(
        run=re.sub(r"[^A-Za-z0-9_]", "_", run),
        is_zipped=decoded > MAX_FILES,
        relaxed=relaxed,
        attempted=attempted,
        decoded=decoded,
    )
