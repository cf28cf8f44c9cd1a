"""The loss curve that can be watched while a training is under way."""

import csv
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from miad.train.loss_curve import Live, columns, write_losses

NAMES = ("one", "other")


def row(epoch: int, validation: float | None = None) -> dict:
    return {
        **dict.fromkeys(columns(NAMES), 0.25),
        "epoch": epoch,
        "step": 7 * epoch,
        "total": 1 / epoch,
        "val_total": validation,
    }


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def watched(folder: Path) -> list[tuple[int, float]]:
    """(step, total) as TensorBoard shows them."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, round(event.value, 6)) for event in events.Scalars("total")]


def test_numbers_are_read_back_to_the_last_digit_and_unknown_ones_are_empty(tmp_path):
    write_losses(tmp_path / "losses.csv", [row(3), row(6, 0.1 + 0.2)], NAMES)
    first, second = read(tmp_path / "losses.csv")
    assert float(first["total"]) == 1 / 3 and first["val_total"] == ""
    assert float(second["val_total"]) == 0.1 + 0.2 and second["step"] == "42"


def test_a_curve_grows_and_a_resumed_one_has_no_epoch_twice(tmp_path):
    table, folder = tmp_path / "losses.csv", tmp_path / "tensorboard"
    live = Live(table, folder, NAMES)
    live.update([row(1)])
    live.update([row(1), row(2)])
    assert [line["epoch"] for line in read(table)] == ["1", "2"] and watched(folder) == [(7, 1.0), (14, 0.5)]
    # Killed here; the next session goes on from a checkpoint of the first epoch.
    again = Live(table, folder, NAMES)
    again.close([row(1), row(2), row(4)])
    live.writer.close()
    assert [line["epoch"] for line in read(table)] == ["1", "2", "4"]
    assert watched(folder) == [(7, 1.0), (14, 0.5), (28, 0.25)]


def test_the_losses_are_those_of_the_process_and_one_that_a_row_lacks_is_empty(tmp_path):
    assert columns(NAMES) == ("epoch", "step", "seconds", "one", "other", "total", "val_total", "learning_rate")
    older = {name: value for name, value in row(1).items() if name != "other"}
    live = Live(tmp_path / "losses.csv", tmp_path / "tensorboard", NAMES)
    live.close([older, row(2)])
    assert [line["other"] for line in read(tmp_path / "losses.csv")] == ["", "0.25"]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("one")] == [7, 14]
    assert [event.step for event in events.Scalars("other")] == [14]
