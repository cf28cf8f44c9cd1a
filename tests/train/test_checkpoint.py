"""Checkpoints: all of a training's state comes back, and nothing that was computed is destroyed."""

import json
import logging

import pytest
import torch
from safetensors.torch import save_file

from miad.train import checkpoint
from miad.train.checkpoint import BEFORE_COOLDOWN, LAST, PREVIOUS, Progress, find, fingerprint, load, save, set_aside

GROUPS = {
    "weights": {"layer.0.weight": torch.rand(3, 2), "layer.0.bias": torch.rand(3)},
    "exp_avg": {"layer.0.weight": torch.rand(3, 2)},
    "running": {"losses": torch.tensor([1 / 3, 0.0, 1e-30])},
}


def write(folder, name=LAST, key="k", step=7, num_steps=20, epoch=2):
    rows = [{"epoch": 1, "val_total": None, "total": 0.1 + 0.2}]
    save(folder / name, Progress(key, step, epoch, 1, rows, 12.5, num_steps, 0.25), GROUPS)
    return folder / name


def always(progress: Progress) -> bool:
    return True


def test_everything_comes_back_to_the_last_bit(tmp_path):
    progress, groups = load(write(tmp_path))
    assert progress == Progress("k", 7, 2, 1, [{"epoch": 1, "val_total": None, "total": 0.1 + 0.2}], 12.5, 20, 0.25)
    assert groups.keys() == GROUPS.keys()
    for group, part in GROUPS.items():
        assert groups[group].keys() == part.keys()
        assert all(torch.equal(groups[group][name], tensor) for name, tensor in part.items())


def test_a_fresh_progress_has_no_best_loss_and_survives_json(tmp_path):
    save(tmp_path / LAST, Progress("k"), GROUPS)
    assert load(tmp_path / LAST)[0] == Progress("k")


def test_the_key_changes_with_settings_and_data_only(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"1")
    key = fingerprint({"x": 1, "y": [2]}, [tmp_path / "a"])
    assert key == fingerprint({"y": [2], "x": 1}, [tmp_path / "b"])
    assert key != fingerprint({"x": 1, "y": [3]}, [tmp_path / "a"])
    (tmp_path / "a").write_bytes(b"2")
    assert key != fingerprint({"x": 1, "y": [2]}, [tmp_path / "a"])


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100, -1])
def test_a_truncated_file_is_kept_under_another_name_and_counts_as_none(tmp_path, caplog, length):
    caplog.set_level(logging.WARNING, logger="miad")
    path = write(tmp_path)
    torn = path.read_bytes()[:length]
    path.write_bytes(torn)
    assert load(path) is None and not path.exists()
    assert (tmp_path / "damaged-1-last.safetensors").read_bytes() == torn
    assert f"{path} is damaged" in caplog.text and "damaged-1-last" in caplog.text


def test_foreign_files_count_as_damaged_each_under_its_own_name(tmp_path):
    about = [None, {"progress": "{"}, {"progress": "[]"}, {"progress": json.dumps({"key": "k", "surprise": 1})}]
    for number, metadata in enumerate(about, 1):
        save_file(GROUPS["weights"], tmp_path / LAST, metadata)
        assert load(tmp_path / LAST) is None
        assert (tmp_path / f"damaged-{number}-last.safetensors").is_file()


def test_no_checkpoint_is_no_error(tmp_path):
    assert load(tmp_path / LAST) is None
    assert find(tmp_path / "absent", "k", always) == (None, [])


def test_the_newest_usable_one_is_found(tmp_path):
    write(tmp_path, LAST, step=18)
    write(tmp_path, BEFORE_COOLDOWN, step=14)
    found, stale = find(tmp_path, "k", always)
    assert found[0].step == 18 and stale == []
    found, stale = find(tmp_path, "k", lambda progress: progress.step < 15)
    assert found[0].step == 14 and stale == [tmp_path / LAST]
    found, stale = find(tmp_path, "k", lambda progress: False)
    assert found is None and stale == [tmp_path / LAST, tmp_path / BEFORE_COOLDOWN]
    assert find(tmp_path, "other", always) == (None, stale)


def test_a_damaged_newest_one_leaves_the_older_one(tmp_path):
    write(tmp_path).write_bytes(b"")
    write(tmp_path, BEFORE_COOLDOWN, step=14)
    assert find(tmp_path, "k", always)[0][0].step == 14


def test_the_one_before_the_newest_is_kept_and_found(tmp_path):
    for step in (3, 5, 7):
        write(tmp_path, step=step)
    write(tmp_path, BEFORE_COOLDOWN, step=4)
    assert load(tmp_path / PREVIOUS)[0].step == 5
    assert find(tmp_path, "k", always)[0][0].step == 7
    (tmp_path / LAST).write_bytes(b"")
    assert find(tmp_path, "k", always)[0][0].step == 5
    write(tmp_path, BEFORE_COOLDOWN, step=6)
    found, stale = find(tmp_path, "k", always)
    assert found[0].step == 6 and stale == []
    stale = find(tmp_path, "other", always)[1]
    assert stale == [tmp_path / PREVIOUS, tmp_path / BEFORE_COOLDOWN]


def test_models_kept_by_another_schedule_go_with_it(tmp_path):
    write(tmp_path, LAST, step=18)
    write(tmp_path, BEFORE_COOLDOWN, step=14, epoch=100)
    kept = {epoch: tmp_path / checkpoint.KEPT.format(epoch) for epoch in (50, 100, 150, 1_000_000)}
    for path in kept.values():
        path.touch()
        path.with_suffix(".json").touch()
    assert find(tmp_path, "k", always)[1] == []
    stale = find(tmp_path, "k", lambda progress: progress.step < 15)[1]
    later = [kept[150], kept[1_000_000]]
    assert set(stale) == {tmp_path / LAST, *later, *(path.with_suffix(".json") for path in later)}


def test_what_is_set_aside_is_never_overwritten(tmp_path):
    for number in (1, 2, 3):
        path = tmp_path / LAST
        path.write_text(str(number))
        assert set_aside(tmp_path, [path]) == tmp_path / f"older-{number}"
        assert not path.exists()
    assert [(tmp_path / f"older-{number}" / LAST).read_text() for number in (1, 2, 3)] == ["1", "2", "3"]
