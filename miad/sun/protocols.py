"""What stable, unique and novel mean: each protocol is a named set of explicit choices, read from config.yaml."""

import dataclasses
import typing
from collections.abc import Iterable
from dataclasses import dataclass

from miad.core.errors import MiadError

SPLITS = ("train", "val", "test")
CHOICES = {
    "cells": ("relaxed", "generated"),
    "match": ("either", "forward"),
    "duplicates": ("components", "first_seen"),
    "representative": ("lowest_energy", "first_seen"),
    "frames": ("must_match", "as_given"),
}


@dataclass(frozen=True)
class Protocol:
    """One definition of S.U.N.

    Attributes:
        cells: which cells are compared, `relaxed` or as `generated`.
        match: `either` direction of StructureMatcher, or `forward` (earlier sample or reference first).
        duplicates: `components` of the matches, or `first_seen` in sample order.
        representative: which of the duplicates counts as the unique one, `lowest_energy` or `first_seen`.
        novel_against: splits of the data set whose crystals are known.
        stable_below, metastable_below: limits of the energy above the hull, eV/atom.
        inclusive: whether a crystal exactly at a limit counts.
        elements_count: whether crystals of one element can be S.U.N.
        converged_only: whether a relaxation that ran out of steps can be S.U.N.
        frames: energies and hull `must_match` in their frame, or are compared `as_given`.
    """

    cells: str
    match: str
    duplicates: str
    representative: str
    novel_against: tuple[str, ...]
    stable_below: float
    metastable_below: float
    inclusive: bool
    elements_count: bool
    converged_only: bool
    frames: str

    def is_below(self, energy: float | None, limit: float) -> bool:
        """Whether an energy above the hull (eV/atom, None if unknown) counts as below a limit."""
        return energy is not None and (energy < limit or (self.inclusive and energy == limit))


def read_protocols(records: dict[str, dict]) -> dict[str, Protocol]:
    """The protocols of config.yaml, checked.

    Raises:
        MiadError: a choice is missing, unknown, of the wrong type, or contradicts another.
    """
    return {name: _read(name, record) for name, record in records.items()}


def _read(name: str, record: dict) -> Protocol:
    hints = typing.get_type_hints(Protocol)
    where = f"config.yaml: sun.protocols.{name}"
    odd = sorted(set(hints) ^ set(record))
    if odd:
        kind = "lacks" if odd[0] in hints else "has the unknown key"
        raise MiadError(f"{where} {kind} {odd[0]}. A protocol names each of {', '.join(hints)}.")
    for key, allowed in CHOICES.items():
        if record[key] not in allowed:
            raise MiadError(f"{where}.{key} is {record[key]!r}; use {' or '.join(allowed)}.")
    for key in ("inclusive", "elements_count", "converged_only"):
        if not isinstance(record[key], bool):
            raise MiadError(f"{where}.{key} is {record[key]!r}; use true or false.")
    for key in ("stable_below", "metastable_below"):
        if isinstance(record[key], bool) or not isinstance(record[key], int | float):
            raise MiadError(f"{where}.{key} is {record[key]!r}; give a number in eV/atom.")
    splits = record["novel_against"]
    if not isinstance(splits, list | tuple) or not splits or not set(splits) <= set(SPLITS):
        raise MiadError(f"{where}.novel_against is {splits!r}; give a list of {', '.join(SPLITS)}.")
    if record["metastable_below"] < record["stable_below"]:
        raise MiadError(f"{where}: metastable_below is lower than stable_below; every stable crystal is metastable.")
    return Protocol(**{**record, "novel_against": tuple(split for split in SPLITS if split in splits)})


def as_record(protocol: Protocol) -> dict:
    """The choices as plain values, for the results."""
    record = dataclasses.asdict(protocol)
    return {**record, "novel_against": list(protocol.novel_against)}


def references_needed(protocols: Iterable[Protocol]) -> set[str]:
    """Names of the splits that some protocol compares with."""
    return {split for protocol in protocols for split in protocol.novel_against}
