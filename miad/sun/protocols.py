"""What stable, unique and novel mean: each protocol is a named set of explicit choices, read from config.yaml."""

import dataclasses
from collections.abc import Iterable

from miad.config.sections import Protocol, from_record


def read_protocols(records: dict[str, dict]) -> dict[str, Protocol]:
    """The protocols of config.yaml, checked.

    Raises:
        MiadError: a choice is missing, unknown, of the wrong type, or contradicts another.
    """
    return {name: from_record(Protocol, record) for name, record in records.items()}


def as_record(protocol: Protocol) -> dict:
    """The choices as plain values, for the results."""
    record = dataclasses.asdict(protocol)
    return {**record, "novel_against": list(protocol.novel_against)}


def references_needed(protocols: Iterable[Protocol]) -> set[str]:
    """Names of the splits that some protocol compares with."""
    return {split for protocol in protocols for split in protocol.novel_against}
