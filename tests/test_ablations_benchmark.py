"""benchmarks/ablations.py: settings of its arms, and its tables of what they have left on disk."""

from pathlib import Path

import pytest

from benchmarks import ablations
from miad.core.statistics import difference, wilson
from miad.core.tabular import interval, rate_columns, write_csv
from miad.train.loss_curve import write_losses

SUCCESSES = {"miad": 30, "unmasked": 10}  # of 100 samples


def arm(out: Path, name: str, seconds: float) -> None:
    """The folder of an arm that has been trained and judged; all rates are the same."""
    rows = [{"epoch": n, "step": 5 * n, "seconds": seconds * n, "total": 1.0} for n in (1, 2)]
    (out / name / "judged").mkdir(parents=True)
    write_losses(out / name / "losses.csv", rows, ("lattice", "coords", "species"))
    columns = {rate: rate_columns(f"{rate}_percent") for rate in ablations.RATES}
    found = wilson(SUCCESSES[name], 100).percent()
    bounds = found.value, found.low, found.high
    cells = {of: part for own in columns.values() for of, part in zip(own, bounds, strict=True)}
    table = [{"protocol": protocol, **cells} for protocol in ("strict", "as_paper", "flowmm")]
    write_csv(out / name / "judged" / "sun_table.csv", ["protocol", *cells], table)


def test_tables_of_two_arms_and_their_difference(tmp_path):
    arm(tmp_path, "miad", 60.0)
    arm(tmp_path, "unmasked", 90.0)
    rates, differences = ablations.tables(tmp_path).split("\n\n")
    ours, theirs = (wilson(SUCCESSES[name], 100).percent() for name in ("miad", "unmasked"))
    cells = [" | ".join([interval(one)] * 4) for one in (ours, theirs)]
    for protocol in ("strict", "as_paper"):
        assert f"| miad | 10 | 2.0 | {protocol} | {cells[0]} |" in rates
        assert f"| unmasked | 10 | 3.0 | {protocol} | {cells[1]} |" in rates
    assert "flowmm" not in rates and len(rates.splitlines()) == 2 + 4
    apart = interval(difference(theirs, ours))
    assert apart.startswith("20.0 [")  # MiAD minus the arm
    assert f"| unmasked | strict | {' | '.join([apart] * 4)} |" in differences
    assert len(differences.splitlines()) == 2 + 2  # none of MiAD with itself


def test_without_the_arm_that_others_are_compared_with_there_are_rates_only(tmp_path):
    arm(tmp_path, "unmasked", 90.0)
    assert "minus" not in ablations.tables(tmp_path) and "| unmasked | 10 |" in ablations.tables(tmp_path)


@pytest.mark.parametrize(
    ("name", "num_atoms", "is_masked"),
    [("miad", 11, True), ("diffcsp", None, True), ("num_atoms_8", 8, True), ("unmasked", 11, False)],
)
def test_settings_of_an_arm(name, num_atoms, is_masked):
    run = ablations.run_of(name, 7, 40)
    assert (run["mirage"]["num_atoms"], run["mirage"]["mask_loss"]) == (num_atoms, is_masked)
    assert run["network"]["hidden_dim"] == 192 and run["network"]["allowed_input"] is False
    assert run["train"]["num_epochs"] == 7 and run["sample"]["num_crystals"] == 40


@pytest.mark.parametrize("name", ["diffcsp", "num_atoms_8"])
def test_a_longer_training_differs_from_its_arm_in_nothing_else(name):
    assert ablations.run_of(name + ablations.LONG, 7, 40) == ablations.run_of(name, 7, 40)
