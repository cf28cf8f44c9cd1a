"""Differences between runs, and the tables in the layout of the paper."""

import json

import pytest

from miad.config.layout import runs_of
from miad.core.statistics import difference, paired_difference, wilson
from miad.core.tabular import read_csv
from miad.report import compare
from miad.report.outcomes import COMPARED, differences, outcomes_of
from tests.builders.outcomes import SAMPLES, as_dft, judged, settings


def test_every_run_is_compared_to_the_first(tables):
    first, big, quick, _ = read_csv(tables / "runs.csv")
    assert first["compared_to"] is None and first["sun_difference"] is None
    assert [float(first[name]) for name in ("stable_percent", "sun_percent")] == [20.0, 10.0]
    # Samples of their own: two independent shares.
    expected = difference(wilson(100, SAMPLES), wilson(150, SAMPLES)).percent()
    assert (big["compared_to"], big["pairing"]) == ("miad", "independent samples")
    found = [float(big[f"sun_difference{bound}"]) for bound in ("", "_low", "_high")]
    assert found == pytest.approx([expected.value, expected.low, expected.high], abs=1e-3)
    # The same samples relaxed otherwise: sample by sample, which makes the interval narrow.
    expected = paired_difference((index < 100, index < 110) for index in range(SAMPLES)).percent()
    assert quick["pairing"] == "same samples"
    found = [float(quick[f"sun_difference{bound}"]) for bound in ("", "_low", "_high")]
    assert found == pytest.approx([expected.value, expected.low, expected.high], abs=1e-3)
    apart = difference(wilson(100, SAMPLES), wilson(110, SAMPLES)).percent()
    assert found[2] - found[1] < 0.7 * (apart.high - apart.low)


def test_flags_of_single_samples_add_up_to_the_counts(tables):
    runs, _ = runs_of(settings(big={"mirage": {"num_atoms": 20}}), tables.parent)
    for one in outcomes_of(runs):
        flags = one.flags().values()
        for name, (part, whole) in COMPARED.items():
            if whole == "attempted":
                assert sum(flag[name] for flag in flags) == one.counts[part], name


def test_markdown_says_what_is_compared(tables):
    text = (tables / "runs.md").read_text(encoding="utf-8")
    assert "| big | miad | independent samples |" in text and "+5.0 [+" in text


def test_rates_that_were_estimated_are_compared_as_they_are(tmp_path):
    judged(tmp_path, "miad", range(200), range(100))
    judged(tmp_path, "big", range(300), range(150))
    path = tmp_path / "big" / "sun" / "chgnet" / "row.json"
    row = json.loads(path.read_text())
    row |= {"not_sent": "estimate"}
    row["protocols"]["strict"]["rates"]["sun"] = {"value": 12.0, "low": 9.0, "high": 16.0}
    path.write_text(json.dumps(row))
    compare.run(results=tmp_path, out=tmp_path, runs=settings(big={"mirage": {"num_atoms": 20}}))
    first, big = read_csv(tmp_path / "runs.csv")
    assert big["pairing"] == "estimated rates" and float(big["sun_percent"]) == 12.0
    value, low, high = (float(first[f"sun_percent{bound}"]) for bound in ("", "_low", "_high"))
    assert float(big["sun_difference"]) == pytest.approx(2.0)
    assert float(big["sun_difference_low"]) == pytest.approx(2 - ((12 - 9) ** 2 + (high - value) ** 2) ** 0.5, abs=1e-3)
    assert float(big["sun_difference_high"]) == pytest.approx(2 + (4**2 + (value - low) ** 2) ** 0.5, abs=1e-3)


def test_dft_on_the_same_samples_is_compared_pair_by_pair(tmp_path):
    for run, sun in (("miad", range(100)), ("quick", range(110))):
        judged(tmp_path, run, sun, sun, samples_of="miad")
        as_dft(tmp_path, run)
        judged(tmp_path, run, range(200), range(150), samples_of="miad")
    config = json.loads(settings(quick={"relax": {"max_steps": 10}}))
    config["dft"]["enabled"] = True
    config = json.dumps(config)
    compare.run(results=tmp_path, out=tmp_path / "tables", runs=config)
    lines = read_csv(tmp_path / "tables" / "runs.csv")
    first, quick = (line for line in lines if line["calculator"] == "DFT")
    expected = paired_difference((index < 100, index < 110) for index in range(SAMPLES)).percent()
    assert quick["pairing"] == "same samples"
    found = [float(quick[f"sun_difference{bound}"]) for bound in ("", "_low", "_high")]
    assert found == pytest.approx([expected.value, expected.low, expected.high], abs=1e-3)
    for rate in ("stable", "unique_novel_among_stable", "unique"):
        assert quick[f"{rate}_percent"] == quick[f"{rate}_difference"] is None
    # Beside CHGNet's energies of the same samples.
    outcomes = outcomes_of(runs_of(config, tmp_path)[0])
    assert differences(outcomes[1], outcomes[0])[1] == "same samples"
    # And in the layout of the paper.
    table = (tmp_path / "tables" / "table_1.md").read_text(encoding="utf-8")
    assert "| miad (measured) | – | – | 10.0 [" in table
    assert table.count("not sent to DFT counts as not S.U.N.; a dash is a rate") == 2
    assert float(read_csv(tmp_path / "tables" / "table_1.csv")[0]["DFT: sun"]) == float(first["sun_percent"]) == 10.0
