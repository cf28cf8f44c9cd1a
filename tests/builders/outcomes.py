"""Outcomes of runs by hand: row files and verdicts with given counts."""

import json
from pathlib import Path

import yaml

from miad.dft.estimate import unknown
from miad.sun.judge import COUNTS, rates
from miad.sun.verdict import REASONS, SampleVerdicts, Verdict, write_verdicts
from tests.builders import ROOT

SAMPLES = 1000
HEADLINE = dict.fromkeys(COUNTS, 0) | {"attempted": 1000, "metastable": 400, "msun": 200, "stable": 100, "sun": 50}


def row_file(folder: Path, name: str = "miad") -> Path:
    protocols = {
        key: {
            "counts": counts,
            "rates": {rate: vars(value) for rate, value in rates(counts).items()},
            "reasons": dict.fromkeys(REASONS, 0),
        }
        for key, counts in {"as_paper": {**HEADLINE, "sun": 60}, "strict": HEADLINE}.items()
    }
    versions = dict.fromkeys(("miad", "commit", "python", "torch", "chgnet", "pymatgen"), "1")
    record = {
        "run": name,
        "calculator": "CHGNet 0.3.0",
        "calculator_name": "chgnet",
        "hull": "prototypes (CHGNet 0.3.0)",
        "hull_energy_frame": "mp2020",
        "seed": 0,
        "headline": "strict",
        "versions": versions,
        "protocols": protocols,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(record))
    return path


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
    samples = []
    for index in range(SAMPLES):
        is_novel = index in sun or index not in stable
        reason = "sun" if index in sun else "known" if index in stable else "not stable"
        is_stable, is_sun = index in stable, index in sun
        verdict = Verdict(reason, is_stable, is_stable, True, is_novel, is_sun, is_sun)
        samples.append(SampleVerdicts(f"{samples_of or run}-{index}", None, {}, {"strict": verdict}))
    write_verdicts(folder / "verdicts.jsonl", samples)


def as_dft(results: Path, run: str) -> None:
    """Make the run that `judged` wrote one of DFT on a part of the samples."""
    folder = results / run / "dft"
    (results / run / "sun" / "chgnet").rename(folder)
    row = json.loads((folder / "row.json").read_text())
    row |= {"calculator": "DFT", "calculator_name": "dft", "not_sent": "not_sun"}
    row["protocols"]["strict"]["rates"].update(unknown("not_sun"))
    (folder / "row.json").write_text(json.dumps(row))
