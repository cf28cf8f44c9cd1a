"""The figures of the paper that stand beside ours, from published.yaml."""

from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

NUM_SAMPLES = 10_000
HULL = "Materials Project 2023-02-07"  # the paper's appendix D


@dataclass(frozen=True)
class Published:
    """One published row, of one calculator."""

    model: str
    calculator: str  # DFT, eqV2 or CHGNet
    rates: dict[str, float | None]  # percent, None where the paper prints a dash
    settings: dict[str, Any]  # {section.key: value} that make a variant; empty for models


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper; rates are in the order of its columns, the note is on the published rows."""

    number: int
    subject: str
    rates: list[str]
    rows: list[Published]
    note: str = ""

    @property
    def title(self) -> str:
        """Number and subject."""
        return f"Table {self.number}: {self.subject}"

    @property
    def settings(self) -> list[str]:
        """The settings, section.key, that an ablation varies; all its rows name the same ones."""
        return list(self.rows[0].settings)


def _table(rates: list[str], rows: list[dict[str, Any]], **others: Any) -> PaperTable:
    found = [
        Published(row["model"], calculator, dict(zip(rates, values, strict=True)), row.get("settings", {}))
        for row in rows
        for calculator, values in row.items()
        if calculator not in ("model", "settings")
    ]
    return PaperTable(rates=rates, rows=found, **others)


TABLES = tuple(
    _table(**one) for one in yaml.safe_load((resources.files("miad.report") / "published.yaml").read_text("utf-8"))
)
