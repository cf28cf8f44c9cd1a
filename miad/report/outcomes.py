"""Outcomes: what each run gave with one calculator, its rates, and its difference to another outcome."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miad.config.layout import Run
from miad.core.errors import MiadError
from miad.core.statistics import Rate, difference, paired_difference, wilson
from miad.dft.calculation import DFT, NO_ENERGY, NOT_DFT
from miad.dft.estimate import RULES
from miad.sun.judge import COUNTS, RATES
from miad.sun.verdict import read_verdicts

# The rates that are compared: one count over another. Unique and novel are those of Tables 3 to 5.
COMPARED = {**RATES, "unique": ("unique", "attempted"), "novel": ("novel", "attempted")}
OF_ALL = tuple(rate for rate, (_, whole) in COMPARED.items() if whole == "attempted")
# Rates and counts as they are called in tables and figures.
NAMES = {
    "metastable": "metastable",
    "unique_novel_among_metastable": "unique & novel among metastable",
    "msun": "M.S.U.N.",
    "stable": "stable",
    "unique_novel_among_stable": "unique & novel among stable",
    "sun": "S.U.N.",
    "unique": "unique",
    "novel": "novel",
}
HEADINGS = {rate: name[0].upper() + name[1:] for rate, name in NAMES.items()}
# Columns of the paper's tables, by the name of a calculator in relax.calculators.
KINDS = {"chgnet": "CHGNet", "eqv2": "eqV2", "dft": DFT}


# What a row file must hold besides its protocols.
KEYS = (
    "run",
    "calculator",
    "calculator_name",
    "hull",
    "hull_energy_frame",
    "seed",
    "versions",
)


@dataclass(frozen=True)
class Outcome:
    """One run judged with one calculator under the headline protocol."""

    run: Run
    record: dict[str, Any]  # content of the row file
    row: Path
    verdicts: Path

    @property
    def judged(self) -> dict[str, Any]:
        """Counts, rates and reasons under the headline protocol."""
        return self.record["protocols"][self.record["headline"]]

    @property
    def counts(self) -> dict[str, Any]:
        """Counts of samples; `converged` is None where it is not known."""
        return self.judged["counts"]

    @property
    def file(self) -> str:
        """The row file, as named from the folder of all results."""
        return self.row.relative_to(self.run.folder).as_posix()

    @property
    def kind(self) -> str:
        """Columns of the paper's tables that it belongs to: CHGNet, eqV2 or DFT; else the name of its calculator."""
        name = self.record["calculator_name"] or self.record["calculator"] or ""
        if KINDS.get(name) == DFT and self.record["calculator"] not in (DFT, NO_ENERGY):
            return self.record["calculator"]  # a stand-in for VASP
        return KINDS.get(name, name)

    @property
    def is_stand_in(self) -> bool:
        """Whether energies, or those of the hull, are of a program that only stands in for VASP."""
        return self.record["calculator"] == NOT_DFT or NOT_DFT in self.record["hull"]

    @property
    def not_sent(self) -> str | None:
        """Rule for samples that were not sent to DFT, in words; None where nothing was to be sent."""
        return RULES.get(self.record.get("not_sent") or "")

    @property
    def is_estimate(self) -> bool:
        """Whether rates were estimated from a part of the samples, so that they are not counts over counts."""
        return self.record.get("not_sent") == "estimate"

    def rate(self, name: str) -> Rate:
        """One of COMPARED in percent, with its 95 % interval."""
        recorded = self.judged["rates"]
        if name in recorded:  # of DFT on a part of the samples, an estimate for all of them, or unknown
            return Rate(**recorded[name])
        part, whole = COMPARED[name]
        return wilson(self.counts[part], self.counts[whole]).percent()

    def flags(self) -> dict[str, dict[str, bool]]:
        """{crystal_id: {rate: whether the sample counts}} for the rates over all attempted samples."""
        headline = self.record["headline"]
        samples = read_verdicts(self.verdicts)
        if absent := [identity for identity, sample in samples.items() if headline not in sample.protocols]:
            raise MiadError(f"{self.verdicts}: {absent[0]} was not judged by {headline}. Delete it and run sun again.")
        return {
            identity: {name: bool(getattr(sample.protocols[headline], f"is_{name}")) for name in OF_ALL}
            for identity, sample in samples.items()
        }


def outcomes_of(runs: list[Run]) -> list[Outcome]:
    """Every run and calculator, in the order of the table."""
    return [
        Outcome(run, read_row(row), row, verdicts)
        for run in runs
        for row, verdicts in zip(run.rows, run.verdicts, strict=True)
    ]


def read_row(path: Path) -> dict[str, Any]:
    """A row file of `miad sun`.

    Raises:
        MiadError: it is damaged or of another version.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        record["protocols"][record["headline"]]
        if absent := [key for key in KEYS if key not in record]:
            raise KeyError(absent[0])
        for judged in record["protocols"].values():
            for rate in RATES:
                Rate(**judged["rates"][rate])
            if odd := [name for name in COUNTS if type(judged["counts"][name]) not in (int, float, type(None))]:
                raise ValueError(f"counts of {odd[0]}")
            judged["reasons"]["no hull"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MiadError(f"{path} is not a row of `miad sun` ({error!r}). Delete it and run sun again.") from error
    return record


def short(name: str | None) -> str:
    """A calculator or hull without the details that stand in brackets behind its name."""
    return (name or "").split(" (")[0]


def differences(one: Outcome, first: Outcome) -> tuple[dict[str, Rate], str]:
    """Differences to the first run in percentage points, with their 95 % intervals, and how they were paired.

    The same samples (an ablation of relaxation or hull) are compared one by one, which the interval profits from;
    samples of their own (an ablation of the training) are independent. Estimated rates, and rates among the stable or
    metastable ones, which have denominators of their own, are always compared as independent.
    """
    found = {name: difference(first.rate(name), one.rate(name)) for name in COMPARED}
    if one.is_estimate or first.is_estimate:
        return found, "estimated rates"
    ours, theirs = one.flags(), first.flags()
    if ours.keys() != theirs.keys():
        return found, "independent samples"
    for name in OF_ALL:
        if found[name].value is not None:
            found[name] = paired_difference((theirs[key][name], ours[key][name]) for key in ours).percent()
    return found, "same samples"
