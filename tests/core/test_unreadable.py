"""What cannot be read is counted by kind, told with its commonest reasons, and bounded."""

import dataclasses
import json

import pytest

from miad.core.errors import MiadError
from miad.core.sound import unread
from miad.core.unreadable import Tally, of_crystals, tally
from tests.builders.crystals import rock_salt

FAILURES = [
    ("a", "its volume is 0.3 Å³"),
    ("b", "its cif is empty"),
    ("c", "its volume is 1.7e-3 Å³"),
    ("d", "the site 'OH' is no element"),
    ("e", "the site 'Wat' is no element"),
    ("f", "its volume is -2 Å³"),
    ("g", "no cell"),
]


def told(total: int = 100) -> Tally:
    return tally("train.csv", "rows", "are left out", FAILURES, total)


def test_reasons_that_differ_in_values_only_are_one_kind_and_the_commonest_come_first() -> None:
    assert str(told()) == (
        "train.csv: 7 of 100 rows failed and are left out: 3 × its volume is 0.3 Å³ (e.g. a);"
        " 2 × the site 'OH' is no element (e.g. d); 1 × its cif is empty (e.g. b); 1 for other reasons"
    )


def test_reasons_that_differ_in_the_name_only_are_one_kind() -> None:
    failures = [(name, f"Entry {name} has no run type") for name in ("mp-1", "x", "../y")]
    assert tally("a.json", "entries", "fail", failures, 9).reasons == "3 × Entry mp-1 has no run type (e.g. mp-1)"


def test_what_is_within_the_bound_is_said(caplog) -> None:
    told().report(0.07, "Mend it.")
    assert "train.csv: 7 of 100 rows failed" in caplog.text
    caplog.clear()
    tally("train.csv", "rows", "are left out", [], 100).report(0.0, "Mend it.")
    assert not caplog.text


@pytest.mark.parametrize(("total", "share"), [(100, 0.06), (69, 0.1), (8, 0.87), (100, 0.0)])
def test_more_than_the_bound_is_refused_with_counts_reasons_and_remedy(total: int, share: float) -> None:
    words = rf"train\.csv: 7 of {total} rows cannot be read, more than {share:g} .*3 × .*2 × .*1 × .*Mend it\."
    with pytest.raises(MiadError, match=words + r".*unreadable\.max_share.*--max-unreadable"):
        told(total).report(share, "Mend it.")


@pytest.mark.parametrize("share", [None, 1.0])
def test_an_input_of_which_nothing_is_left_is_refused_whatever_the_bound(share: float | None) -> None:
    with pytest.raises(
        MiadError, match=r"train\.csv: none of its 7 rows can be read, e\.g\. a: its volume .*Mend it\."
    ):
        told(7).report(share, "Mend it.")
    told(8).report(share, "Mend it.")


def test_crystals_that_failed_after_reading_are_told_but_not_bounded(caplog) -> None:
    sound = [rock_salt(f"s{number}") for number in range(8)]
    lost = [rock_salt("r").failed("relax", "exploded"), rock_salt("h").failed("hull", "no Na")]
    of_crystals("ledger.jsonl", [*sound, *lost], "do not count as known").report(0.0, "Mend it.")
    assert (
        "ledger.jsonl: 1 of 10 crystals failed and do not count as known: 1 × relax: exploded (e.g. r)" in caplog.text
    )
    with pytest.raises(MiadError, match="1 of 11 crystals cannot be read"):
        of_crystals("x", [*sound, *lost, unread("u", "read", "torn")], "do not count").report(0.05, "Mend it.")


def test_a_message_stays_short_whatever_the_reasons_are() -> None:
    long = tally("x", "rows", "are left out", [(f"id{n}", chr(97 + n) * 5000) for n in range(20)], 50)
    assert len(str(long)) < 600


def test_a_tally_is_plain_values() -> None:
    assert Tally(**json.loads(json.dumps(dataclasses.asdict(told())))).failed == 7
