"""Candidates: the S.U.N. crystals of a run as a list and as CIF, and the ledger of all its samples."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from miad.core.crystal import Crystal, read_crystals
from miad.core.errors import MiadError
from miad.core.files import atomic_folder, atomic_path, file_name, plain_name
from miad.core.sound import fault
from miad.core.tabular import Rows, write_csv
from miad.report.outcomes import read_row
from miad.sun.verdict import SampleVerdicts, read_verdicts

SYMPREC = 0.1  # Å; the tolerance of the paper's appendix G for space groups
MAX_FILES = 1000  # CIFs of their own: a million samples must not become a hundred thousand files

# Columns of the two tables, each with its type in Parquet.
LEDGER_COLUMNS = {
    "run": "string",
    "crystal_id": "string",
    "source_id": "string",
    "reduced_formula": "string",
    "num_atoms": "int64",
    "reason": "string",
    "failure": "string",
    "calculator": "string",
    "energy_frame": "string",
    "energy_per_atom": "double",
    "initial_energy_per_atom": "double",
    "e_above_hull": "double",
    "converged": "bool",
    "num_steps": "int64",
    "rms_displacement": "double",
    "volume_change": "double",
    "is_unique": "bool",
    "is_novel": "bool",
    "group": "string",
    "known_as": "string",
    "decomposition": "string",
}
CANDIDATE_COLUMNS = {
    "run": "string",
    "crystal_id": "string",
    "source_id": "string",
    "reduced_formula": "string",
    "chemical_system": "string",
    "num_atoms": "int64",
    "space_group": "string",
    "density": "double",
    "e_above_hull": "double",
    "energy_per_atom": "double",
    "calculator": "string",
    "energy_frame": "string",
    "hull": "string",
    "decomposition": "string",
    "num_rivals": "int64",
    "flags": "string",
    "cif": "string",
}


def run(
    *,
    ledgers: list[Path],
    verdicts: list[Path],
    rows: list[Path],
    candidates: Path,
    cif: Path,
    ledger_csv: Path,
    ledger_parquet: Path,
    run: str | None = None,
) -> None:
    """Write the S.U.N. crystals and the ledger of one run, for people and other programs.

    Args:
        ledgers: ledgers of `miad sun`, one per calculator
        verdicts: its verdicts, in the same order
        rows: its row files, in the same order
        candidates: CSV to write: the S.U.N. crystals of the headline protocol, the most stable first
        cif: folder to write: one CIF per S.U.N. crystal, named by its id; of more than a thousand, a thousand share
            one, each its own data block
        ledger_csv: CSV to write: every attempted sample, and where it ended
        ledger_parquet: the same as Parquet
        run: its name; runs that share all steps share the row files, which name the run that made them (the default)
    """
    if not len(ledgers) == len(verdicts) == len(rows):
        raise MiadError("--ledgers, --verdicts and --rows must name one file each per calculator, in the same order.")
    lines, chosen = [], []
    for ledger, verdict, row in zip(ledgers, verdicts, rows, strict=True):
        record = read_row(row)
        judged = read_verdicts(verdict)
        for crystal in read_crystals(ledger):
            sample = judged[crystal.crystal_id]
            line = ledger_line(crystal, run or record["run"], sample, record["headline"])
            lines.append(line)
            if sample.protocols[record["headline"]].is_sun:
                # Known problems of the pseudopotentials that DFT took.
                flags = "; ".join(record.get("flags", {}).get(crystal.crystal_id, ()))
                more = {"flags": flags or None, "hull": record["hull"], "num_rivals": sample.num_rivals}
                chosen.append((crystal, line | more))
    chosen.sort(key=lambda item: (item[0].e_above_hull, item[0].crystal_id))
    crystals = [crystal for crystal, _ in chosen]
    files = _write_cifs(cif, dict(zip(cif_names(crystals, len(ledgers) > 1), crystals, strict=True)))
    described = [candidate_line(*item, file) for item, file in zip(chosen, files, strict=True)]
    write_csv(candidates, CANDIDATE_COLUMNS, described)
    write_csv(ledger_csv, LEDGER_COLUMNS, lines)
    write_parquet(ledger_parquet, LEDGER_COLUMNS, lines)


def ledger_line(crystal: Crystal, name: str, sample: SampleVerdicts, protocol: str) -> dict[str, Any]:
    """One attempted sample in the columns of the ledger."""
    verdict = sample.protocols[protocol]
    known = {key: getattr(crystal, key) for key in LEDGER_COLUMNS if hasattr(crystal, key) and key != "reduced_formula"}
    return {
        **known,
        "run": name,
        "failure": None if crystal.failure is None else str(crystal.failure),
        "reduced_formula": crystal.reduced_formula if crystal.num_atoms else None,
        "reason": verdict.reason,
        "group": verdict.group,
        "known_as": verdict.known_as,
        "decomposition": mixture(sample.decomposition),
    }


def mixture(decomposition: dict[str, float]) -> str | None:
    """Competing phases with their shares of the atoms, the largest first: `0.75 Li2O + 0.25 Fe2O3`; None without."""
    products = sorted(decomposition.items(), key=lambda part: -part[1])
    return " + ".join(f"{share:.4g} {formula}" for formula, share in products) or None


def candidate_line(crystal: Crystal, line: dict[str, Any], cif: str) -> dict[str, Any]:
    """One S.U.N. crystal in the columns of the candidates; density in g/cm³."""
    return {
        **{key: line[key] for key in CANDIDATE_COLUMNS if key in line},
        "chemical_system": crystal.chemical_system,
        "space_group": space_group(crystal),
        "density": float(crystal.structure.density),
        "cif": cif,
    }


def space_group(crystal: Crystal) -> str | None:
    """Symbol and number, e.g. `Fm-3m (225)`; None where spglib finds none, or the crystal is not sound."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

    if fault(crystal):  # a cell that is no number ends spglib, and the whole program with it
        return None
    try:
        symmetry = SpacegroupAnalyzer(crystal.structure, symprec=SYMPREC)
        return f"{symmetry.get_space_group_symbol()} ({symmetry.get_space_group_number()})"
    except (SymmetryUndeterminedError, TypeError, ValueError):
        return None


def cif_names(crystals: Iterable[Crystal], several: bool) -> list[str]:
    """File names of crystals: the id, and the calculator that relaxed it where a run has several."""
    return [
        f"{file_name(one.crystal_id)}{'_' + plain_name(str(one.calculator)) if several else ''}.cif" for one in crystals
    ]


def write_parquet(path: Path, columns: dict[str, Any], rows: Rows) -> None:
    """Write rows as Parquet; the type of a column is one of pyarrow, or its name."""
    import pyarrow
    from pyarrow import parquet

    kinds = {name: pyarrow.type_for_alias(kind) if isinstance(kind, str) else kind for name, kind in columns.items()}
    with atomic_path(path) as temporary:
        parquet.write_table(pyarrow.Table.from_pylist(rows, pyarrow.schema(kinds.items())), temporary)


def to_cif(crystal: Crystal) -> str:
    """CIF in P1."""
    from pymatgen.io.cif import CifWriter

    return str(CifWriter(crystal.structure))


def _write_cifs(folder: Path, crystals: dict[str, Crystal]) -> list[str]:
    """Fill a new folder and put it in the place of the old one; returns the file that each crystal is in."""
    is_shared = len(crystals) > MAX_FILES
    files = [f"candidates-{index // MAX_FILES:04d}.cif" if is_shared else name for index, name in enumerate(crystals)]
    with atomic_folder(folder) as fresh:
        for file, (name, crystal) in zip(files, crystals.items(), strict=True):
            text = to_cif(crystal)
            if is_shared:
                text = text.replace("data_" + crystal.reduced_formula, "data_" + name.removesuffix(".cif"), 1)
            with (fresh / file).open("a", encoding="utf-8") as blocks:
                blocks.write(text)
    return files
