"""The search for competing phases: of each chemical system the cells that come out near the hull known so far.

A system's cells are screened at a few volumes. Of each composition the best few are relaxed, as the crystals of the
data set are, if their screened energy is near the hull of what is known (the data set, and phases found before) and of
all that was screened.
"""

import hashlib
import itertools
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from miad.core.crystal import Crystal, to_line
from miad.core.files import open_text, write_text
from miad.core.json_text import COMPACT, as_json
from miad.core.tabular import write_csv
from miad.hull.convex import ConvexHull, Entry, HullTable, atom_fractions, lowest_entries, write_table
from miad.hull.sources import COMPETING_PHASES
from miad.machine.cores import num_cores
from miad.machine.pool import Lost, as_completed
from miad.machine.progress import track
from miad.prototypes import selection
from miad.prototypes.screening import FLAT, MEMORY, STEPS, Screened, screen
from miad.prototypes.systems import binary_cells, lots, ternary_cells
from miad.relax.potentials.register import potential

if TYPE_CHECKING:
    from miad.config.sections import Relax

log = logging.getLogger("miad")
CALCULATOR = "chgnet"  # of the data set and of its competing phases
# With the best four cells of every composition eight hulls came out 5 meV/atom lower, at eight times the cost.
MARGIN = 0.05  # eV/atom above the hull of known and screened energies, of compositions that are relaxed
BEST = 2  # cells of one composition that are relaxed
SPREAD = 0.1  # eV/atom above the best of its composition, of those
DEEPEST = 6.0  # eV/atom below the known hull; no compound forms by as much, the potential has holes (gadolinium)
SAME = 1e-3  # eV/atom; cells of one composition as close as this are taken for the same crystal
KEEP = 0.025  # eV/atom above the hull, of phases that the table holds
TIME_LIMIT = 3600.0  # seconds with one lot
SYSTEMS = "competing_systems.csv.gz"
SEARCHES = "competing_searches.jsonl.gz"  # all journals as one


@dataclass(frozen=True)
class Search:
    """What the search of one chemical system came to.

    Attributes:
        system: element symbols in alphabetical order, joined by hyphens.
        num_screened, num_relaxed: cells.
        phases: relaxed ones, the lowest of each composition.
    """

    system: str
    num_screened: int
    num_relaxed: int
    phases: list[Entry] = field(default_factory=list)

    def line(self) -> str:
        """One line of JSON."""
        return as_json({**vars(self), "phases": [list(vars(one).values()) for one in self.phases]}, **COMPACT)

    @classmethod
    def of_line(cls, line: str) -> "Search":
        """The inverse of `line`; a ValueError or TypeError if it is torn."""
        record = json.loads(line)
        return cls(**{**record, "phases": [Entry(*one) for one in record["phases"]]})


class Searcher:
    """The search in one process, which holds the potential; relaxed as the data set was."""

    def __init__(self, settings: "Relax") -> None:
        import torch

        from miad.relax.potentials.chgnet_network import ChgnetEngine

        torch.set_num_threads(1)
        self.settings, self.chosen = settings, potential(CALCULATOR)
        engine = self.chosen.engine("cpu", MEMORY)
        assert isinstance(engine, ChgnetEngine)  # the one that has energies without forces
        self.engine = engine

    def __call__(self, lot: tuple[dict[str, list[Crystal]], list[Entry]]) -> list[Search]:
        """Search some systems: {system: its unrelaxed cells}, and the entries known in them."""
        cells, known = lot
        screened = screen([one for part in cells.values() for one in part], self.engine.network)
        relaxed = self._relaxed([one.crystal for one in worth_relaxing(screened, known)])
        found: dict[str, list[Crystal]] = defaultdict(list)
        for crystal in relaxed:
            found[crystal.chemical_system].append(crystal)
        return [
            Search(system, len(part), len(found[system]), phases_of(found[system])) for system, part in cells.items()
        ]

    def _relaxed(self, crystals: list[Crystal]) -> list[Crystal]:
        from miad.relax.step import in_flight

        return list(in_flight(crystals, self.settings, self.chosen, "cpu", MEMORY, self.engine))


def worth_relaxing(screened: Iterable[Screened], known: list[Entry]) -> list[Screened]:
    """The cells near the hull of the known entries and of themselves, at most BEST different ones of a composition."""
    before = ConvexHull(HullTable("", "", "", lowest_entries(known)))
    by_formula: dict[str, list[Screened]] = defaultdict(list)
    for one in sorted(screened, key=lambda one: one.energy):
        height = before.height(one.crystal.element_counts).energy_per_atom
        if height is not None and one.energy > height - DEEPEST:
            by_formula[one.crystal.reduced_formula].append(one)
    best = [Entry(formula, rivals[0].energy) for formula, rivals in by_formula.items() if rivals[0].energy < FLAT]
    hull = ConvexHull(HullTable("", "", "", lowest_entries([*known, *best])))
    chosen: list[Screened] = []
    for rivals in by_formula.values():
        height = hull.height(rivals[0].crystal.element_counts).energy_per_atom
        if height is not None and rivals[0].energy <= height + MARGIN:
            chosen += different([one for one in rivals if one.energy <= rivals[0].energy + SPREAD])[:BEST]
    return chosen


def different(rivals: list[Screened]) -> list[Screened]:
    """Those of one composition, in the order of their energies, that are not the one before it again."""
    return [
        one
        for one, before in zip(rivals, [None, *rivals], strict=False)
        if not before or one.energy > before.energy + SAME
    ]


def phases_of(relaxed: list[Crystal]) -> list[Entry]:
    """The lowest sane crystal of each composition, with the name of the template that it started from."""
    return lowest_entries(
        Entry(one.reduced_formula, round(one.energy_per_atom, selection.DECIMALS), one.source_id)
        for one in relaxed
        if selection.is_sane(one) and one.energy_per_atom is not None
    )


class Journal:
    """The finished searches of one shard, a line each under a first line with all that they depend on."""

    def __init__(self, path: Path, key: dict) -> None:
        """Read a journal, without a torn last line; one made by anything else is started anew."""
        header = as_header(key)
        self.searches = {one.system: one for one in read_journal(path, header)}
        write_text(path, "".join(line + "\n" for line in (header, *(one.line() for one in self.searches.values()))))
        self._file = path.open("a", encoding="utf-8")

    def add(self, searches: list[Search]) -> None:
        """Write finished searches through to the file."""
        self.searches |= {one.system: one for one in searches}
        self._file.write("".join(one.line() + "\n" for one in searches))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def as_header(key: dict) -> str:
    """The first line of a journal."""
    return as_json(key, sort_keys=True)


def read_journal(path: Path, header: str) -> Iterator[Search]:
    """The searches of a journal with that first line; none if there is no such file."""
    if path.is_file():
        with open_text(path) as text:
            first, *lines = text.read().split("\n")
        yield from (Search.of_line(line) for line in (lines[:-1] if first == header else ()))


def search(out: Path, crystals: list[Crystal], seed: int, shard: tuple[int, int], settings: "Relax") -> None:
    """Search the systems of one shard, (number from 1 on, of how many), but those that were searched before."""
    number, of = shard
    key = key_of(crystals)
    journal = Journal(out / f"competing-{number}-of-{of}.jsonl", key)
    before = {one.system: one for one in journals(out, key)}
    waiting = [lot for lot in lots(crystals, seed)[number - 1 :: of] if not before.keys() >= set(lot)]
    entries = [*_entries(crystals), *(phase for one in before.values() for phase in one.phases)]
    known = _by_system(entries)
    ternary = ternary_cells(seed) if any(len(lot) > 1 for lot in waiting) else {}
    items = (_lot(lot, known, ternary) for lot in waiting)
    found = as_completed(
        partial(Searcher, settings),
        items,
        workers=settings.workers or num_cores(),
        seconds=TIME_LIMIT,
        memory=4e9,
    )
    for result in track(found, what="lots of systems searched", total=len(waiting)):
        if isinstance(result, Lost):
            log.warning("%s: %s", ", ".join(result.item[0]), result.reason)
        else:
            journal.add(result)
            for symbols, phases in _by_system(phase for one in result for phase in one.phases).items():
                known[symbols] += phases
    journal.close()


def _lot(
    systems: list[str], known: dict[frozenset[str], list[Entry]], ternary: dict[str, list[Crystal]]
) -> tuple[dict[str, list[Crystal]], list[Entry]]:
    """The work of a lot: the cells of each system, and what is known in them."""
    cells = {system: ternary.get(system) or binary_cells(system) for system in systems}
    inside = {
        frozenset(part)
        for system in systems
        for size in (1, 2, 3)
        for part in itertools.combinations(system.split("-"), size)
    }
    return cells, [entry for symbols in inside for entry in known.get(symbols, ())]


def journals(out: Path, key: dict) -> Iterator[Search]:
    """The searches of all shards."""
    for path in sorted((out / SEARCHES, *out.glob("competing-*.jsonl"))):
        yield from read_journal(path, as_header(key))


def merge(out: Path, crystals: list[Crystal]) -> None:
    """Write the tables: phases at most KEEP above the hull of data set and phases, and the systems searched."""
    chosen = potential(CALCULATOR)
    key = key_of(crystals)
    by_system = {one.system: one for one in journals(out, key)}
    searches = sorted(by_system.values(), key=lambda one: (one.system.count("-"), one.system))
    write_text(out / SEARCHES, "".join(f"{line}\n" for line in (as_header(key), *(one.line() for one in searches))))
    phases = lowest_entries(phase for one in searches for phase in one.phases)
    hull = ConvexHull(HullTable("", "", "", lowest_entries([*_entries(crystals), *phases])))
    kept = [phase for phase in phases if phase.energy_per_atom <= _height(hull, phase) + KEEP]
    write_table(out / COMPETING_PHASES, HullTable("competing phases", chosen.energy_frame, chosen.label, kept))
    write_csv(
        out / SYSTEMS,
        ("system", "num_screened", "num_relaxed"),
        ({"system": one.system, "num_screened": one.num_screened, "num_relaxed": one.num_relaxed} for one in searches),
    )
    log.info("%d systems searched, %d phases within %g eV/atom of the hull", len(searches), len(kept), KEEP)


def _height(hull: ConvexHull, phase: Entry) -> float:
    height = hull.height(atom_fractions(phase.formula)).energy_per_atom
    assert height is not None  # it is one of the entries
    return height


def _entries(crystals: list[Crystal]) -> list[Entry]:
    return [
        Entry(one.reduced_formula, one.energy_per_atom, one.crystal_id)
        for one in crystals
        if one.energy_per_atom is not None
    ]


def _by_system(entries: Iterable[Entry]) -> dict[frozenset[str], list[Entry]]:
    found: dict[frozenset[str], list[Entry]] = defaultdict(list)
    for entry in entries:
        found[frozenset(atom_fractions(entry.formula))].append(entry)
    return found


def key_of(crystals: list[Crystal]) -> dict:
    """All that the searches depend on; phases of other shards only decide what is relaxed."""
    content = "".join(map(to_line, crystals)).encode()
    return {
        "calculator": potential(CALCULATOR).label,
        "data_set": hashlib.sha256(content).hexdigest(),
        "limits": [MARGIN, BEST, SPREAD, *STEPS],
        "pymatgen": version("pymatgen"),
    }
