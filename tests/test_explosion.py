"""When a loss counts as an explosion, and what is said then."""

import math

import pytest

from miad import checkpoint, explosion


@pytest.mark.parametrize(
    ("total", "best", "expected"),
    [(9.9, 1.0, False), (10.1, 1.0, True), (0.0, 0.0, False), (math.nan, 1.0, True), (math.inf, 1.0, True)],
)
def test_ten_times_the_best_or_no_number(total, best, expected):
    assert explosion.is_one(total, best) is expected


def test_the_checkpoints_that_are_there_are_named_the_newest_first(tmp_path):
    assert "loss of epoch 3 is 50, the best so far was 2." in str(explosion.error(tmp_path, 2, 50.0, 2.0))
    assert "none was written yet" in str(explosion.error(tmp_path, 2, 50.0, 2.0))
    for name in (checkpoint.PREVIOUS, checkpoint.LAST):
        (tmp_path / name).touch()
    words = str(explosion.error(tmp_path, 2, 50.0, 2.0))
    assert (
        f"Last good checkpoint: {tmp_path / checkpoint.LAST}, the one before it: {tmp_path / checkpoint.PREVIOUS}."
        in words
    )
