"""Training that is never lost: whatever happens on the way, the result is that of an undisturbed run."""

import dataclasses
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import toy
from safetensors.torch import load_file, save_file
from waiting import Waiting

from miad import checkpoint, sample, train
from miad.config import Sample, Train
from miad.crystal import read_crystals
from miad.curve import COLUMNS, LOSSES
from miad.errors import MiadError
from miad.model import load

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, Path]:
    return toy.infused(tmp_path_factory.mktemp("data"))


def flags(folder: Path) -> dict[str, Path]:
    return {"model": folder / "model.safetensors", "losses": folder / "losses.csv"}


def fit(settings: Train, data: dict[str, Path], folder: Path) -> Path:
    train.run(settings, **data, **flags(folder))
    return folder


def command(settings: Train, data: dict[str, Path], folder: Path, launcher: tuple = ("-m", "miad")) -> list[str]:
    files = {**data, **flags(folder)}
    return [sys.executable, *launcher, "train", "--settings", json.dumps(dataclasses.asdict(settings))] + [
        word for name, path in files.items() for word in (f"--{name}", str(path))
    ]


def curve(folder: Path) -> list[list[str]]:
    """The loss curve as written, without the time it took."""
    rows = [line.split(",") for line in (folder / "losses.csv").read_text().splitlines()]
    assert rows[0] == list(COLUMNS)
    return [row[:2] + row[3:] for row in rows]


def assert_same(one: Path, other: Path) -> None:
    """Bit for bit the same curve and weights."""
    assert curve(one) == curve(other)
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def state(folder: Path, name: str = checkpoint.LAST) -> tuple[checkpoint.Progress, dict]:
    found = checkpoint.load(folder / "checkpoints" / name)
    assert found is not None
    return found


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
        assert torn.wait(60) == (-signal.SIGKILL if how == signal.SIGKILL else train.PREEMPTED)
        # Killed between its two renamings, the newest one is the one before.
        steps.append(state(tmp_path / "torn", checkpoint.LAST if last.exists() else checkpoint.PREVIOUS)[0].step)
    assert steps == sorted(set(steps)) and steps[-1] < 180
    assert not (tmp_path / "torn" / "model.safetensors").exists()
    fit(settings, data, tmp_path / "torn")
    assert_same(tmp_path / "torn", fit(settings, data, tmp_path / "whole"))


def test_stopped_after_the_last_batch_of_an_epoch(data, tmp_path, monkeypatch):
    settings = toy.changed()
    step = train.Trainer._step

    def stop_at_the_end(self, order, index):
        self.must_stop = index == 2
        step(self, order, index)

    monkeypatch.setattr(train.Trainer, "_step", stop_at_the_end)
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
    assert table[0] == ",".join(COLUMNS)
    log = EventAccumulator(str(folder / "tensorboard"))
    log.Reload()
    return [row.split(",")[0] for row in table[1:]], [event.step for event in log.Scalars("total")]


def test_a_training_can_be_watched_and_a_resumed_one_shows_no_epoch_twice(data, tmp_path, monkeypatch):
    settings, shown, end = toy.changed(checkpoint_minutes=1e-9), [], train.Trainer._end_epoch

    def look(self):
        if self.progress.epoch == 2:
            shown.append(seen(tmp_path))
        end(self)
        self.must_stop = self.progress.epoch == 2

    monkeypatch.setattr(train.Trainer, "_end_epoch", look)
    with pytest.raises(SystemExit):
        fit(settings, data, tmp_path)
    fit(settings, data, tmp_path)
    assert shown == [(["1", "2"], [3, 6])]
    assert seen(tmp_path) == (["1", "2", "3", "4"], [3, 6, 9, 12])
    assert (tmp_path / "checkpoints" / "losses.csv").read_bytes() == (tmp_path / "losses.csv").read_bytes()


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
    step = train.Trainer._step

    def stop_while_cooling(self, order, index):
        self.must_stop = self.progress.step == 8
        step(self, order, index)

    monkeypatch.setattr(train.Trainer, "_step", stop_while_cooling)
    with pytest.raises(SystemExit):
        fit(short, data, tmp_path / "run")
    monkeypatch.undo()
    assert state(tmp_path / "run")[0].step == 9
    fit(long, data, tmp_path / "run")
    assert_same(tmp_path / "run", fit(long, data, tmp_path / "fresh"))


# ---------------------------------------------------------------------------------------------------- divergence


def test_an_explosion_stops_and_never_overwrites_the_last_good_checkpoint(data, tmp_path):
    wild = toy.changed(num_epochs=20, learning_rate=1e3, clip_norm=None, warmup_steps=0, checkpoint_minutes=0.0)
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
    trainer = train.Trainer(toy.changed(checkpoint_minutes=0.0), **data, folder=tmp_path)
    calls = iter(range(100))
    weight = next(trainer.network.parameters())
    weight.register_hook(lambda grad: grad * torch.nan if next(calls) == 4 else grad)
    with pytest.raises(MiadError, match=r"the loss of epoch 2 is nan.*Last good checkpoint: \S*last.safetensors"):
        trainer.fit()
    progress, groups = checkpoint.load(tmp_path / checkpoint.LAST)
    assert progress.step == 4
    assert all(tensor.isfinite().all() for part in groups.values() for tensor in part.values())


def explode(trainer: train.Trainer, at: int) -> None:
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
    trainer = train.Trainer(toy.changed(batch_size=4, checkpoint_minutes=0.0), **data, folder=tmp_path / "run")
    explode(trainer, at=53)
    with pytest.raises(MiadError, match=r"the loss of epoch 2 .*: \S*last.safetensors, .*: \S*previous.safetensors\."):
        trainer.fit()
    # That of the step itself is written before any loss shows it; none is after it.
    newest, before = (checkpoint.load(tmp_path / "run" / name) for name in (checkpoint.LAST, checkpoint.PREVIOUS))
    assert (newest[0].step, before[0].step) == (53, 52)
    assert caplog.text.count("no checkpoint until it falls again") == 1


def test_the_curve_of_a_training_that_diverged_can_be_looked_at(data, tmp_path, monkeypatch):
    step = train.Trainer._step

    def explosive(self, order, index):
        step(self, order, index)
        if self.progress.step == 7:
            with torch.no_grad():
                next(self.network.parameters()).fill_(torch.nan)

    monkeypatch.setattr(train.Trainer, "_step", explosive)
    with pytest.raises(MiadError, match="the loss of epoch 3 is nan"):
        fit(toy.changed(), data, tmp_path)
    assert seen(tmp_path) == (["1", "2"], [3, 6]) and not (tmp_path / "losses.csv").exists()


def test_a_noisy_batch_only_puts_a_checkpoint_off(data, tmp_path, caplog, monkeypatch):
    settings = toy.changed(checkpoint_minutes=1e-9, cooldown_fraction=5 / 6)  # of 12 steps: from the second on
    trainer = train.Trainer(settings, **data, folder=tmp_path)
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
    trainer = train.Trainer(toy.changed(batch_size=4), **data, folder=tmp_path / "run")
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
    assert left.value.code == train.PREEMPTED and "holds what was there before the loss exploded" in caplog.text
    assert checkpoint.load(tmp_path / "run" / checkpoint.LAST)[0].step == 8


def test_data_infused_otherwise_than_the_settings_say_is_refused(data, tmp_path):
    with pytest.raises(MiadError, match=r"num_atoms 5, the training is set to None.*miad infuse"):
        fit(toy.changed(mirage=toy.BASELINE), data, tmp_path / "run")


# -------------------------------------------------------------------------------------------- from trained weights


def test_training_can_start_from_trained_weights(data, tmp_path):
    first = fit(toy.changed(num_epochs=30), data, tmp_path / "first")
    settings = toy.changed(num_epochs=2, start_from=str(first / "model.safetensors"))
    tuned, fresh = fit(settings, data, tmp_path / "tuned"), fit(toy.changed(num_epochs=2), data, tmp_path / "fresh")
    total = COLUMNS.index("total") - 1  # `curve` leaves out the time
    assert float(curve(tuned)[1][total]) < 0.8 * float(curve(fresh)[1][total])
    model = load(tuned / "model.safetensors")[1]
    assert model.num_epochs == 32 and "first" in model.origin


def test_weights_can_be_taken_as_they_are(data, tmp_path):
    first = fit(toy.changed(num_epochs=2, center_scores=False), data, tmp_path / "first")
    same = fit(toy.changed(num_epochs=0, start_from=str(first / "model.safetensors")), data, tmp_path / "same")
    (theirs, trained), (ours, taken) = (load(folder / "model.safetensors") for folder in (first, same))
    assert all(torch.equal(a, b) for a, b in zip(theirs.parameters(), ours.parameters(), strict=True))
    assert taken.num_epochs == 2 and taken.center_scores is trained.center_scores is False


def test_weights_of_another_make_are_refused(data, tmp_path):
    first = fit(toy.changed(num_epochs=1), data, tmp_path / "first")
    wider = dataclasses.replace(toy.NETWORK, hidden_dim=32)
    with pytest.raises(MiadError, match=r'network: \{"hidden_dim": 16\}'):
        fit(toy.changed(network=wider, start_from=str(first / "model.safetensors")), data, tmp_path / "other")


# ------------------------------------------------------------------------------------------------ what is written


def test_what_is_saved_is_the_average_or_without_one_the_last_weights(data, tmp_path):
    for decay, group in ((0.9, "average"), (None, "weights")):
        folder = fit(toy.changed(ema_decay=decay, keep_every=2), data, tmp_path / group)
        _, groups = state(folder)
        saved = load_file(folder / "model.safetensors")
        assert saved.keys() == groups[group].keys()
        assert all(torch.equal(saved[name], groups[group][name]) for name in saved)
    gaps = [(groups["weights"][name] - groups["average"][name]).abs().max() for name in saved]
    assert max(gaps) == 0  # without an average, the average is the weights
    _, groups = state(tmp_path / "average")
    assert max((groups["weights"][name] - groups["average"][name]).abs().max() for name in saved) > 1e-4
    _, model = load(tmp_path / "average" / "model.safetensors")
    assert (model.num_epochs, model.mirage, model.network) == (4, toy.MIRAGE, toy.NETWORK)
    assert model.atom_counts == [0, 7, 7, 0, 6]
    _, kept = load(tmp_path / "average" / "checkpoints" / "epoch-000002.safetensors")
    assert kept.num_epochs == 2
    assert list((tmp_path / "average" / "tensorboard").glob("events.*"))


def test_a_kept_model_is_that_of_a_run_of_its_length(data, tmp_path):
    folder = fit(toy.changed(keep_every=2), data, tmp_path / "run")
    short = fit(toy.changed(num_epochs=2), data, tmp_path / "short")
    kept = folder / "checkpoints" / "epoch-000002.safetensors"
    assert kept.read_bytes() == (short / "model.safetensors").read_bytes()


def test_the_curve_adds_up_and_falls(data, tmp_path):
    folder = fit(
        toy.changed(num_epochs=40, loss_weights={"lattice": 2.0, "coords": 0.5, "species": 0.1}), data, tmp_path
    )
    rows = [
        dict(zip(COLUMNS, line.split(","), strict=True)) for line in (folder / "losses.csv").read_text().split()[1:]
    ]
    assert [int(row["step"]) for row in rows] == list(range(3, 121, 3))
    for row in rows:
        total = sum(weight * float(row[name]) for weight, name in zip((2.0, 0.5, 0.1), LOSSES, strict=True))
        assert float(row["total"]) == pytest.approx(total, rel=1e-6)
        assert (row["val_total"] != "") == (int(row["epoch"]) % 2 == 0)
    assert float(rows[-1]["val_total"]) < 0.9 * float(rows[1]["val_total"])


def test_validation_is_repeatable_and_leaves_no_trace(data, tmp_path):
    trainer = train.Trainer(toy.changed(), **data, folder=tmp_path)
    trainer.fit()
    before = {name: weight.clone() for name, weight in trainer.network.state_dict().items()}
    first = trainer.validate()
    assert trainer.validate() == first == trainer.progress.rows[-1]["val_total"]
    assert all(torch.equal(weight, before[name]) for name, weight in trainer.network.state_dict().items())
    trainer.optimiser.average = {name: torch.zeros_like(weight) for name, weight in before.items()}
    assert trainer.validate() != first  # it is the average that is validated


def test_half_precision_learns_the_same(data, tmp_path):
    totals = [
        float(curve(fit(toy.changed(num_epochs=1, precision=precision), data, tmp_path / precision))[1][5])
        for precision in ("float32", "bf16")
    ]
    assert totals[0] != totals[1] and totals[0] == pytest.approx(totals[1], rel=0.05)


# ---------------------------------------------------------------------------------------- many processes, baseline


def test_two_processes_train_as_one(tmp_path):
    # 17 crystals in batches of 8: of the last batch, the first process has no crystal at all.
    data, settings = toy.infused(tmp_path / "data", num=17), toy.changed(num_epochs=2)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "miad")
    done = subprocess.run(
        command(settings, data, tmp_path / "two", launcher),
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    fit(settings, data, tmp_path / "one")
    for two, one in zip(curve(tmp_path / "two")[1:], curve(tmp_path / "one")[1:], strict=True):
        numbers = [[float(cell) for cell in row if cell] for row in (two, one)]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-5)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("two", "one")]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-4) for name in weights[0])


def test_the_baseline_without_mirage_atoms_trains_and_samples(tmp_path):
    data = toy.infused(tmp_path / "data", toy.BASELINE)
    settings = toy.changed(mirage=toy.BASELINE, num_epochs=30, center_scores=False)
    folder = fit(settings, data, tmp_path)
    lattice = [float(row[2]) for row in curve(folder)[1:]]
    assert lattice[-1] < 0.7 * lattice[0]
    some = Sample(0, 12, 1, 1, 1e-5, None, False, None, 0, None, "float32", "cpu")
    sample.run(some, model=folder / "model.safetensors", crystals=folder / "crystals.jsonl", shard=0)
    crystals = read_crystals(folder / "crystals.jsonl")
    assert len(crystals) == 12 and max(crystal.num_atoms for crystal in crystals) <= 4


def test_padding_of_the_baseline_has_no_influence(tmp_path):
    """Wider padding is the same training, up to the random numbers: compare the loss of one batch with fixed ones."""
    from miad.diffusion.process import JointDiffusion, State
    from miad.infuse import padding_mask, to_tensors
    from miad.network import CSPNet

    class Zeros:
        def normal(self, *shape):
            return 0.5 * torch.ones(6, *shape)

        def uniform(self, *shape):
            return 0.3 * torch.ones(6, *shape)

        def classes(self, *shape):
            return torch.full((6, *shape), 7)

    torch.manual_seed(0)
    network, process = CSPNet(toy.NETWORK), JointDiffusion(toy.DIFFUSION, toy.BASELINE)
    found = []
    for width in (4, 9):
        tensors = to_tensors(toy.crystals(6), width)
        mask = padding_mask(tensors["num_atoms"], width)
        batch = State(tensors["lattice"], tensors["frac_coords"], tensors["species"], mask)
        found.append(process.losses(network, batch, torch.arange(1, 7), Zeros(), process.counts(batch)))
    for name in LOSSES:
        assert found[0][name].item() == pytest.approx(found[1][name].item(), rel=1e-5)


@pytest.mark.parametrize("mirage", [toy.MIRAGE, toy.BASELINE])
def test_no_step_waits_for_the_gpu(tmp_path, mirage):
    """Steps are queued while the GPU is still at work on earlier ones; a number read back would empty the queue."""
    trainer = train.Trainer(toy.changed(mirage=mirage), **toy.infused(tmp_path, mirage), folder=tmp_path / "run")
    order = trainer._order(0)
    trainer._step(order, 0)
    with Waiting() as waiting:
        trainer._step(order, 1)
        assert waiting.lines == []
        float(trainer.running.sum())  # the mode does see what it looks for
    assert waiting.lines != []
