"""Differences between runs, and the tables in the layout of the paper."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from miad.core.statistics import difference, paired_difference
from miad.dft.estimate import unknown
from miad.report import compare
from miad.sun.judge import COUNTS, rates
from tests.builders import ROOT
from tests.report.test_sun_table import row_file

SAMPLES = 1000


def settings(**ablations) -> str:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return json.dumps({**config, "ablations": ablations})


def judged(results: Path, run: str, stable: range, sun: range, samples_of: str | None = None) -> None:
    """A run of a thousand samples, some of them stable and some of these S.U.N.; all are unique and novel but these."""
    folder = results / run / "sun" / "chgnet"
    folder.mkdir(parents=True)
    row = json.loads(row_file(folder, run).read_text())
    counts = dict.fromkeys(COUNTS, SAMPLES) | {
        "stable": len(stable),
        "metastable": len(stable),
        "msun": len(sun),
        "sun": len(sun),
        "novel": SAMPLES - len(stable) + len(sun),
    }
    row["protocols"]["strict"] |= {"counts": counts, "rates": {key: vars(one) for key, one in rates(counts).items()}}
    (folder / "row.json").write_text(json.dumps(row))
    lines = []
    for index in range(SAMPLES):
        is_novel = index in sun or index not in stable
        reason = "sun" if index in sun else "known" if index in stable else "not stable"
        flags = {"is_stable": index in stable, "is_metastable": index in stable, "is_unique": True}
        verdict = {"reason": reason, **flags, "is_novel": is_novel}
        lines.append(json.dumps({"crystal_id": f"{samples_of or run}-{index}", "protocols": {"strict": verdict}}))
    (folder / "verdicts.jsonl").write_text("\n".join(lines) + "\n")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as text:
        return list(csv.DictReader(text))


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    judged(tmp_path, "miad", range(200), range(100))
    judged(tmp_path, "big", range(300), range(150))
    judged(tmp_path, "quick", range(210), range(110), samples_of="miad")
    judged(tmp_path, "both", range(10), range(5))
    config = settings(
        big={"mirage": {"num_atoms": 20}},
        quick={"relax": {"max_steps": 10}},
        both={"mirage": {"num_atoms": 20, "mask_loss": False}},
    )
    compare.run(results=tmp_path, out=tmp_path / "tables", runs=config)
    return tmp_path / "tables"


def test_every_run_is_compared_to_the_first(tables):
    first, big, quick, _ = read(tables / "runs.csv")
    assert first["compared_to"] == "" and first["sun_difference"] == ""
    assert [float(first[name]) for name in ("stable_percent", "sun_percent")] == [20.0, 10.0]
    # Samples of their own: two independent shares.
    expected = difference((100, SAMPLES), (150, SAMPLES)).percent()
    assert (big["compared_to"], big["pairing"]) == ("miad", "independent samples")
    found = [float(big[f"sun_difference{bound}"]) for bound in ("", "_low", "_high")]
    assert found == pytest.approx([expected.value, expected.low, expected.high], abs=1e-3)
    # The same samples relaxed otherwise: sample by sample, which makes the interval narrow.
    expected = paired_difference((index < 100, index < 110) for index in range(SAMPLES)).percent()
    assert quick["pairing"] == "same samples"
    found = [float(quick[f"sun_difference{bound}"]) for bound in ("", "_low", "_high")]
    assert found == pytest.approx([expected.value, expected.low, expected.high], abs=1e-3)
    apart = difference((100, SAMPLES), (110, SAMPLES)).percent()
    assert found[2] - found[1] < 0.7 * (apart.high - apart.low)


def test_flags_of_single_samples_add_up_to_the_counts(tables):
    runs, _ = compare.runs_of(settings(big={"mirage": {"num_atoms": 20}}), tables.parent)
    for one in compare.outcomes_of(runs):
        flags = one.flags().values()
        for name, (part, whole) in compare.COMPARED.items():
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
    row |= {"not_sent": "estimated from those that were sent", "is_estimate": True}
    row["protocols"]["strict"]["rates"]["sun"] = {"value": 12.0, "low": 9.0, "high": 16.0}
    path.write_text(json.dumps(row))
    compare.run(results=tmp_path, out=tmp_path, runs=settings(big={"mirage": {"num_atoms": 20}}))
    first, big = read(tmp_path / "runs.csv")
    assert big["pairing"] == "estimated rates" and float(big["sun_percent"]) == 12.0
    value, low, high = (float(first[f"sun_percent{bound}"]) for bound in ("", "_low", "_high"))
    assert float(big["sun_difference"]) == pytest.approx(2.0)
    assert float(big["sun_difference_low"]) == pytest.approx(2 - ((12 - 9) ** 2 + (high - value) ** 2) ** 0.5, abs=1e-3)
    assert float(big["sun_difference_high"]) == pytest.approx(2 + (4**2 + (value - low) ** 2) ** 0.5, abs=1e-3)


def as_dft(results: Path, run: str) -> None:
    """What `judged` wrote, as the row of DFT on a part of the samples."""
    folder = results / run / "dft"
    (results / run / "sun" / "chgnet").rename(folder)
    row = json.loads((folder / "row.json").read_text())
    row |= {"calculator": "DFT", "not_sent": "not sent to DFT counts as not S.U.N.", "is_estimate": False}
    row["protocols"]["strict"]["rates"].update(unknown("not_sun"))
    (folder / "row.json").write_text(json.dumps(row))


def test_dft_on_the_same_samples_is_compared_pair_by_pair(tmp_path):
    for run, sun in (("miad", range(100)), ("quick", range(110))):
        judged(tmp_path, run, sun, sun, samples_of="miad")
        as_dft(tmp_path, run)
        judged(tmp_path, run, range(200), range(150), samples_of="miad")
    config = json.loads(settings(quick={"relax": {"max_steps": 10}}))
    config["dft"]["enabled"] = True
    config = json.dumps(config)
    compare.run(results=tmp_path, out=tmp_path / "tables", runs=config)
    lines = read(tmp_path / "tables" / "runs.csv")
    first, quick = (line for line in lines if line["calculator"] == "DFT")
    expected = paired_difference((index < 100, index < 110) for index in range(SAMPLES)).percent()
    assert quick["pairing"] == "same samples"
    found = [float(quick[f"sun_difference{bound}"]) for bound in ("", "_low", "_high")]
    assert found == pytest.approx([expected.value, expected.low, expected.high], abs=1e-3)
    for rate in ("stable", "unique_novel_among_stable", "unique"):
        assert quick[f"{rate}_percent"] == quick[f"{rate}_difference"] == ""
    # Beside CHGNet's energies of the same samples.
    outcomes = compare.outcomes_of(compare.runs_of(config, tmp_path)[0])
    assert compare.differences(outcomes[1], outcomes[0])[1] == "same samples"
    # And in the layout of the paper.
    table = (tmp_path / "tables" / "table_1.md").read_text(encoding="utf-8")
    assert "| miad (measured) | – | – | 10.0 [" in table
    assert table.count("not sent to DFT counts as not S.U.N.; a dash is a rate") == 2
    assert float(read(tmp_path / "tables" / "table_1.csv")[0]["DFT: sun"]) == float(first["sun_percent"]) == 10.0
