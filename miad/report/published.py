"""The figures of the paper that stand beside ours: Tables 1 and 2 of MiAD, arXiv:2511.14426.

All are percentages of 10,000 samples of models trained on MP-20; None where the paper prints a dash.
"""

from dataclasses import dataclass

NUM_SAMPLES = 10_000
HULL = "Materials Project 2023-02-07"  # the paper's appendix D


@dataclass(frozen=True)
class Published:
    """One published row, in percent; the names are those of `miad.sun.judge.RATES`."""

    source: str
    model: str
    calculator: str
    metastable: float | None
    unique_novel_among_metastable: float | None
    msun: float | None
    stable: float | None
    unique_novel_among_stable: float | None
    sun: float | None


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

ROWS = (
    *(Published("Table 1", model, "DFT", *figures) for model, *figures in _TABLE_1),
    *(Published("Table 2", model, "eqV2", None, None, None, *figures) for model, *figures in _TABLE_2_EQV2),
    *(Published("Table 2", model, "CHGNet", None, None, None, *figures) for model, *figures in _TABLE_2_CHGNET),
)


@dataclass(frozen=True)
class PublishedAblation:
    """One row of Tables 3 to 5, in percent of 10,000 samples.

    Attributes:
        label: what the paper calls the variant.
        settings: {section.key: value} that make it.
        eqv2, chgnet: stable, unique, novel and S.U.N. by each potential.
    """

    label: str
    settings: dict[str, object]
    eqv2: tuple[float, float, float, float]
    chgnet: tuple[float, float, float, float]


def _placed(coordinates: str, is_masked: bool) -> dict[str, object]:
    return {"mirage.coordinates": coordinates, "mirage.mask_loss": is_masked}


# Tables 3, 4 and 5: {number of the table: rows}; a table's rows all name the same settings.
ABLATIONS: dict[int, tuple[PublishedAblation, ...]] = {
    3: tuple(
        PublishedAblation(f"MiAD ({number})", {"mirage.num_atoms": number}, eqv2, chgnet)
        for number, eqv2, chgnet in (
            (20, (8.7, 92.0, 73.0, 5.3), (17.4, 91.9, 72.9, 12.0)),
            (25, (9.7, 92.2, 71.1, 5.5), (19.8, 92.2, 71.3, 12.9)),
            (30, (8.3, 93.1, 74.1, 4.7), (16.6, 93.2, 73.9, 11.3)),
            (35, (8.2, 92.3, 70.9, 4.6), (17.9, 92.4, 70.9, 11.8)),
        )
    ),
    4: tuple(
        PublishedAblation(f"MiAD (κ₃ = {weight:g})", {"train.loss_weights.species": weight}, eqv2, chgnet)
        for weight, eqv2, chgnet in (
            (0.5, (8.2, 93.8, 77.6, 4.7), (17.9, 93.8, 77.6, 12.3)),
            (1.0, (9.7, 92.2, 71.1, 5.5), (19.8, 92.2, 71.3, 12.9)),
            (2.0, (8.9, 91.5, 67.4, 5.0), (19.0, 91.5, 67.4, 11.9)),
        )
    ),
    5: (
        PublishedAblation(
            "MiAD (uniform, masked)", _placed("uniform", True), (9.7, 92.2, 71.1, 5.5), (19.8, 92.2, 71.3, 12.9)
        ),
        PublishedAblation(
            "MiAD (uniform, unmasked)", _placed("uniform", False), (7.7, 91.7, 65.1, 3.8), (16.6, 91.6, 65.2, 10.3)
        ),
        PublishedAblation(
            "MiAD (center, masked)", _placed("center", True), (0.5, 93.4, 93.1, 0.4), (5.8, 92.9, 93.0, 5.2)
        ),
        PublishedAblation(
            "MiAD (center, unmasked)", _placed("center", False), (2.6, 96.3, 87.9, 1.3), (9.9, 96.3, 87.9, 8.1)
        ),
    ),
}
