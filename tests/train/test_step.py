"""Start and results of a training; neither the number of processes nor padding changes it."""

import dataclasses
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed

from miad.config.sections import Sample
from miad.core.crystal import read_crystals
from miad.core.errors import MiadError
from miad.core.provenance import arithmetic
from miad.model import edges
from miad.model.weights import load
from miad.sample import step as sample
from miad.train.trainer import LOOK_EVERY, Trainer
from tests.builders import toy
from tests.builders.trainings import command, curve, fit, state
from tests.builders.waiting import Waiting

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, Path]:
    return toy.infused(tmp_path_factory.mktemp("data"))


# -------------------------------------------------------------------------------------------- from trained weights


def test_training_can_start_from_trained_weights(data, tmp_path):
    first = fit(toy.changed(num_epochs=30), data, tmp_path / "first")
    settings = toy.changed(num_epochs=2, start_from=str(first / "model.safetensors"))
    tuned, fresh = fit(settings, data, tmp_path / "tuned"), fit(toy.changed(num_epochs=2), data, tmp_path / "fresh")
    total = curve(tuned)[0].index("total")
    assert float(curve(tuned)[1][total]) < 0.8 * float(curve(fresh)[1][total])
    model = load(tuned / "model.safetensors")[1]
    assert model.num_epochs == 32 and "first" in model.origin


def test_weights_that_are_absent_are_named_with_their_key(data, tmp_path):
    with pytest.raises(MiadError, match=r"train\.start_from absent\.safetensors: there is no such file"):
        fit(toy.changed(start_from="absent.safetensors"), data, tmp_path / "tuned")


def test_weights_can_be_taken_as_they_are(data, tmp_path):
    first = fit(toy.changed(num_epochs=2, center_scores=False), data, tmp_path / "first")
    same = fit(toy.changed(num_epochs=0, start_from=str(first / "model.safetensors")), data, tmp_path / "same")
    (theirs, trained), (ours, taken) = (load(folder / "model.safetensors") for folder in (first, same))
    assert all(torch.equal(a, b) for a, b in zip(theirs.parameters(), ours.parameters(), strict=True))
    assert taken.num_epochs == 2 and taken.center_scores is trained.center_scores is False


def test_a_network_that_is_told_of_limits_can_start_from_one_that_is_not(data, tmp_path):
    first = fit(toy.changed(num_epochs=2), data, tmp_path / "first")
    told, start = dataclasses.replace(toy.NETWORK, allowed_input=True), str(first / "model.safetensors")
    same = fit(toy.changed(num_epochs=0, start_from=start, network=told), data, tmp_path / "same")
    tuned = fit(toy.changed(num_epochs=2, start_from=start, network=told), data, tmp_path / "tuned")
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (same, first))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs) and not ours["allowed_embedding.weight"].any()
    assert load_file(tuned / "model.safetensors")["allowed_embedding.weight"].any()
    assert load(tuned / "model.safetensors")[1].network.allowed_input
    with pytest.raises(MiadError, match="allowed_input"):  # what it has learnt of limits would be lost
        fit(toy.changed(start_from=str(tuned / "model.safetensors")), data, tmp_path / "lost")


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
    assert model.elements == sorted({z for one in toy.crystals(20) for z in one.atomic_numbers.tolist()})
    _, kept = load(tmp_path / "average" / "checkpoints" / "epoch-000002.safetensors")
    assert kept.num_epochs == 2
    beside = [tmp_path / "average" / name for name in ("model.json", "checkpoints/epoch-000002.json")]
    assert arithmetic(beside) == f"train: {edges.arithmetic('cpu', toy.TRAIN.precision)}"
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
    names, *lines = curve(folder)
    rows = [dict(zip(names, line, strict=True)) for line in lines]
    assert [int(row["step"]) for row in rows] == list(range(3, 121, 3))
    for row in rows:
        lattice, coords, species, entropy = (
            float(row[name]) for name in ("lattice", "coords", "species", "cross_entropy")
        )
        total = 2.0 * lattice + 0.5 * coords + 0.1 * (species + toy.TRAIN.cross_entropy * entropy)
        assert float(row["total"]) == pytest.approx(total, rel=1e-6)
        assert (row["val_total"] != "") == (int(row["epoch"]) % 2 == 0)
    assert float(rows[-1]["val_total"]) < 0.9 * float(rows[1]["val_total"])


def test_validation_is_repeatable_and_leaves_no_trace(data, tmp_path):
    trainer = Trainer(toy.changed(), **data, folder=tmp_path)
    trainer.fit()
    before = {name: weight.clone() for name, weight in trainer.network.state_dict().items()}
    first = trainer.validate()
    assert trainer.validate() == first == trainer.progress.rows[-1]["val_total"]
    assert all(torch.equal(weight, before[name]) for name, weight in trainer.network.state_dict().items())
    trainer.optimiser.average = {name: torch.zeros_like(weight) for name, weight in before.items()}
    assert trainer.validate() != first  # it is the average that is validated


def test_half_precision_learns_the_same(data, tmp_path):
    totals = []
    for precision in ("float32", "bf16"):
        names, row = curve(fit(toy.changed(num_epochs=1, precision=precision), data, tmp_path / precision))
        totals.append(float(row[names.index("total")]))
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
    from miad.infuse.step import padding_mask, to_tensors
    from miad.model.diffusion.process import JointDiffusion
    from miad.model.network import CSPNet
    from miad.model.process import State

    class Zeros:
        def normal(self, *shape):
            return 0.5 * torch.ones(6, *shape)

        def uniform(self, *shape):
            return 0.3 * torch.ones(6, *shape)

        def classes(self, *shape):
            return torch.full((6, *shape), 7)

    torch.manual_seed(0)
    network, process = CSPNet(toy.NETWORK), JointDiffusion(toy.DIFFUSION, toy.BASELINE, cross_entropy=0.5)
    found = []
    for width in (4, 9):
        tensors = to_tensors(toy.crystals(6), width)
        mask = padding_mask(tensors["num_atoms"], width)
        batch = State(tensors["lattice"], tensors["frac_coords"], tensors["species"], mask)
        found.append(process.losses_at(network, batch, torch.arange(1, 7), Zeros(), process.counts(batch)))
    for name in process.loss_names:
        assert found[0][name].item() == pytest.approx(found[1][name].item(), rel=1e-5)


@pytest.mark.parametrize("mirage", [toy.MIRAGE, toy.BASELINE])
def test_no_step_waits_for_the_gpu(tmp_path, mirage):
    """Steps are queued while the GPU is still at work on earlier ones; a number read back would empty the queue."""
    trainer = Trainer(toy.changed(mirage=mirage), **toy.infused(tmp_path, mirage), folder=tmp_path / "run")
    order = trainer._order(0)
    trainer._step(order, 0)
    with Waiting() as waiting:
        trainer._step(order, 1)
        assert waiting.lines == []
        float(trainer.running.sum())  # the mode does see what it looks for
    assert waiting.lines != []


def test_on_gpus_the_wish_of_others_to_stop_is_read_now_and_then(data, tmp_path, monkeypatch):
    """A look at it waits for the GPU; all processes look after the same steps."""
    trainer = Trainer(toy.TRAIN, **data, folder=tmp_path)
    trainer.world, trainer.device = 2, SimpleNamespace(type="cuda")
    monkeypatch.setattr(distributed, "all_reduce", lambda values: values.add_(1))  # the other process wants to stop
    monkeypatch.setattr(torch.Tensor, "new_tensor", lambda *_: pytest.fail("a copy from the host waits as well"))
    stopping = []
    for trainer.progress.step in range(1, LOOK_EVERY + 1):
        assert trainer._shared(torch.zeros(len(trainer.names))).tolist() == [1] * len(trainer.names)
        stopping.append(trainer.is_stopping)
    assert stopping == [False] * (LOOK_EVERY - 1) + [True]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_validation_has_the_precision_of_the_training(data, tmp_path, precision):
    trainer, seen = Trainer(toy.changed(precision=precision), **data, folder=tmp_path), []
    trainer.network.register_forward_pre_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    trainer.validate()
    assert set(seen) == {precision == "bf16"}
