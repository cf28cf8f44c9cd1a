"""Every choice of a protocol is named, and an odd one is refused in words."""

import pytest

from miad.core.errors import MiadError
from miad.sun.protocols import as_record, read_protocols, references_needed
from tests.builders.settings import PROTOCOLS, STRICT

HEADLINE = {
    "cells": "relaxed",
    "match": "either",
    "duplicates": "components",
    "representative": "lowest_energy",
    "novel_against": ["train"],
    "stable_below": 0.0,
    "metastable_below": 0.1,
    "inclusive": False,
    "elements_count": False,
    "converged_only": False,
    "frames": "must_match",
}
# In what the others differ from the headline: their own programs and papers, see the comments of config.yaml.
FIRST_COME = {"match": "forward", "duplicates": "first_seen", "representative": "first_seen"}
DIFFERENCES = {
    "strict": {},
    "as_paper": {**FIRST_COME, "cells": "generated", "frames": "as_given"},
    "flowmm": {**FIRST_COME, "inclusive": True, "representative": "lowest_energy"},
    "mattergen": {**FIRST_COME, "inclusive": True, "stable_below": 0.1, "elements_count": True},
}


def test_the_shipped_protocols_are_those_of_their_sources() -> None:
    protocols = read_protocols(PROTOCOLS)
    assert {name: as_record(one) for name, one in protocols.items()} == {
        name: {**HEADLINE, **changes} for name, changes in DIFFERENCES.items()
    }


def test_limits_are_strict_unless_inclusive() -> None:
    protocols = read_protocols(PROTOCOLS)
    assert not protocols["strict"].is_below(0.0, 0.0) and protocols["flowmm"].is_below(0.0, 0.0)
    assert protocols["strict"].is_below(-1e-12, 0.0) and not protocols["flowmm"].is_below(1e-12, 0.0)
    assert not protocols["mattergen"].is_below(None, 0.1)


def test_references_are_those_that_some_protocol_needs() -> None:
    protocols = read_protocols({"a": STRICT, "b": {**STRICT, "novel_against": ["test", "train"]}})
    assert references_needed(protocols.values()) == {"train", "test"}
    assert protocols["b"].novel_against == ("train", "test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": "relxed"}, "relaxed or generated"),
        ({"inclusive": 3}, "true or false"),
        ({"stable_below": 0.5}, "metastable_below"),
        ({"stable_below": "low"}, "eV/atom"),
        ({"novel_against": ["training"]}, "train, val or test"),
        ({"tolerance": 1}, "tolerance"),
    ],
)
def test_odd_choices_are_named(change: dict, message: str) -> None:
    with pytest.raises(MiadError, match=message):
        read_protocols({"strict": {**STRICT, **change}})


def test_a_missing_choice_is_named() -> None:
    with pytest.raises(MiadError, match="frames is missing"):
        read_protocols({"strict": {key: value for key, value in STRICT.items() if key != "frames"}})
