"""The figures of the paper that stand beside ours: Tables 1 to 5 of MiAD, arXiv:2511.14426.

All are percentages of 10,000 samples of models trained on MP-20; None where the paper prints a dash.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from miad.sun.judge import RATES

NUM_SAMPLES = 10_000
HULL = "Materials Project 2023-02-07"  # the paper's appendix D


@dataclass(frozen=True)
class Published:
    """One published row, of one calculator.

    Attributes:
        model: what the paper calls the model or variant.
        calculator: DFT, eqV2 or CHGNet.
        rates: {rate: percent}.
        settings: {section.key: value} that make a variant; empty for models.
    """

    model: str
    calculator: str
    rates: dict[str, float | None]
    settings: dict[str, Any]


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper.

    Attributes:
        number: in the paper.
        subject: what it is of.
        rates: that it prints.
        rows: as published.
        note: what to know of the published rows.
    """

    number: int
    subject: str
    rates: tuple[str, ...]
    rows: tuple[Published, ...]
    note: str = ""

    @property
    def title(self) -> str:
        """Number and subject."""
        return f"Table {self.number}: {self.subject}"

    @property
    def settings(self) -> list[str]:
        """The settings, section.key, that an ablation varies; all its rows name the same ones."""
        return list(self.rows[0].settings)


_TABLE_1 = (
    ("DiffCSP", None, None, None, 5.0, 66.0, 3.3),
    ("FlowMM", 30.6, 73.5, 22.5, 4.6, 60.9, 2.8),
    ("FlowLLM", 66.9, 39.3, 26.3, 13.9, 33.8, 4.7),
    ("WyFormer", 30.5, 89.8, 27.4, 5.2, 92.3, 4.8),
    ("MP20-only ADiT", 81.6, 31.8, 25.9, 14.1, 33.3, 4.7),
    ("MP20-only ADiT (32M)", 71.1, 53.6, 38.1, 12.8, 50.8, 6.5),
    ("Jointly trained ADiT", 81.0, 34.8, 28.2, 15.4, 34.4, 5.3),
    ("MiAD", 73.5, 59.4, 43.6, 12.5, 65.2, 8.2),
)
_TABLE_2_EQV2 = (
    ("DiffCSP", 3.8, 66.6, 2.5),
    ("DiffCSP++", 2.9, 73.5, 2.1),
    ("FlowMM", 2.0, 70.4, 1.4),
    ("SymmCD", 2.8, 70.3, 2.0),
    ("MatterGen MP-20", 2.5, 73.6, 1.8),
    ("MiAD", 9.7, 57.0, 5.5),
)
_TABLE_2_CHGNET = (
    ("CDVAE", 4.4, 96.4, 4.3),
    ("DiffCSP", 11.3, 78.8, 8.9),
    ("DiffCSP++", 11.4, 75.9, 8.6),
    ("FlowMM", 9.1, 71.7, 6.5),
    ("SymmCD", 9.3, 73.5, 6.9),
    ("SymmBFN", 11.8, 75.4, 8.9),
    ("MatterGen MP-20", 9.7, 83.5, 8.1),
    ("MiAD", 19.8, 65.2, 12.9),
)
_FINAL = (9.7, 92.2, 71.1, 5.5), (19.8, 92.2, 71.3, 12.9)  # the final model is a variant of each ablation
# Variant: name, settings, rates by eqV2 and by CHGNet.
_TABLE_3 = (
    ("MiAD (20)", {"mirage.num_atoms": 20}, (8.7, 92.0, 73.0, 5.3), (17.4, 91.9, 72.9, 12.0)),
    ("MiAD (25)", {"mirage.num_atoms": 25}, *_FINAL),
    ("MiAD (30)", {"mirage.num_atoms": 30}, (8.3, 93.1, 74.1, 4.7), (16.6, 93.2, 73.9, 11.3)),
    ("MiAD (35)", {"mirage.num_atoms": 35}, (8.2, 92.3, 70.9, 4.6), (17.9, 92.4, 70.9, 11.8)),
)
_WEIGHT = "train.loss_weights.species"
_TABLE_4 = (
    ("MiAD (κ₃ = 0.5)", {_WEIGHT: 0.5}, (8.2, 93.8, 77.6, 4.7), (17.9, 93.8, 77.6, 12.3)),
    ("MiAD (κ₃ = 1)", {_WEIGHT: 1.0}, *_FINAL),
    ("MiAD (κ₃ = 2)", {_WEIGHT: 2.0}, (8.9, 91.5, 67.4, 5.0), (19.0, 91.5, 67.4, 11.9)),
)


def _placed(coordinates: str, is_masked: bool) -> dict[str, Any]:
    return {"mirage.coordinates": coordinates, "mirage.mask_loss": is_masked}


_TABLE_5 = (
    ("MiAD (uniform, masked)", _placed("uniform", True), *_FINAL),
    ("MiAD (uniform, unmasked)", _placed("uniform", False), (7.7, 91.7, 65.1, 3.8), (16.6, 91.6, 65.2, 10.3)),
    ("MiAD (center, masked)", _placed("center", True), (0.5, 93.4, 93.1, 0.4), (5.8, 92.9, 93.0, 5.2)),
    ("MiAD (center, unmasked)", _placed("center", False), (2.6, 96.3, 87.9, 1.3), (9.9, 96.3, 87.9, 8.1)),
)


def _row(
    rates: tuple[str, ...], calculator: str, model: str, values: Sequence[float | None], settings: dict[str, Any]
) -> Published:
    return Published(model, calculator, dict(zip(rates, values, strict=True)), settings)


_OF_STABLE = ("stable", "unique_novel_among_stable", "sun")
_OF_ALL = ("stable", "unique", "novel", "sun")


def _ablation(number: int, subject: str, variants: Sequence[tuple], note: str = "") -> PaperTable:
    rows = (
        _row(_OF_ALL, calculator, model, values, settings)
        for model, settings, *both in variants
        for calculator, values in zip(("eqV2", "CHGNet"), both, strict=True)
    )
    return PaperTable(number, subject, _OF_ALL, tuple(rows), note)


TABLES = (
    PaperTable(
        1,
        "S.U.N. by DFT",
        tuple(RATES),
        tuple(_row(tuple(RATES), "DFT", model, values, {}) for model, *values in _TABLE_1),
    ),
    PaperTable(
        2,
        "S.U.N. by machine-learned potentials",
        _OF_STABLE,
        tuple(
            _row(_OF_STABLE, calculator, model, values, {})
            for calculator, lines in (("eqV2", _TABLE_2_EQV2), ("CHGNet", _TABLE_2_CHGNET))
            for model, *values in lines
        ),
    ),
    _ablation(
        3,
        "number of atoms after infusion",
        _TABLE_3,
        "The paper rescales κ₃ with the number of atoms so that the parts of the loss keep their shares.",
    ),
    _ablation(4, "weight of the species' loss", _TABLE_4),
    _ablation(5, "placement of mirage atoms and mask of the loss", _TABLE_5),
)
