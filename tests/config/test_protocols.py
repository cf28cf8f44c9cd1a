"""Every choice of a protocol is named, and an odd one is refused in words."""

import dataclasses

import pytest

from miad.core.errors import MiadError
from tests.builders.settings import PROTOCOLS, STRICT, protocol

HEADLINE = {
    "cells": "relaxed",
    "match": "either",
    "duplicates": "components",
    "representative": "lowest_energy",
    "novel_against": ("train",),
    "stable_below": 0.0,
    "metastable_below": 0.1,
    "inclusive": False,
    "elements_count": False,
    "converged_only": False,
    "frames": "must_match",
}
# In what the others differ from the headline: their own programs and papers, see the comments of config.yaml.
FIRST_COME = {"match": "sample_first", "duplicates": "first_seen", "representative": "first_seen"}
DIFFERENCES = {
    "strict": {},
    "as_paper": {**FIRST_COME, "duplicates": "every_earlier", "cells": "generated", "frames": "as_given"},
    "flowmm": {
        **FIRST_COME,
        "match": "sample_first_rms",
        "duplicates": "dropped",
        "inclusive": True,
        "representative": "lowest_energy",
    },
    "mattergen": {**FIRST_COME, "inclusive": True, "stable_below": 0.1, "elements_count": True},
}


def test_the_shipped_protocols_are_those_of_their_sources() -> None:
    assert {name: dataclasses.asdict(protocol(name)) for name in PROTOCOLS} == {
        name: {**HEADLINE, **changes} for name, changes in DIFFERENCES.items()
    }


def test_limits_are_strict_unless_inclusive() -> None:
    assert not protocol("strict").is_below(0.0, 0.0) and protocol("flowmm").is_below(0.0, 0.0)
    assert protocol("strict").is_below(-1e-12, 0.0) and not protocol("flowmm").is_below(1e-12, 0.0)
    assert not protocol("mattergen").is_below(None, 0.1)


def test_splits_that_are_known_have_one_order() -> None:
    assert protocol(novel_against=["test", "train"]).novel_against == ("train", "test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": "relxed"}, "relaxed or generated"),
        ({"match": "forward"}, r"protocol\.match .* sample_first \(forward.* wrong way round"),
        ({"match": "backward"}, "either, sample_first, sample_first_rms or sample_first_disordered"),
        ({"inclusive": "maybe"}, "true or false"),
        ({"stable_below": 0.5}, "metastable_below"),
        ({"stable_below": "low"}, "eV/atom"),
        ({"novel_against": ["training"]}, "train, val or test"),
        ({"tolerance": 1}, "tolerance"),
    ],
)
def test_odd_choices_are_named(change: dict, message: str) -> None:
    with pytest.raises(MiadError, match=message):
        protocol(**change)


def test_a_missing_choice_is_named(monkeypatch) -> None:
    monkeypatch.delitem(STRICT, "frames")
    with pytest.raises(MiadError, match="frames is missing"):
        protocol()
