"""Records in the JSON of others: a pandas data frame in any orient, `{"entries": [...]}`, an OPTIMADE response."""

import logging
from collections.abc import Collection, Mapping
from typing import Any

from miad.core.errors import MiadError
from miad.io.json_crystals import is_structure

log = logging.getLogger("miad")

Row = tuple[Any, Any]  # label in the index, None if there is none, and the record


def rows(content: Any, columns: Collection[str]) -> list[Row]:
    """The records of a file, each with its label.

    Args:
        content: what the file holds.
        columns: names of columns that hold crystals.

    Raises:
        MiadError: columns and rows do not fit, or have no names; the message is a reason that begins with "it".
    """
    if isinstance(content, list):
        if content and all(isinstance(row, list) for row in content):
            raise MiadError("its rows have no names of columns, as pandas writes them with orient='values'")
        return [(None, row) for row in content]
    if not isinstance(content, Mapping) or is_structure(content):
        return [(None, content)]
    has_column = bool(set(columns) & set(content))
    if has_column and not _is_frame(content):
        return [(None, content)]
    data = content.get("data")
    if isinstance(data, list) and isinstance(content.get("columns"), list):
        return _of_split(content["columns"], content.get("index"), data)
    if isinstance(data, list) and isinstance(content.get("schema"), Mapping):
        return [(row.get("index") if isinstance(row, Mapping) else None, row) for row in data]
    if isinstance(data, list) or (isinstance(data, Mapping) and "attributes" in data):
        return _of_optimade(content, data if isinstance(data, list) else [data])
    if isinstance(content.get("entries"), list):
        return [(None, row) for row in content["entries"]]
    return _of_columns(content, columns) if has_column else list(content.items())


def _is_frame(content: Mapping[str, Any]) -> bool:
    """Whether every value is a column, {label: value}, and none a crystal itself."""
    return all(isinstance(value, Mapping) and not is_structure(value) for value in content.values())


def _of_optimade(content: Mapping[str, Any], data: list) -> list[Row]:
    meta = content.get("meta")
    if isinstance(meta, Mapping) and meta.get("more_data_available"):
        log.warning("this OPTIMADE response is one page of several; the crystals of the others are not in it")
    return [(None, row) for row in data]


def _of_columns(content: Mapping[str, Mapping[str, Any]], columns: Collection[str]) -> list[Row]:
    labels = list(content[next(name for name in columns if name in content)])
    if odd := [name for name, column in content.items() if set(column) != set(labels)]:
        raise MiadError(f"its column {odd[0]} has other rows than its column of crystals")
    return [(label, {name: column[label] for name, column in content.items()}) for label in labels]


def _of_split(columns: list, index: Any, data: list) -> list[Row]:
    labels = index if isinstance(index, list) else list(range(len(data)))
    if len(labels) != len(data):
        raise MiadError(f"its index has {len(labels)} labels for {len(data)} rows")
    if odd := [label for label, row in zip(labels, data, strict=True) if not _fits(row, columns)]:
        raise MiadError(f"its row {odd[0]} does not have the {len(columns)} values of its columns")
    names = list(map(str, columns))
    if len(set(names)) < len(names):
        raise MiadError("its columns have names that stand twice")
    return [(label, dict(zip(names, row, strict=True))) for label, row in zip(labels, data, strict=True)]


def _fits(row: Any, columns: list) -> bool:
    return isinstance(row, list) and len(row) == len(columns)
