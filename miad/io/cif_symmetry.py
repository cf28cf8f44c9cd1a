"""The symmetry operations of a CIF: as listed, or of the space group that it names, in whatever notation."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

import gemmi
import numpy as np

from miad.core.errors import MiadError

MAX_OPERATIONS = 2_000  # a space group has 192 in its conventional cell, eight times as many in 2 x 2 x 2
MAX_SYMBOL = 120  # characters of a name or an operation
METRIC_TOLERANCE = 0.02  # of the squares of the lengths: how well a cell fits a space group
TRANSLATION_TOLERANCE = 1e-3  # 0.333 is meant as 1/3

LISTED = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
MAGNETIC = ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_centering_xyz")
HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
HERMANN_MAUGUIN = ("_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m", "_space_group_name_h-m_full")
NUMBER = ("_space_group_it_number", "_symmetry_int_tables_number")
# Settings behind a symbol: `:1 :2 :H :R`, and S and Z for the origins 1 and 2 in ICSD.
SETTING = re.compile(r"(.*\S)\s*(?::\s*([12HRSZhrsz])|(?<=[\sa-z\d])([HRSZ]))S?")

_TOO_MANY = f"its cif lists {{:,}} symmetry operations; more than {MAX_OPERATIONS:,} are refused"
Values = Mapping[str, Sequence[str]]  # of the tags of a block: in small letters, with _ for a dot


def settings(values: Values, metric: np.ndarray) -> list[np.ndarray]:
    """The operations (n_operations, 4, 4), fractional, of each setting that the text may mean; mostly of one.

    Several are possible where a symbol or a number leaves the origin open (F d -3 m).

    Args:
        values: of the tags of the block.
        metric: (3, 3) Å², products of the cell vectors.

    Raises:
        MiadError: operations or names that cannot be read, contradict each other, or do not fit the cell.
    """
    hall, names, numbers = (_given(values, tags) for tags in (HALL, HERMANN_MAUGUIN, NUMBER))
    listed = [one for tag in LISTED for one in _column(values, tag)]
    tags = " ".join(values)
    if "_space_group_ssg" in tags or "_cell_wave_vector" in tags or "_cell_modulation" in tags:
        raise MiadError("it is a modulated structure, which has no unit cell; miad cannot read it")
    if "_space_group_magn" in tags or "_space_group_symop_magn" in tags:
        return _fitting([_magnetic(values)], metric, "its magnetic space group")
    if len(listed) > MAX_OPERATIONS:
        raise MiadError(_TOO_MANY.format(len(listed)))
    if not (hall or names or numbers or listed) and (odd := _other_symmetry(values)):
        raise MiadError(f"its symmetry is told by {odd} only; name its space group, or list its symmetry operations")
    is_one = all(_plain(one) in ("p1", "1") for one in hall + names + numbers)
    if is_one and all(_plain(one) == "x,y,z" for one in listed):
        return [np.eye(4)[None]]
    by_hall = [operations for symbol in hall if (operations := _of_hall(symbol)) is not None]
    by_name = [group for name in names if (group := _of_name(name))]
    by_number = [gemmi.get_spacegroup_reference_setting(int(one)) for one in numbers if _is_number(one)]
    found = {group.number for group in [*itertools.chain(*by_name), *by_number]} | {_number(one) for one in by_hall}
    named = ", ".join([*names, *hall, *numbers])
    if len(found) > 1:
        raise MiadError(f"its space group is named in ways that contradict each other: {named[:80]}")
    if listed:
        operations = _distinct(np.array([_operation(one) for one in dict.fromkeys(map(_plain, listed))]))
        number = _number(operations)
        if found and number not in found:
            what = f"of space group {number}" if number else "of no space group"
            raise MiadError(f"its {len(operations)} listed operations are {what}, but it names {named[:80]}")
        return _fitting([operations], metric, "the list of its operations")
    if by_hall:
        return _fitting(by_hall[:1], metric, f"its space group {named[:80]}")
    if (names and not by_name) or (hall and not names) or (numbers and not names and not by_number):
        raise MiadError(f"its space group {named[:80]} is unknown; list its symmetry operations")
    groups = by_name[0] if by_name else _origins(by_number[0])
    groups = [one for one in groups if all(one in other for other in by_name)]
    return _fitting([_matrices(one.operations()) for one in groups], metric, f"its space group {named[:80]}")


def _other_symmetry(values: Values) -> str | None:
    """A tag that says something of symmetry other than that there is none."""
    tags = (tag for tag in values if tag.startswith(("_space_group_", "_symmetry_")))
    return next((tag for tag in tags if any(one.lower() != "triclinic" for one in _column(values, tag))), None)


def _given(values: Values, tags: Iterable[str]) -> list[str]:
    return [text[:MAX_SYMBOL] for tag in tags for text in _column(values, tag)[:1]]


def _column(values: Values, tag: str) -> list[str]:
    return [text for raw in values.get(tag, ()) if (text := gemmi.cif.as_string(raw).strip())]


def _plain(text: str) -> str:
    return text.replace(" ", "").lower()


def _is_number(text: str) -> bool:
    return text.isdecimal() and 1 <= int(text) <= 230


def _of_name(name: str) -> list[gemmi.SpaceGroup]:
    """The settings of a Hermann-Mauguin symbol; two where it leaves the origin or the axes open."""
    name = re.sub(r"[_()~]", "", name)
    found = SETTING.fullmatch(name)
    if found:
        extension = (found[2] or found[3]).upper().replace("S", "1").replace("Z", "2")
        group = gemmi.find_spacegroup_by_name(f"{found[1]}:{extension}")
        return [group] if group is not None and group.ext == extension else []
    if name.isdecimal():  # gemmi takes it for a number
        return []
    group = gemmi.find_spacegroup_by_name(name)
    return [] if group is None else [group] if name.upper().startswith("H") else _origins(group)


def _origins(group: gemmi.SpaceGroup) -> list[gemmi.SpaceGroup]:
    if group.ext not in ("1", "2", "H", "R"):
        return [group]
    return [one for one in gemmi.spacegroup_table() if one.number == group.number and one.hm == group.hm]


def _of_hall(symbol: str) -> np.ndarray | None:
    try:
        return _matrices(gemmi.symops_from_hall(symbol))
    except (RuntimeError, ValueError):
        return None


def _matrices(operations: Iterable[gemmi.Op]) -> np.ndarray:
    return np.array([operation.float_seitz() for operation in operations])


def _distinct(operations: np.ndarray) -> np.ndarray:
    first: dict[bytes, int] = {}
    for index, key in enumerate(_keys(operations)):
        first.setdefault(key, index)
    return operations[list(first.values())]


def _check_group(operations: np.ndarray) -> None:
    known = set(_keys(operations))
    if not all(known.issuperset(_keys(one @ operations)) for one in operations):
        raise MiadError(f"its {len(operations)} listed operations are no group; one is missing or wrong")


def _operation(text: str) -> np.ndarray:
    # gemmi knows 1/2, 1/3, 1/4 and 1/6; a supercell has other fractions too.
    if len(text) > MAX_SYMBOL or re.search(r"(?<![.\d])\d{4}", text):  # gemmi counts no further
        raise MiadError(f"its symmetry operation {text[:40]!r} is too long")
    decimals = re.sub(r"(\d+)/([1-9]\d*)", lambda found: f"{int(found[1]) / int(found[2]):.12f}", text)
    try:
        transform = gemmi.parse_triplet_as_ftransform(decimals)
    except (RuntimeError, ValueError) as error:
        raise MiadError(f"its symmetry operation {text[:40]!r} cannot be read ({str(error)[:100]})") from error
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = transform.mat.tolist(), transform.vec.tolist()
    rotation, shift = np.round(matrix[:3, :3]), np.round(matrix[:3, 3] * 24) / 24
    is_whole = np.array_equal(rotation, matrix[:3, :3])
    if not is_whole or abs(round(np.linalg.det(rotation))) != 1 or np.abs(matrix).max() > 99:
        raise MiadError(f"its symmetry operation {text[:40]!r} is none: it changes the lengths of the cell")
    matrix[:3, 3] = np.where(np.abs(shift - matrix[:3, 3]) < TRANSLATION_TOLERANCE, shift, matrix[:3, 3])
    return matrix


def _keys(operations: np.ndarray) -> list[bytes]:
    """Of each operation what is equal for equal ones, translations taken modulo 1."""
    # In 720 steps, whose bounds no usual fraction meets.
    shifts = np.floor(operations[:, :3, 3] * 720 + 0.37) % 720
    rows = np.concatenate([operations[:, :3, :3].reshape(-1, 9), shifts], axis=1).astype(np.int16)
    return [row.tobytes() for row in rows]


def _number(operations: np.ndarray) -> int | None:
    """The number of the space group of operations in any setting; None if spglib finds none.

    Raises:
        MiadError: they are no group.
    """
    steps = operations[:, :3, 3] * 24
    if np.allclose(steps, np.round(steps)):
        group = gemmi.find_spacegroup_by_ops(gemmi.GroupOps([gemmi.seitz_to_op(one.tolist()) for one in operations]))
        if group is not None and len(group.operations()) == len(operations):
            return group.number
    _check_group(operations)
    from spglib import get_spacegroup_type_from_symmetry

    try:
        rotations = operations[:, :3, :3].astype(np.intc)
        found = get_spacegroup_type_from_symmetry(rotations, operations[:, :3, 3], symprec=TRANSLATION_TOLERANCE)
    except Exception:  # spglib has an exception of its own for each release
        return None
    return None if found is None else int(found.number)


def _magnetic(values: Values) -> np.ndarray:
    """The operations on positions of a magnetic space group; time reversal, +1 or -1, does not move an atom."""
    listed, shifts = ([_plain(one).rpartition(",")[0] for one in _column(values, tag)] for tag in MAGNETIC)
    if not listed:
        raise MiadError("its magnetic space group is named only; list its symmetry operations")
    if len(listed) * max(len(shifts), 1) > MAX_OPERATIONS:
        raise MiadError(_TOO_MANY.format(len(listed) * max(len(shifts), 1)))
    centred = np.array([_operation(one) for one in shifts or ["x,y,z"]])
    operations = _distinct((centred[:, None] @ np.array([_operation(one) for one in listed])).reshape(-1, 4, 4))
    _check_group(operations)
    return operations


def _fitting(found: list[np.ndarray], metric: np.ndarray, what: str) -> list[np.ndarray]:
    """The settings whose operations leave the lengths and angles of the cell as they are."""
    scale = METRIC_TOLERANCE * np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    kept = []
    for operations in found:
        rotations = operations[:, :3, :3]
        if (np.abs(rotations.transpose(0, 2, 1) @ metric @ rotations - metric) < scale).all():
            kept.append(operations)
    if not kept:
        raise MiadError(f"its cell does not fit {what}")
    return kept
