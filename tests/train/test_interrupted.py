"""Training that is never lost: whatever happens on the way, the result is that of an undisturbed run."""

import dataclasses
import json
import logging
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from miad.core.errors import MiadError
from miad.train import checkpoint
from miad.train.loss_curve import columns
from miad.train.trainer import PREEMPTED, Trainer
from tests.builders import toy
from tests.builders.trainings import assert_same, command, curve, fit, state

LOSSES = ("lattice", "coords", "species", "cross_entropy")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, Path]:
    return toy.infused(tmp_path_factory.mktemp("data"))


# ------------------------------------------------------------------------------------------------ interruptions


def test_killed_and_preempted_at_random_moments_it_ends_as_if_nothing_had_happened(data, tmp_path):
    settings = toy.changed(num_epochs=60, checkpoint_minutes=0.0005, cooldown_fraction=0.3)
    last = tmp_path / "torn" / "checkpoints" / checkpoint.LAST
    steps = [0]
    for how in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
        seen = last.stat().st_mtime_ns if last.exists() else None
        torn = subprocess.Popen(command(settings, data, tmp_path / "torn"), env={**os.environ, "OMP_NUM_THREADS": "1"})
        while not last.exists() or last.stat().st_mtime_ns == seen:
            assert torn.poll() is None, "it ended before its first checkpoint"
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.2))  # noqa: S311
        torn.send_signal(how)
        assert torn.wait(60) == (-signal.SIGKILL if how == signal.SIGKILL else PREEMPTED)
        # Killed between its two renamings, the newest one is the one before.
        steps.append(state(tmp_path / "torn", checkpoint.LAST if last.exists() else checkpoint.PREVIOUS)[0].step)
    assert steps == sorted(set(steps)) and steps[-1] < 180
    assert not (tmp_path / "torn" / "model.safetensors").exists()
    fit(settings, data, tmp_path / "torn")
    assert_same(tmp_path / "torn", fit(settings, data, tmp_path / "whole"))


def test_stopped_after_the_last_batch_of_an_epoch(data, tmp_path, monkeypatch):
    settings = toy.changed()
    step = Trainer._step

    def stop_at_the_end(self, order, index):
        self.must_stop = index == 2
        step(self, order, index)

    monkeypatch.setattr(Trainer, "_step", stop_at_the_end)
    for _ in range(4):
        with pytest.raises(SystemExit) as exit_:
            fit(settings, data, tmp_path / "torn")
        assert exit_.value.code == 75
    monkeypatch.undo()
    fit(settings, data, tmp_path / "torn")
    assert_same(tmp_path / "torn", fit(settings, data, tmp_path / "whole"))


def test_a_damaged_checkpoint_is_kept_and_training_begins_anew(data, tmp_path, caplog):
    settings = toy.changed(num_epochs=2)
    torn = fit(settings, data, tmp_path / "torn")
    last = torn / "checkpoints" / checkpoint.LAST
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    fit(settings, data, torn)
    assert (last.parent / "damaged-1-last.safetensors").read_bytes() == whole[: len(whole) // 2]
    assert "last.safetensors is damaged" in caplog.text
    assert_same(torn, fit(settings, data, tmp_path / "whole"))


def test_killed_between_the_renamings_or_damaged_it_goes_on_from_the_one_before(data, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger="miad")
    settings = toy.changed(checkpoint_minutes=1e-9)
    whole = fit(settings, data, tmp_path / "whole")
    replace = Path.replace

    def killed(path, target):
        if target.name == checkpoint.LAST and target.with_name(checkpoint.PREVIOUS).exists():
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        fit(settings, data, tmp_path / "torn")
    monkeypatch.undo()
    last = tmp_path / "torn" / "checkpoints" / checkpoint.LAST
    assert not last.exists()
    fit(settings, data, tmp_path / "torn")
    assert "continuing at epoch 0, step 1" in caplog.text
    assert_same(tmp_path / "torn", whole)
    last.write_bytes(last.read_bytes()[:1000])
    fit(settings, data, tmp_path / "torn")
    assert "continuing at epoch 3, step 12" in caplog.text
    assert_same(tmp_path / "torn", whole)


@pytest.mark.parametrize("what", ["settings", "data"])
def test_other_settings_or_data_begin_anew_and_the_old_checkpoint_is_kept(data, tmp_path, what):
    folder = fit(toy.changed(num_epochs=2, keep_every=1), data, tmp_path / "run")
    old = (folder / "checkpoints" / checkpoint.LAST).read_bytes()
    other, files = toy.changed(num_epochs=2), data
    if what == "settings":
        other = toy.changed(num_epochs=2, learning_rate=2e-3)
    else:
        files = toy.infused(tmp_path / "other", seed=5)
    fit(other, files, folder)
    aside = folder / "checkpoints" / "older-1"
    assert (aside / checkpoint.LAST).read_bytes() == old
    assert {"epoch-000001.safetensors", "epoch-000002.json"} <= {path.name for path in aside.iterdir()}
    assert not list((folder / "checkpoints").glob("epoch-*"))
    assert_same(folder, fit(other, files, tmp_path / "fresh"))


def seen(folder: Path) -> tuple[list[str], list[int]]:
    """Epochs and steps that someone who watches a training is shown."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    table = (folder / "checkpoints" / "losses.csv").read_text().split()
    assert table[0] == ",".join(columns(LOSSES))
    log = EventAccumulator(str(folder / "tensorboard"))
    log.Reload()
    return [row.split(",")[0] for row in table[1:]], [event.step for event in log.Scalars("total")]


def test_a_training_can_be_watched_and_a_resumed_one_shows_no_epoch_twice(data, tmp_path, monkeypatch):
    settings, shown, end = toy.changed(checkpoint_minutes=1e-9), [], Trainer._end_epoch

    def look(self):
        if self.progress.epoch == 2:
            shown.append(seen(tmp_path))
        end(self)
        self.must_stop = self.progress.epoch == 2

    monkeypatch.setattr(Trainer, "_end_epoch", look)
    with pytest.raises(SystemExit):
        fit(settings, data, tmp_path)
    fit(settings, data, tmp_path)
    assert shown == [(["1", "2"], [3, 6])]
    assert seen(tmp_path) == (["1", "2", "3", "4"], [3, 6, 9, 12])
    assert (tmp_path / "checkpoints" / "losses.csv").read_bytes() == (tmp_path / "losses.csv").read_bytes()


def test_a_training_of_an_earlier_version_goes_on(data, tmp_path, caplog):
    """Its curve had the auxiliary loss in the column of the species, and three sums of the epoch under way."""
    caplog.set_level(logging.INFO, logger="miad")
    folder = fit(toy.changed(num_epochs=2), data, tmp_path / "run")
    last = folder / "checkpoints" / checkpoint.LAST
    progress, groups = checkpoint.load(last)
    for row in progress.rows:
        row["species"] += toy.TRAIN.cross_entropy * row.pop("cross_entropy")
    groups["running"]["losses"] = groups["running"]["losses"][:3].clone()
    checkpoint.save(last, progress, groups)
    fit(toy.changed(num_epochs=4), data, folder)
    assert "continuing at epoch 2, step 6" in caplog.text
    assert "up to epoch 2, losses.csv has the auxiliary losses in the column species" in caplog.text
    whole = fit(toy.changed(num_epochs=4), data, tmp_path / "whole")
    assert (folder / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    names, *rows = curve(folder)
    assert [row[names.index("cross_entropy")] == "" for row in rows] == [True, True, False, False]
    assert rows[2:] == curve(whole)[3:]


# ------------------------------------------------------------------------------------------- longer and shorter


def test_a_longer_run_continues_from_the_end_where_there_is_no_cooldown(data, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="miad")
    folder = fit(toy.changed(num_epochs=2), data, tmp_path / "run")
    fit(toy.changed(num_epochs=4), data, folder)
    assert "continuing at epoch 2, step 6" in caplog.text
    assert_same(folder, fit(toy.changed(num_epochs=4), data, tmp_path / "fresh"))


def test_a_longer_run_continues_from_before_the_cooldown_a_shorter_one_begins_anew(data, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="miad")
    short, long = (toy.changed(num_epochs=num, cooldown_fraction=0.4, keep_every=2) for num in (4, 6))
    folder = fit(short, data, tmp_path / "run")
    # 4 epochs of 3 steps: cooldown from step 7; 6 epochs: from step 11.
    assert state(folder, checkpoint.BEFORE_COOLDOWN)[0].step == 7
    fit(long, data, folder)
    assert "continuing at epoch 2, step 7" in caplog.text
    assert state(folder, checkpoint.BEFORE_COOLDOWN)[0].step == 11
    fresh = fit(long, data, tmp_path / "long")
    assert_same(folder, fresh)
    for name in ("epoch-000002", "epoch-000004", "epoch-000006"):
        paths = [one / "checkpoints" / f"{name}.safetensors" for one in (folder, fresh)]
        assert paths[0].read_bytes() == paths[1].read_bytes()
    fit(short, data, folder)
    assert_same(folder, fit(short, data, tmp_path / "short"))


def test_a_run_that_is_cooling_can_be_made_longer(data, tmp_path, monkeypatch):
    short, long = (toy.changed(num_epochs=num, cooldown_fraction=0.5) for num in (4, 5))
    step = Trainer._step

    def stop_while_cooling(self, order, index):
        self.must_stop = self.progress.step == 8
        step(self, order, index)

    monkeypatch.setattr(Trainer, "_step", stop_while_cooling)
    with pytest.raises(SystemExit):
        fit(short, data, tmp_path / "run")
    monkeypatch.undo()
    assert state(tmp_path / "run")[0].step == 9
    fit(long, data, tmp_path / "run")
    assert_same(tmp_path / "run", fit(long, data, tmp_path / "fresh"))


# ---------------------------------------------------------------------------------------------------- divergence


def test_an_explosion_stops_and_never_overwrites_the_last_good_checkpoint(data, tmp_path):
    wild = toy.changed(num_epochs=20, clip_norm=None, warmup_steps=0, checkpoint_minutes=1e-9)
    object.__setattr__(wild, "learning_rate", 1e3)  # the settings themselves would refuse it
    with pytest.raises(MiadError, match=r"diverged.*epoch 1 .*Last good checkpoint: .*train\.learning_rate") as caught:
        fit(wild, data, tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / checkpoint.LAST
    assert str(path) in str(caught.value) or "none was written yet" in str(caught.value)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    if path.exists():
        progress, groups = state(tmp_path / "run")
        means = groups["running"]["losses"] / max(1, progress.batch)
        assert means.isfinite().all() and means.sum() < 10 * progress.best


def test_a_loss_that_is_no_number_stops(data, tmp_path):
    tensors = load_file(data["train"])
    tensors["lattice"][3, 1, 1] = float("nan")
    save_file(tensors, tmp_path / "nan.safetensors", {"mirage": json.dumps(dataclasses.asdict(toy.MIRAGE))})
    with pytest.raises(MiadError, match=r"the loss of epoch 1 is nan.*none was written yet.*train\.clip_norm"):
        fit(toy.changed(), {**data, "train": tmp_path / "nan.safetensors"}, tmp_path / "run")


def test_gradients_that_are_no_number_never_reach_a_checkpoint(data, tmp_path):
    """The loss of their step is still sound, and the weights that they spoil are not."""
    trainer = Trainer(toy.changed(checkpoint_minutes=1e-9), **data, folder=tmp_path)
    calls = iter(range(100))
    weight = next(trainer.network.parameters())
    weight.register_hook(lambda grad: grad * torch.nan if next(calls) == 4 else grad)
    with pytest.raises(MiadError, match=r"the loss of epoch 2 is nan.*Last good checkpoint: \S*last.safetensors"):
        trainer.fit()
    progress, groups = checkpoint.load(tmp_path / checkpoint.LAST)
    assert progress.step == 4
    assert all(tensor.isfinite().all() for part in groups.values() for tensor in part.values())


def explode(trainer: Trainer, at: int) -> None:
    """All weights become larger by a factor after that step."""
    step = trainer._step

    def explosive(order, index):
        step(order, index)
        if trainer.progress.step == at:
            with torch.no_grad():
                for weight in trainer.network.parameters():
                    weight.mul_(12)

    trainer._step = explosive


def test_an_explosion_within_an_epoch_overwrites_nothing_good(tmp_path, caplog):
    """Of the 50 steps of an epoch, the third is the explosion: the whole epoch's sum would take long to show it."""
    data = toy.infused(tmp_path / "data", num=200)
    trainer = Trainer(toy.changed(batch_size=4, checkpoint_minutes=1e-9), **data, folder=tmp_path / "run")
    explode(trainer, at=53)
    with pytest.raises(MiadError, match=r"the loss of epoch 2 .*: \S*last.safetensors, .*: \S*previous.safetensors\."):
        trainer.fit()
    # That of the step itself is written before any loss shows it; none is after it.
    newest, before = (checkpoint.load(tmp_path / "run" / name) for name in (checkpoint.LAST, checkpoint.PREVIOUS))
    assert (newest[0].step, before[0].step) == (53, 52)
    assert caplog.text.count("no checkpoint until it falls again") == 1


def test_the_curve_of_a_training_that_diverged_can_be_looked_at(data, tmp_path, monkeypatch):
    step = Trainer._step

    def explosive(self, order, index):
        step(self, order, index)
        if self.progress.step == 7:
            with torch.no_grad():
                next(self.network.parameters()).fill_(torch.nan)

    monkeypatch.setattr(Trainer, "_step", explosive)
    with pytest.raises(MiadError, match="the loss of epoch 3 is nan"):
        fit(toy.changed(), data, tmp_path)
    assert seen(tmp_path) == (["1", "2"], [3, 6]) and not (tmp_path / "losses.csv").exists()


def test_a_noisy_batch_only_puts_a_checkpoint_off(data, tmp_path, caplog, monkeypatch):
    settings = toy.changed(checkpoint_minutes=1e-9, cooldown_fraction=5 / 6)  # of 12 steps: from the second on
    trainer = Trainer(settings, **data, folder=tmp_path)
    noise, shared, saved = iter([1, 26, *[1] * 10]), trainer._shared, []
    trainer._shared = lambda values: shared(values * next(noise))
    monkeypatch.setattr(checkpoint, "save", lambda path, progress, tensors: saved.append((path.name, progress.step)))
    trainer.fit()
    assert [step for name, step in saved if name == checkpoint.LAST] == [1, *range(3, 13), 12]
    assert (checkpoint.BEFORE_COOLDOWN, 2) in saved  # it has no other chance
    assert caplog.text.count("no checkpoint until it falls again") == 1


def test_a_signal_while_the_loss_explodes_leaves_the_good_checkpoint(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="miad")
    data = toy.infused(tmp_path / "data", num=200)
    trainer = Trainer(toy.changed(batch_size=4), **data, folder=tmp_path / "run")
    explode(trainer, at=10)
    step = trainer._step

    def stop(order, index):
        trainer.must_stop = trainer.progress.step == 12
        if trainer.progress.step == 8:
            trainer.save()
        step(order, index)

    trainer._step = stop
    with pytest.raises(SystemExit) as left:
        trainer.fit()
    assert left.value.code == PREEMPTED and "holds what was there before the loss exploded" in caplog.text
    assert checkpoint.load(tmp_path / "run" / checkpoint.LAST)[0].step == 8


def test_data_infused_otherwise_than_the_settings_say_is_refused(data, tmp_path):
    with pytest.raises(MiadError, match=r"num_atoms 5, the training is set to None.*miad infuse"):
        fit(toy.changed(mirage=toy.BASELINE), data, tmp_path / "run")
