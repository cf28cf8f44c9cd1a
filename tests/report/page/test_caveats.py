"""Warnings appear where they apply, and only there."""

import json
from dataclasses import replace

import pytest

from miad.config.layout import runs_of
from miad.dft.calculation import FLAGS, NOT_DFT
from miad.report.outcomes import outcomes_of
from miad.report.page.caveats import caveats
from tests.builders import finished


@pytest.fixture(scope="module")
def made(results):
    runs, _ = runs_of(json.dumps(finished.config(ablations=None)), results)
    return outcomes_of(runs)


def whats(outcomes) -> dict[str, str]:
    return {caveat.what: caveat.why for caveat in caveats(outcomes)}


def sound(record: dict) -> dict:
    """The row of a run that there is nothing to say against."""
    record = json.loads(json.dumps(record))
    record |= {"calculator": "DFT", "calculator_name": "dft", "versions": {"commit": "0123456789ab"}}
    counts = record["protocols"]["strict"]["counts"]
    counts |= dict.fromkeys(("attempted", "relaxed", "converged"), 10_000)
    record["protocols"]["strict"]["reasons"] = dict.fromkeys(record["protocols"]["strict"]["reasons"], 0)
    return record


def changed(outcomes, **changes):
    """The same on the hull of the Materials Project, with a sound row and changes of it."""
    runs = [replace(one.run, sections={**one.run.sections, "hull": {"source": "mp-2023-02-07"}}) for one in outcomes]
    records = [{**sound(one.record), **changes} for one in outcomes]
    return [replace(one, run=run, record=record) for one, run, record in zip(outcomes, runs, records, strict=True)]


def test_a_laptop_run_is_told_what_it_lacks(made):
    found = whats(made)
    assert {"A small hull", "Not DFT", "Few samples", "Gaps in the hull", "Not converged"} <= set(found)
    assert "miad 35 samples" in found["Few samples"]
    assert "miad: 1 of 34 relaxed samples" in found["Gaps in the hull"]
    assert "miad: 1 of 34 relaxations" in found["Not converged"]
    assert "15 crystals of the data set" in found["A small hull"]
    assert "Stand-in energies" not in found and "Energy frames differ" not in found and "Many failures" not in found


def test_a_sound_run_has_no_warnings(made):
    assert caveats(changed(made)) == []
    given = changed(made)
    for one in given:
        one.counts["converged"] = None  # of crystals that came with energies
    assert caveats(given) == []


@pytest.mark.parametrize(
    ("changes", "what", "word"),
    [
        ({"calculator": NOT_DFT}, "Stand-in energies", "mean nothing"),
        ({"energy_frame": "uncorrected"}, "Energy frames differ", "uncorrected, the hull is mp2020"),
        ({"versions": {"commit": "0123456789ab+"}}, "Source of the program", "0123456789ab+"),
        ({"versions": {}}, "Source of the program", "unknown a copy outside a repository"),
    ],
)
def test_each_flaw_is_named(made, changes, what, word):
    found = whats(changed(made, **changes))
    assert list(found) == [what] and word in found[what]


def test_flagged_candidates_are_counted(made):
    """Those that are S.U.N., not all that were calculated."""
    identities = [identity for identity, verdict in made[0].flags().items() if verdict["sun"]][:2]
    flags = {key: [FLAGS["Yb_2"]] for key in identities} | {"miad-000-00031": [FLAGS["W_pv"]]}
    found = whats(changed(made, flags=flags))
    assert list(found) == ["Doubtful pseudopotentials"]
    assert found["Doubtful pseudopotentials"].startswith("miad: 2 of 30 S.U.N. crystals by DFT are flagged (Yb_2: two")
    assert "W_pv" not in found["Doubtful pseudopotentials"]
    assert caveats(changed(made, flags={"miad-000-00031": [FLAGS["W_pv"]]})) == []


def test_failures_are_told_once_they_are_many(made):
    [one] = changed(made)
    counts = one.record["protocols"]["strict"]["counts"]
    counts |= {"relaxed": 9500, "converged": 9500}
    assert caveats([one]) == []
    counts |= {"relaxed": 9499, "converged": 9499}
    assert whats([one])["Many failures"].startswith("miad: 501 of 10000")


def test_every_warning_names_its_files(made):
    assert all(caveat.files == ("miad/sun/chgnet/row.json",) for caveat in caveats(made))


def test_what_was_not_sent_to_dft_has_not_failed(made):
    def rows(relaxed: int):
        ones = changed(made, num_sent=900, not_sent="not_sun")
        for one in ones:
            one.record["protocols"]["strict"]["counts"] |= {"relaxed": relaxed, "converged": relaxed}
        return whats(ones)

    assert list(rows(890)) == ["Only a part was sent to DFT"]
    assert "900 of 10000 samples, not sent to DFT counts as not S.U.N." in rows(890)["Only a part was sent to DFT"]
    assert "200 of 900" in rows(700)["Many failures"]
