"""Hypothesis strategies: inputs of every kind that are nearly right, for tests of what readers make of them."""

import csv
import io
import json
from typing import Any

from hypothesis import strategies as st

from tests.builders.inputs import cifs, structures, xyz
from tests.builders.tables import optimade

CHARACTERS = st.characters(codec=None)  # also halves of surrogate pairs, which json.loads gives
TEXTS = st.text(CHARACTERS, max_size=12)
NUMBERS = st.one_of(st.floats(), st.integers(), st.sampled_from([10**400, -1, 0, 119, 1e300, 1e-300, True]))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS, lambda one: st.lists(one, max_size=3) | st.dictionaries(TEXTS, one, max_size=3), max_leaves=5
)
FRAGMENTS = st.sampled_from(
    ["", "?", ".", "nan", "inf", "-", "1e999", "9" * 400, "loop_\n", "data_\n", ";\n", "'", '"', "\n", "\0", "\ud800",
     "é", "Na+", "X", "D", "[[[", "{", "}", ",", "_atom_site_occupancy 0.5\n", "save_", "#", "<", "</v>", "&lt;", "(2)"]
)  # fmt: skip


@st.composite
def edited(draw: st.DrawFn, text: str, most: int = 4) -> str:
    """A text with some spans cut, doubled, or replaced by fragments."""
    for _ in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        text = text[:start] + draw(st.one_of(FRAGMENTS, TEXTS, st.just(text[start:end] * 2))) + text[end:]
    return text


@st.composite
def altered(draw: st.DrawFn, value: Any, most: int = 3) -> Any:
    """A value of JSON with some parts, at any depth, replaced or left out."""
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(0, most))):
        place, key = None, None
        inner = value
        while isinstance(inner, dict | list) and inner and (place is None or draw(st.integers(0, 4))):
            keys = sorted(inner) if isinstance(inner, dict) else range(len(inner))
            place, key = inner, draw(st.sampled_from(list(keys)))
            inner = place[key]
        if place is None:
            return draw(VALUES)
        if draw(st.booleans()):
            place[key] = draw(VALUES)
        else:
            del place[key]
    return value


def crystals() -> st.SearchStrategy[dict[str, Any]]:
    """Lines of miad's own JSON, as records."""
    line = {
        "crystal_id": "a-0-1",
        "lattice": [[4.0, 0, 0], [0, 4, 0], [0, 0, 4]],
        "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
        "atomic_numbers": [55, 17],
        "source_id": "mp-1",
        "energy_per_atom": -3.0,
        "energy_frame": "mp2020",
        "num_steps": 3,
        "converged": True,
    }
    return st.one_of(altered(line), altered({**line, "failure": {"step": "read", "reason": "odd"}}))


def records() -> st.SearchStrategy[Any]:
    """What one crystal of somebody else's JSON may be."""
    kinds: list[Any] = []
    for name, one in structures().items():
        kinds += [{"id": name, "structure": one.as_dict(), "energy_per_atom": -3.0}, one.as_dict(), optimade(name, one)]
        kinds += [{"structure": one.as_dict(), "energy": -24.0, "correction": -1.0, "entry_id": name}]
        kinds += [{"id": name, "cif": cifs()[name]}, {"id": name, "structure": str(one.as_dict())}]
    return st.sampled_from(kinds).flatmap(altered)


@st.composite
def json_texts(draw: st.DrawFn) -> str:
    """JSON files: lists, mappings, data frames and responses of such records."""
    ones = draw(st.lists(records(), min_size=1, max_size=3))
    frame = {"columns": ["id", "structure"], "index": [0], "data": [["a", ones[0]]]}
    kinds = [ones, ones[0], {str(n): one for n, one in enumerate(ones)}, {"entries": ones}, {"data": ones, "meta": {}}]
    kinds += [frame, {"structure": {str(n): one for n, one in enumerate(ones)}}]
    text = json.dumps(draw(st.sampled_from(kinds).flatmap(lambda one: altered(one, 1))))
    return draw(st.one_of(st.just(text), edited(text, 1)))


@st.composite
def csv_texts(draw: st.DrawFn) -> str:
    """CSV files of any delimiter whose cells hold crystals, numbers or anything."""
    texts = [*cifs().values(), *map(str, (one.as_dict() for one in structures().values()))]
    cell = st.one_of(st.sampled_from(texts).flatmap(lambda one: edited(one, 1)), TEXTS)
    names = draw(st.lists(st.sampled_from(["id", "cif", "structure", "energy_per_atom", "energy", "x"]), max_size=4))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=draw(st.sampled_from(",;\t|")), escapechar="\\")
    writer.writerow(["cif", *names])
    for _ in range(draw(st.integers(0, 3))):
        writer.writerow([draw(cell), *(draw(st.one_of(TEXTS, NUMBERS)) for _ in names)])
    return draw(edited(out.getvalue(), 1))


def cif_texts() -> st.SearchStrategy[str]:
    """CIF files of one crystal or two."""
    return st.sampled_from([*cifs().values(), "".join(cifs().values())]).flatmap(edited)


def xyz_texts() -> st.SearchStrategy[str]:
    """Extended XYZ of two frames."""
    return st.sampled_from([xyz(), xyz(energies=True)]).flatmap(edited)


def hull_entries() -> st.SearchStrategy[Any]:
    """JSON of computed entries."""
    entries = [
        {"composition": {"Na": 1, "Cl": 1}, "energy": -6.8, "correction": -0.1, "entry_id": "mp-1", "data": {}},
        {"composition": {"Na+": 1.0}, "energy": -1.3, "correction": 0, "parameters": {"run_type": "GGA"}},
        {"composition": {"Cl": 1}, "energy": -1.8, "correction": None, "entry_id": None},
    ]
    return altered(entries, 3)
