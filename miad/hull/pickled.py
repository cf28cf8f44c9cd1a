"""Entries from a pickled pymatgen PatchedPhaseDiagram, without running anything that the pickle asks for.

Every class of pymatgen and numpy becomes a plain record of its state, and only a few constructors of Python are real.
So the file is readable whatever pymatgen wrote it, and it cannot run code, whoever made it.
"""

import collections
import datetime
import pickle
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from miad.core.errors import MiadError
from miad.core.files import Unpacked, verify
from miad.hull.convex import Entry, formula_of
from miad.io.unpickle import Record

STUBBED = ("pymatgen.", "monty.", "uncertainties.", "scipy.")
NUMBER = re.compile("[fiub][1248]")  # numpy's types of a number, as it pickles them
REAL = {
    **{("builtins", kind.__name__): kind for kind in (set, frozenset, list, dict, tuple, slice, object, complex)},
    ("collections", "defaultdict"): collections.defaultdict,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("datetime", "datetime"): datetime.datetime,
}
_DAMAGED = (
    pickle.UnpicklingError,
    EOFError,
    OSError,
    LookupError,
    AttributeError,
    TypeError,
    ValueError,
    MemoryError,
    OverflowError,
    RecursionError,
    zlib.error,
)


class _NumpyRecord(Record):
    """An array, whose numbers no entry needs, or the type of its numbers."""

    order = "<"

    def __setstate__(self, state: Any) -> None:
        """Keep the order of bytes of a type: (version, order, …)."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
            self.order = state[1]


def _encoded(text: str, encoding: str) -> bytes:
    """Bytes, as pickles of protocol 2 write them; other encodings make them longer each time."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r:.60}")
    return text.encode(encoding)


def _number(kind: Record, raw: bytes) -> float:
    """A number of numpy, from its type and its bytes."""
    if not (isinstance(kind, _NumpyRecord) and isinstance(raw, bytes) and NUMBER.fullmatch(str(kind.arguments[0]))):
        raise pickle.UnpicklingError("it has a number of an unknown type")
    return np.frombuffer(raw, kind.order + kind.arguments[0], count=1)[0].item()


class _Unpickler(pickle.Unpickler):
    """Refuses every name that is neither known to be harmless nor a class to be recorded."""

    def find_class(self, module: str, name: str) -> Any:
        """A real constructor, or a record that bears the name of the class."""
        module = "builtins" if module == "__builtin__" else module
        if (module, name) == ("_codecs", "encode"):
            return _encoded
        if (module, name) in REAL:
            return REAL[module, name]
        if module.split(".")[0] == "numpy":
            return _number if name == "scalar" else type(name, (_NumpyRecord,), {})
        if module.startswith(STUBBED):
            return type(name, (Record,), {})
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_patched_diagram(path: Path, expected: str) -> list[Entry]:
    """All entries of a pickled PatchedPhaseDiagram (gzipped), with their MP2020 corrections.

    Raises:
        MiadError: another checksum than `expected`, compared before the file is opened, or not such a pickle.

    Source: matbench-discovery, Riebesell et al., arXiv:2308.14920.
    """
    verify(path, expected, remedy="The file is damaged or was replaced; delete it and run `miad hull` again.")
    try:
        with Unpacked(path) as file:
            diagram = _Unpickler(file).load()
        return list(_entries(diagram.get("all_entries", "qhull_entries")))
    except _DAMAGED as error:
        raise MiadError(
            f"{path} is not a pickled PatchedPhaseDiagram that miad can read ({str(error)[:150]}). Give a CSV or JSON"
            " of entries as hull.source."
        ) from error


def _entries(records: Iterable[Record]) -> Iterator[Entry]:
    for record in records:
        amounts = _amounts(record.get("_composition", "composition"))
        energy = float(record.get("_energy", "energy")) + sum(map(_adjustment, record.state["energy_adjustments"]))
        identity = record.state.get("entry_id")
        # Of tuples that hold each other over and over the text would fill the memory.
        is_plain = isinstance(identity, str | int)
        yield Entry(formula_of(amounts), energy / sum(amounts.values()), str(identity) if is_plain else None)


def _amounts(composition: Record) -> dict[str, float]:
    """{element symbol: number of atoms}; an Element of the pickle holds its symbol as its only argument."""
    return {element.arguments[0]: float(amount) for element, amount in composition.get("_data").items()}


def _adjustment(record: Record) -> float:
    """Energy in eV of one correction: a constant, or so much per atom or per kelvin."""
    state = record.state
    if "_value" in state:
        return float(state["_value"])
    if "_adj_per_atom" in state:
        return float(state["_adj_per_atom"]) * float(state["n_atoms"])
    if "_adj_per_deg" in state:
        return float(state["_adj_per_deg"]) * float(state["temp"]) * float(state["n_atoms"])
    raise ValueError(f"an energy correction of the unknown kind {type(record).__name__}")
