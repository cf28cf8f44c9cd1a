"""Rows of a pandas data frame written as JSON, whatever its orient: columns, split, table, and `{"entries": [...]}`."""

from collections.abc import Mapping
from typing import Any

from miad.core.errors import MiadError

Row = tuple[Any, Any]  # label in the index, None if there is none, and the record


def rows(content: Any) -> list[Row] | None:
    """Rows of a data frame; None if the content is something else, such as a list of records.

    Raises:
        MiadError: columns and rows do not fit; the message is a reason that begins with "its".
    """
    if not isinstance(content, Mapping) or {"lattice", "sites"} <= set(content):
        return None
    data = content.get("data")
    if isinstance(data, list) and isinstance(content.get("columns"), list):
        return _of_split(content["columns"], content.get("index"), data)
    if isinstance(data, list) and isinstance(content.get("schema"), Mapping):
        return [(row.get("index") if isinstance(row, Mapping) else None, row) for row in data]
    if isinstance(content.get("entries"), list) and "structure" not in content:
        return [(None, row) for row in content["entries"]]
    return _of_columns(content) if _has_columns(content) else None


def _has_columns(content: Mapping[str, Any]) -> bool:
    """Whether every value is a column, and that of the structures no structure itself."""
    column = content.get("structure")
    if not isinstance(column, Mapping) or {"lattice", "sites"} & set(column):
        return False
    return all(isinstance(value, Mapping) for value in content.values())


def _of_columns(content: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    labels = list(content["structure"])
    if odd := [name for name, column in content.items() if set(column) != set(labels)]:
        raise MiadError(f"its column {odd[0]} has other rows than its column structure")
    return [(label, {name: column[label] for name, column in content.items()}) for label in labels]


def _of_split(columns: list, index: Any, data: list) -> list[Row]:
    labels = index if isinstance(index, list) else list(range(len(data)))
    if len(labels) != len(data):
        raise MiadError(f"its index has {len(labels)} labels for {len(data)} rows")
    if odd := [label for label, row in zip(labels, data, strict=True) if not _fits(row, columns)]:
        raise MiadError(f"its row {odd[0]} does not have the {len(columns)} values of its columns")
    names = list(map(str, columns))
    return [(label, dict(zip(names, row, strict=True))) for label, row in zip(labels, data, strict=True)]


def _fits(row: Any, columns: list) -> bool:
    return isinstance(row, list) and len(row) == len(columns)
