"""Losses that count as an explosion, and the error then."""

import math

import pytest

from miad.core.errors import MiadError
from miad.train import divergence
from miad.train.checkpoint import LAST, PREVIOUS, Progress

PROGRESS = Progress("k", step=7, epoch=2, best=2.0)


@pytest.mark.parametrize(
    ("total", "best", "expected"),
    [(9.9, 1.0, False), (10.1, 1.0, True), (0.0, 0.0, False), (math.nan, 1.0, True), (math.inf, 1.0, True)],
)
def test_ten_times_the_best_or_no_number(total, best, expected):
    assert divergence.is_explosion(total, best) is expected


def test_excess_is_logged_once_until_the_loss_has_fallen(tmp_path, caplog):
    guard = divergence.Guard(tmp_path)
    losses = [(1.0, 1.0), (1.0, 30.0), (30.0, 1.0), (1.0, 1.0), (30.0, 30.0)]
    assert [guard.is_sound(*pair, PROGRESS) for pair in losses] == [True, False, False, True, False]
    assert caplog.text.count("the loss at step 7 is 30, the best so far was 2") == 2


@pytest.mark.parametrize("pair", [(math.nan, 1.0), (1.0, math.nan), (math.inf, 1.0)])
def test_what_is_no_number_ends_it(tmp_path, pair):
    with pytest.raises(MiadError, match="loss of epoch 3 is"):
        divergence.Guard(tmp_path).is_sound(*pair, PROGRESS)


def test_the_checkpoints_that_are_there_are_named_the_newest_first(tmp_path):
    guard = divergence.Guard(tmp_path)
    guard.check(19.0, PROGRESS)
    with pytest.raises(MiadError, match=r"epoch 3 is 50, the best so far was 2\. .*none was written yet"):
        guard.check(50.0, PROGRESS)
    for name in (PREVIOUS, LAST):
        (tmp_path / name).touch()
    words = str(guard.error(50.0, PROGRESS))
    assert f"Last good checkpoint: {tmp_path / LAST}, the one before it: {tmp_path / PREVIOUS}." in words
