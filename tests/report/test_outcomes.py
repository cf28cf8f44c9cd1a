"""One run judged with one calculator."""

import json

import pytest

from miad.config.layout import Run
from miad.core.errors import MiadError
from miad.dft.calculation import DFT, NO_ENERGY, NOT_DFT
from miad.report.outcomes import Outcome, read_row, short
from tests.builders.finished import samples, write_run


@pytest.mark.parametrize(
    ("name", "calculator", "kind"),
    [
        ("chgnet", "CHGNet 0.3.0 (chgnet 0.4.2, sha256:d14ab7c0)", "CHGNet"),
        ("eqv2", "eqV2_153M_omat_mp_salex", "eqV2"),
        ("dft", DFT, "DFT"),
        ("dft", NO_ENERGY, "DFT"),  # a row of Table 1, not of the potentials
        ("dft", NOT_DFT, NOT_DFT),
        ("my_chgnet", "CHGNet, tuned", "my_chgnet"),
        (None, "MatterSim", "MatterSim"),  # came with the crystals
    ],
)
def test_calculators_belong_to_the_columns_of_the_paper(tmp_path, name, calculator, kind):
    record = {"calculator_name": name, "calculator": calculator}
    assert Outcome(Run("miad", tmp_path, {}, {}), record, tmp_path, tmp_path).kind == kind


def test_details_are_left_out_of_names():
    assert short("CHGNet 0.3.0 (sha256:d1)") == "CHGNet 0.3.0" and short(None) == ""


def test_a_damaged_row_is_named(tmp_path):
    (tmp_path / "row.json").write_text("[1]")
    with pytest.raises(MiadError, match=r"row\.json is not a row of `miad sun`"):
        read_row(tmp_path / "row.json")


@pytest.mark.parametrize("key", ["calculator_name", "hull", "versions", "counts", "rates", "reasons"])
def test_a_row_file_without_a_part_is_refused(tmp_path, key):
    write_run(tmp_path, "miad", samples("miad"))
    path = tmp_path / "miad" / "sun" / "chgnet" / "row.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    for block in (record, *record["protocols"].values()):
        block.pop(key, None)
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(MiadError, match=r"row\.json is not a row of `miad sun` .*" + key):
        read_row(path)
