"""The dataset step: read, check and standardise the crystals to learn from."""

import importlib.resources
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miad.config.sections import Dataset
from miad.config.validation import closest
from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.core.sound import finite, sound
from miad.core.unreadable import tally
from miad.hull.computed import of_elements, read_references
from miad.io.cif import parse_cif
from miad.io.download import local_copy
from miad.io.published_data import DATA_SETS, SPLITS
from miad.io.table_rows import Table
from miad.machine.pool import Lost, in_order
from miad.machine.progress import track

if TYPE_CHECKING:
    from pymatgen.core import Structure

BUILT_IN = "prototypes"
REFERENCES = "dataset.files.references"
FEW = 256  # crystals, below which starting processes costs more than it saves

log = logging.getLogger("miad")


def run(settings: Dataset, *, train: Path, val: Path, test: Path) -> None:
    """Read a data set, standardise its crystals on all cores, and write one file per split.

    The built-in set `prototypes` is copied; `exclude`, `split` and the energy settings do not concern it. Crystals of
    more than `max_atoms` atoms in the standardised cell are left out.

    Args:
        train: crystals to learn from, to be written (JSON lines, .gz compresses).
        val: crystals to validate on, to be written.
        test: crystals to compare with, to be written.

    Raises:
        MiadError: settings that contradict each other, files that are missing, broken or have another checksum, no
            network, unreadable crystals (unless `unreadable: skip`), or a split without crystals.
    """
    if settings.name == BUILT_IN and not settings.files:
        crystals = {split: built_in(split)[: settings.max_crystals] for split in SPLITS}
    else:
        _check(settings)
        crystals = _read(settings)
    if settings.max_atoms is not None:
        crystals = {split: _at_most(settings.max_atoms, ones, split) for split, ones in crystals.items()}
    empty = [split for split in SPLITS if not crystals[split]]
    if empty:
        raise MiadError(
            f"data set {settings.name}: no crystal is left for {' and '.join(empty)}. Exclude less, raise"
            " max_crystals or max_atoms, or change split, all under dataset in config.yaml."
        )
    for split, path in zip(SPLITS, (train, val, test), strict=True):
        write_crystals(path, crystals[split])
        log.info("%s: %d crystals for %s in %s", settings.name, len(crystals[split]), split, path)


def _at_most(max_atoms: int, crystals: list[Crystal], split: str) -> list[Crystal]:
    """The crystals of at most `max_atoms` atoms; the log says how many are left out."""
    small = [crystal for crystal in crystals if crystal.num_atoms <= max_atoms]
    log.info("%s: %d crystals of more than %d atoms are left out", split, len(crystals) - len(small), max_atoms)
    return small


def standardise(structure: "Structure") -> "Structure":
    """The cell in which a crystal is learnt: primitive, Niggli reduced, in the standard orientation.

    Oxidation states, spins and labels are dropped first, so that they do not decide what is primitive. Handedness is
    kept.

    Args:
        structure: fully occupied sites, any cell, any orientation.

    Returns:
        A new Structure; its lattice is rebuilt from (a, b, c, α, β, γ) by pymatgen's `Lattice.from_parameters`.

    Source: the preparation of CDVAE (Xie et al., arXiv:2110.06197), which DiffCSP and MiAD share.
    """
    from pymatgen.core import Lattice, Structure

    plain = Structure(structure.lattice, [site.specie.Z for site in structure], structure.frac_coords)
    reduced = plain.get_primitive_structure().get_reduced_structure()
    lattice = Lattice.from_parameters(*reduced.lattice.parameters)
    return Structure(lattice, reduced.species, reduced.frac_coords, to_unit_cell=True)


def built_in(split: str) -> list[Crystal]:
    """The crystals of one split of the built-in set; a MiadError if this installation lacks them."""
    path = Path(str(importlib.resources.files("miad.prototypes"))) / f"{BUILT_IN}_{split}.jsonl.gz"
    if not path.is_file():
        raise MiadError(f"this installation lacks {path}. Install miad again, or make it: miad {BUILT_IN} --help")
    return read_crystals(path)


def _check(settings: Dataset) -> None:
    """Refuse settings that contradict each other, before anything is downloaded."""
    if settings.energy_column and not settings.energy_frame:
        raise MiadError("dataset.energy_column needs dataset.energy_frame: mp2020 or uncorrected in config.yaml.")
    if settings.energy_column and settings.energy_kind == "formation" and "references" not in settings.files:
        raise MiadError(
            "dataset.energy_kind: formation needs elemental references: give files.references, a JSON file"
            " {element: eV/atom}, under dataset in config.yaml."
        )
    if "train" not in settings.files and settings.name not in DATA_SETS:
        known = [BUILT_IN, *DATA_SETS]
        close = f" (did you mean {name}?)" if (name := closest(settings.name, known)) else ""
        raise MiadError(
            f"dataset.name: {settings.name} is none of {', '.join(known)}{close}. For a data set of your own give"
            " files.train: /path/train.csv under dataset in config.yaml."
        )


def _local(settings: Dataset, name: str) -> Path:
    """The local path of one of `files`, downloaded if need be, its checksum verified if there is one."""
    given, checksum = settings.files.get(name), settings.checksums.get(name)
    if given is None:
        source = DATA_SETS[settings.name][name]
        given, checksum = source.url, checksum or source.checksum
    return local_copy(given, checksum, f"dataset.files.{name}", f"dataset.checksums.{name}")


def _read(settings: Dataset) -> dict[str, list[Crystal]]:
    """All crystals by split."""
    published = DATA_SETS.get(settings.name, {})
    names = [split for split in SPLITS if split in settings.files or split in published]
    tables = {name: Table(_local(settings, name), member=f"{name}.csv") for name in names}
    is_formation = settings.energy_column and settings.energy_kind == "formation"
    references = read_references(_local(settings, "references"), REFERENCES) if is_formation else None
    reader = _Reader(settings.name, settings.energy_column, settings.energy_frame, references)
    kept = {name: _kept(table, settings) for name, table in tables.items()}
    crystals: dict[str, list[Crystal]] = {split: [] for split in SPLITS}
    for name, splits in _assign(kept, settings.split, settings.seed).items():
        for split, crystal in _convert(tables[name], splits, reader, settings.unreadable, settings.bound.max_share):
            crystals[split].append(crystal)
    return crystals


def _kept(table: Table, settings: Dataset) -> list[int]:
    """The rows that are not excluded, among the first `max_crystals`."""
    needed = ("cif", *settings.exclude, *([settings.energy_column] if settings.energy_column else []))
    kept, row = [], -1
    for row, record in table.rows(needed, limit=settings.max_crystals):
        if not any(record[column] in values for column, values in settings.exclude.items()):
            kept.append(row)
    log.info("%s: %d rows read, %d excluded", table.path, row + 1, row + 1 - len(kept))
    if not kept:
        excluded = f"{table.path}: all {row + 1} rows are excluded by {settings.exclude}"
        raise MiadError(f"{excluded}. Change dataset.exclude in config.yaml.")
    return kept


def _assign(kept: Mapping[str, list[int]], fractions: list[float], seed: int) -> dict[str, dict[int, str]]:
    """Split of each row: {file: {row: split}}.

    Three files stay as they are. One file is drawn apart by `fractions`. If only the test file is missing (none was
    published for alex_mp_20), half of val becomes test, so that train stays as published.
    """
    if set(kept) == set(SPLITS):
        return {name: dict.fromkeys(rows, name) for name, rows in kept.items()}
    if set(kept) == {"train"}:
        return {"train": _draw(kept["train"], dict(zip(SPLITS, fractions, strict=True)), seed)}
    if set(kept) == {"train", "val"}:
        log.info("there is no test file: half of val, drawn by the seed, becomes test")
        halves = _draw(kept["val"], {"val": 0.5, "test": 0.5}, seed)
        return {"train": dict.fromkeys(kept["train"], "train"), "val": halves}
    raise MiadError(f"dataset.files has {' and '.join(kept)} only. Give train, train and val, or all three.")


def _draw(rows: list[int], fractions: Mapping[str, float], seed: int) -> dict[int, str]:
    """Draw rows into splits; the order of rows is kept."""
    order = np.random.default_rng([seed, len(rows)]).permutation(len(rows))
    ends = np.round(np.cumsum(list(fractions.values())) * len(rows)).astype(int)
    drawn = np.empty(len(rows), dtype=object)
    drawn[order] = np.repeat(list(fractions), np.diff(ends, prepend=0))
    return dict(zip(rows, drawn.tolist(), strict=True))


@dataclass(frozen=True)
class _Reader:
    """Reader of a row as a Crystal; small, because it is sent to the worker processes."""

    name: str
    energy_column: str | None
    energy_frame: str | None
    references: dict[str, float] | None

    def __call__(self, task: tuple[int, str, dict[str, str]]) -> tuple[int, str, Crystal | str]:
        """The row, its split, and the crystal or the reason why there is none."""
        row, split, record = task
        try:
            return row, split, self.crystal(f"{self.name}-{split}-{row:06d}", record)
        except MiadError as error:
            return row, split, _reason(record, str(error))

    def crystal(self, crystal_id: str, record: Mapping[str, str]) -> Crystal:
        """One standardised crystal with its energy, if the row has one."""
        structure = parse_cif(record["cif"])
        known: dict[str, float | str | None] = {"source_id": record["material_id"] or None}
        energy = self._energy_per_atom(record[self.energy_column], structure) if self.energy_column else None
        if energy is not None:
            known |= {"energy_per_atom": energy, "energy_frame": self.energy_frame}
            known["calculator"] = f"{self.name} {self.energy_column}"
        try:
            crystal = sound(Crystal.from_structure(crystal_id, standardise(structure), **known), "dataset")
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise MiadError(f"its cell has no reduced form ({error})") from error
        if crystal.failure:
            raise MiadError(crystal.failure.reason)
        return crystal

    def _energy_per_atom(self, text: str, structure: "Structure") -> float | None:
        """Total energy in eV/atom; None for an empty field or NaN, which is what programs write for none."""
        if text.strip().lower() in ("", "nan"):
            return None
        energy = finite(text)
        if energy is None:
            raise MiadError(f"its {self.energy_column} {text[:40]!r} is not a number")
        if self.references is None:
            return energy
        amounts = structure.composition.fractional_composition.get_el_amt_dict()
        return energy + of_elements(amounts, self.references, REFERENCES)


def _reason(record: Mapping[str, str], reason: str) -> str:
    return f"{record['material_id'] or 'no material_id'}: {reason}"


def _convert(
    table: Table, splits: Mapping[int, str], reader: _Reader, unreadable: str, max_share: float
) -> Iterator[tuple[str, Crystal]]:
    """Read the rows of `splits` on all cores; yield (split, crystal) in the order of the file.

    Raises:
        MiadError: with `unreadable` stop at the first row that cannot be read, with skip where more than `max_share`
            of them cannot.
    """
    columns = ["cif", *([reader.energy_column] if reader.energy_column else [])]
    last = max(splits)
    tasks = (
        (row, splits[row], record)
        for row, record in table.rows(columns, optional=["material_id"], limit=last + 1)
        if row in splits
    )
    failures: list[tuple[str, str]] = []
    crystals = in_order(reader, tasks, few=FEW if len(splits) <= FEW else 0)
    results = track(crystals, what=f"crystals of {table.path.name}", total=len(splits))
    for found in results:
        if isinstance(found, Lost):  # it cost a process, or too much time
            row, split, record = found.item
            crystal = _reason(record, found.reason)
        else:
            row, split, crystal = found
        if isinstance(crystal, Crystal):
            yield split, crystal
            continue
        where = f"{table.path}, row {row} (the first is 0), {crystal}"
        if unreadable == "stop":
            raise MiadError(
                f"{where}. Correct or delete the row, leave it out by one of its columns with dataset.exclude, or set"
                " dataset.unreadable: skip in config.yaml."
            )
        name, _, reason = crystal.partition(": ")
        failures.append((f"row {row}, {name}", reason))
    counted = tally(table.path, "rows", "are left out", failures, len(splits))
    counted.report(max_share, "Correct or delete these rows, or leave them out with dataset.exclude.")
