"""benchmarks/model_card.py: losses of which the total is made differently are not one curve."""

import sys

import pytest

from benchmarks import model_card
from miad.model.weights import Model
from miad.train.loss_curve import write_losses
from tests.builders import toy

TERMS = ("with the cross entropy of the network", "with that of the posterior")
MODEL = Model(toy.MIRAGE, toy.DIFFUSION, toy.NETWORK, True, [0, 1], None, 6, "toy")


def curve(path, num_epochs: int, first_loss: float, seconds: float):
    """A curve with a validation every second epoch, whose loss falls by 0.1 each."""
    rows = [
        {"epoch": n, "step": 4 * n, "seconds": seconds * n, "val_total": None if n % 2 else first_loss - 0.1 * n}
        for n in range(1, num_epochs + 1)
    ]
    write_losses(path, rows, ("lattice", "coords", "species"))
    return path


def test_totals_of_other_terms_have_rows_of_their_own(tmp_path):
    first, then = curve(tmp_path / "first.csv", 4, 3.0, 30.0), curve(tmp_path / "then.csv", 2, 1.0, 60.0)
    lines = model_card.settings(MODEL, list(zip(TERMS, (first, then), strict=True)), 4.0).splitlines()
    assert "| training | 6 epochs, 24 steps, 4 core-hours |" in lines
    assert f"| validation loss by epoch, {TERMS[0]} | 2: 2.800, 4: 2.600 |" in lines
    assert f"| validation loss by core-hours, {TERMS[0]} | 1.0: 2.800, 2.0: 2.600 |" in lines
    assert f"| validation loss by epoch, {TERMS[1]} | 6: 0.800 |" in lines
    assert f"| validation loss by core-hours, {TERMS[1]} | 4.0: 0.800 |" in lines


def test_totals_of_the_same_terms_are_one_curve(tmp_path):
    files = [curve(tmp_path / "first.csv", 4, 3.0, 30.0), curve(tmp_path / "then.csv", 2, 2.7, 30.0)]
    text = model_card.settings(MODEL, [("", path) for path in files], 3.0)
    assert "| validation loss by epoch | 2: 2.800, 4: 2.600, 6: 2.500 |" in text
    assert text.count("validation loss by epoch") == 1


def test_a_long_curve_is_told_by_about_ten_points_and_its_last():
    points = [model_card.Point(n, 1.0 * n, 1.0) for n in range(1, 45)]
    assert [one.epoch for one in model_card.sparse(points)] == [*range(1, 44, 4), 44]
    assert model_card.sparse([]) == []


def test_several_curves_without_their_terms_are_refused(monkeypatch, capsys):
    words = ["--model", "m", "--train", "t", "--losses", "a.csv", "b.csv", "--core-hours", "1", "--out", "o"]
    monkeypatch.setattr(sys, "argv", ["model_card.py", *words])
    with pytest.raises(SystemExit):
        model_card.main()
    assert "1 texts for 2 files of --losses" in capsys.readouterr().err
