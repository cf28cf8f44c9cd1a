"""The convex hull: a plain table of reference energies and the exact height of the hull at any composition.

The height at a composition is a linear program over the entries of its chemical system: the mixture of entries with
that composition and the lowest energy. The solution is also the decomposition into competing phases.
"""

import csv
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain, combinations
from pathlib import Path

import numpy as np

from miad.core.crystal import MAX_NUMBER, Crystal
from miad.core.errors import MiadError
from miad.core.files import text_lines
from miad.core.tabular import as_written, write_csv

COLUMNS = ("formula", "num_atoms", "energy_per_atom", "entry_id", "energy_frame", "hull", "source")
ROUND_OFF = 1e-8  # eV/atom; closer to the hull than this is on it, or the sign of nothing would decide what is stable
SHARE_EPSILON = 1e-9  # shares of atoms below this are round-off of the solver, not decomposition products


@dataclass(frozen=True)
class Entry:
    """One reference energy.

    Attributes:
        formula: as pymatgen reads it, e.g. NaCl, Ba(NO3)2.
        energy_per_atom: eV/atom, in the frame of its table.
        entry_id: the id that the publisher gave it, if any.
    """

    formula: str
    energy_per_atom: float
    entry_id: str | None = None


@dataclass(frozen=True)
class HullTable:
    """Reference energies that may be compared with each other.

    Attributes:
        name: what the results call this hull, e.g. `Materials Project 2023-02-07`.
        energy_frame: `mp2020` or `uncorrected`.
        source: file or URL, and its checksum.
        entries: the lowest entry of each reduced formula; higher ones cannot touch the hull.
        notes: what of the source was left out, a sentence each; not written with the table.
    """

    name: str
    energy_frame: str
    source: str
    entries: list[Entry]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class HullPoint:
    """The hull at one composition.

    Attributes:
        energy_per_atom: height, eV/atom; None where the references do not reach.
        decomposition: {reduced formula: share of the atoms}, adds up to 1.
        num_rivals: entries of exactly the elements of the composition; at 0 only mixtures of fewer elements compete.
        problem: why there is no height, or None.
    """

    energy_per_atom: float | None
    decomposition: dict[str, float] = field(default_factory=dict)
    num_rivals: int = 0
    problem: str | None = None


class ConvexHull:
    """Exact hull heights over a table of entries; chemical systems are cached as they are asked for."""

    def __init__(self, table: HullTable) -> None:
        """Index the entries by their elements; nothing is solved yet."""
        self.table = table
        self._systems: dict[tuple[str, ...], tuple[np.ndarray, np.ndarray, list[str]]] = {}

    @cached_property
    def _by_elements(self) -> dict[frozenset[str], list[Entry]]:
        index: dict[frozenset[str], list[Entry]] = {}
        for entry in self.table.entries:
            index.setdefault(frozenset(re.findall(r"[A-Z][a-z]?", entry.formula)), []).append(entry)
        return index

    @cached_property
    def elements(self) -> frozenset[str]:
        """Symbols of all elements that some entry contains."""
        return frozenset(chain.from_iterable(self._by_elements))

    def height(self, composition: Mapping[str, float]) -> HullPoint:
        """Height of the hull at a composition {element symbol: amount}, of any positive scale.

        It is the lowest energy of any mixture of entries of this composition. The crystal that asks is not among them,
        so that its energy minus the height is negative below the hull.
        """
        from scipy.optimize import linprog

        symbols = tuple(sorted(symbol for symbol, amount in composition.items() if amount > 0))
        absent = [symbol for symbol in symbols if symbol not in self.elements]
        if absent:
            return HullPoint(None, problem=f"no entry with {', '.join(absent)}")
        fractions, energies, formulas = self._system(symbols)
        target = np.array([composition[symbol] for symbol in symbols], dtype=float)
        target /= target.sum()
        solution = linprog(energies, A_eq=fractions, b_eq=target, method="highs") if formulas else None
        if solution is None or solution.status != 0:
            return HullPoint(None, problem=f"no entries of {'-'.join(symbols)} that add up to the composition")
        shares = zip(formulas, solution.x.tolist(), strict=True)
        decomposition = {name: share for name, share in shares if share > SHARE_EPSILON}
        return HullPoint(float(solution.fun), decomposition, len(self._by_elements.get(frozenset(symbols), ())))

    def _system(self, symbols: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Fractions (n_elements, n_entries), energies (n_entries,) eV/atom and formulas of a chemical system."""
        if symbols not in self._systems:
            subsets = chain.from_iterable(combinations(symbols, size) for size in range(1, len(symbols) + 1))
            entries = [entry for subset in subsets for entry in self._by_elements.get(frozenset(subset), ())]
            compositions = [atom_fractions(entry.formula) for entry in entries]
            fractions = np.array([[part.get(symbol, 0.0) for part in compositions] for symbol in symbols])
            energies = np.array([entry.energy_per_atom for entry in entries])
            self._systems[symbols] = fractions, energies, [entry.formula for entry in entries]
        return self._systems[symbols]


def energy_above(crystal: Crystal, point: HullPoint) -> float | None:
    """Energy above the hull, eV/atom, negative below it; None if either energy is unknown. Frames are not compared."""
    if crystal.energy_per_atom is None or point.energy_per_atom is None:
        return None
    difference = crystal.energy_per_atom - point.energy_per_atom
    return 0.0 if abs(difference) < ROUND_OFF else difference


def atom_fractions(formula: str) -> dict[str, float]:
    """{element symbol: share of the atoms} of a formula."""
    from pymatgen.core import Composition

    return {element.symbol: amount for element, amount in Composition(formula).fractional_composition.items()}


def formula_of(amounts: Mapping[str, float]) -> str:
    """A formula that keeps the amounts, e.g. {'Na': 4.0, 'Cl': 4.0} as Na4Cl4."""
    return "".join(f"{symbol}{amount:g}" for symbol, amount in amounts.items())


def lowest_entries(entries: Iterable[Entry], where: str = "hull") -> list[Entry]:
    """The lowest entry of each reduced formula, in alphabetical order.

    Raises:
        MiadError: an entry that `checked` refuses; it names the entry, and the file `where` it is.
    """
    lowest: dict[str, Entry] = {}
    for given in entries:
        try:
            entry = checked(given)
        except MiadError as error:
            name = given.entry_id or given.formula
            raise MiadError(f"{where}, entry {name}: {error}. Correct it, or leave it out.") from error
        if entry.formula not in lowest or entry.energy_per_atom < lowest[entry.formula].energy_per_atom:
            lowest[entry.formula] = entry
    return [lowest[formula] for formula in sorted(lowest)]


def checked(entry: Entry) -> Entry:
    """The entry with its reduced formula: the gate for every reference energy, whatever file it is from.

    Raises:
        MiadError: no formula of elements, or no finite energy below MAX_NUMBER; the message is a reason.
    """
    formula = _reduced(entry.formula)
    if not abs(entry.energy_per_atom) <= MAX_NUMBER:
        raise MiadError(f"its energy is {entry.energy_per_atom}, no finite number below {MAX_NUMBER:g}")
    return Entry(formula, entry.energy_per_atom, entry.entry_id)


@lru_cache(maxsize=1 << 20)
def _reduced(formula: str) -> str:
    """The reduced formula of a formula; a MiadError if it is none of plain elements."""
    from pymatgen.core import Composition, Element

    if re.search(r"\.\s*\d*\s*H2O$", formula):  # pymatgen reads CuSO4.5H2O as CuS(O4.5)H2O
        raise MiadError(f"its formula '{formula[:40]}' seems to be of a hydrate; write CuSO4(H2O)5 for CuSO4.5H2O")
    try:
        composition = Composition(formula)
        reduced = composition.reduced_formula
    except (TypeError, ValueError) as error:
        raise MiadError(f"its formula '{formula[:40]}' is none ({str(error)[:80]})") from error
    if not reduced or not all(isinstance(part, Element) for part in composition):
        raise MiadError(f"its formula '{formula[:40]}' is none of plain elements")
    return reduced


def write_table(path: Path, table: HullTable) -> None:
    """Write a hull as CSV, one entry per line; name, frame and source are constant columns."""
    from pymatgen.core import Composition

    about = {"energy_frame": table.energy_frame, "hull": table.name, "source": table.source}
    sizes = (int(Composition(entry.formula).num_atoms) for entry in table.entries)
    write_csv(
        path,
        COLUMNS,
        (vars(entry) | about | {"num_atoms": size} for entry, size in zip(table.entries, sizes, strict=True)),
    )


def read_table(path: Path) -> HullTable:
    """The inverse of `write_table`.

    Raises:
        MiadError: not such a table, an empty one, or one that mixes frames.
    """
    try:
        table = csv.DictReader(line for _, line in text_lines(path))
        rows = [{name: as_written(cell) or "" for name, cell in row.items() if name in COLUMNS} for row in table]
    except csv.Error as error:
        raise MiadError(f"{path} is no readable CSV ({error}). Rerun `miad hull`.") from error
    if not rows or not set(COLUMNS) <= set(rows[0]):
        raise MiadError(f"{path} is not a hull table with the columns {', '.join(COLUMNS)}. Rerun `miad hull`.")
    heads = {(row["hull"], row["energy_frame"], row["source"]) for row in rows}
    if len(heads) > 1:
        raise MiadError(f"{path} mixes entries of several hulls or frames: {sorted(heads)}. Keep one of them.")
    name, frame, source = heads.pop()
    entries = []
    for number, row in enumerate(rows, 2):
        try:
            entries.append(Entry(row["formula"], float(row["energy_per_atom"]), row["entry_id"] or None))
            if not math.isfinite(entries[-1].energy_per_atom):
                raise ValueError(f"its energy is {entries[-1].energy_per_atom}")
        except (TypeError, ValueError) as error:
            raise MiadError(f"{path}, line {number} is no entry ({error}). Rerun `miad hull`.") from error
    return HullTable(name, frame, source, entries)
