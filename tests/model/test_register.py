"""A process and a network of one's own: by an entry in the register through training and sampling."""

import dataclasses

import pytest
import torch

from miad.config.layout import Run
from miad.config.sections import Sample
from miad.core.crystal import read_crystals
from miad.core.errors import MiadError
from miad.model import register
from miad.model.diffusion.process import JointDiffusion
from miad.model.network import CSPNet
from miad.model.weights import load
from miad.report.figures import losses
from miad.report.figures.base import Results
from miad.sample import step as sample
from miad.sample import trajectories
from tests.builders import toy
from tests.builders.flow import Flow
from tests.builders.trainings import assert_same, curve, fit

DIFFUSION = dataclasses.replace(toy.DIFFUSION, process="flow")
WEIGHTS = {"velocity": 2.0, "stretch": 1.0, "kinds": 0.5}
FEW = Sample(0, 7, 1, 4, 1e-5, 2, True, 1.2, 3, None, "float32", "cpu")


@pytest.fixture
def flow(monkeypatch):
    """Settings of a training with the toy process."""
    monkeypatch.setitem(register.PROCESSES, "flow", Flow)
    return toy.changed(diffusion=DIFFUSION, loss_weights=WEIGHTS, num_epochs=30, learning_rate=5e-3)


def test_another_process_trains_and_samples(flow, tmp_path, one_thread):
    data = toy.infused(tmp_path / "data")
    names, *rows = curve(fit(flow, data, tmp_path))
    assert names == ["epoch", "step", "velocity", "stretch", "kinds", "total", "val_total", "learning_rate"]
    for row in rows:
        velocity, stretch, kinds, total = map(float, row[2:6])
        assert total == pytest.approx(2 * velocity + stretch + 0.5 * kinds)
    assert float(rows[-1][5]) < 0.8 * float(rows[0][5])
    model = tmp_path / "model.safetensors"
    assert load(model)[1].diffusion == DIFFUSION
    files = {"crystals": tmp_path / "samples.jsonl", "trajectories": tmp_path / "way.safetensors"}
    sample.run(FEW, model=model, shard=0, **files)
    found = read_crystals(files["crystals"])
    assert [crystal.crystal_id for crystal in found] == [f"miad-000-{index:05d}" for index in range(7)]
    assert {crystal.num_atoms for crystal in found if crystal.failure is None} == {5}
    assert trajectories.read(files["trajectories"]).times.tolist() == [16, 8, 0]


def test_another_process_goes_on_where_it_was_stopped(flow, tmp_path, one_thread):
    data, short = toy.infused(tmp_path / "data"), dataclasses.replace(flow, num_epochs=2)
    folder = fit(short, data, tmp_path / "torn")
    long = dataclasses.replace(flow, num_epochs=4)
    assert_same(fit(long, data, folder), fit(long, data, tmp_path / "whole"))


def test_another_network_is_made_by_its_name(monkeypatch, tmp_path, one_thread):
    class Wider(CSPNet):
        """CSPNet of twice the width."""

        def __init__(self, settings):
            super().__init__(dataclasses.replace(settings, hidden_dim=2 * settings.hidden_dim))

    monkeypatch.setitem(register.NETWORKS, "wider", Wider)
    network = dataclasses.replace(toy.NETWORK, kind="wider")
    folder = fit(toy.changed(network=network, num_epochs=1), toy.infused(tmp_path / "data"), tmp_path)
    found, model = load(folder / "model.safetensors")
    assert isinstance(found, Wider) and model.network == network
    assert found.coord_out.weight.shape == (3, 2 * toy.NETWORK.hidden_dim)


def test_a_term_that_a_process_names_is_weighted_logged_and_drawn(monkeypatch, tmp_path, one_thread):
    class WithVolume(JointDiffusion):
        """The joint diffusion with a term of the trace of the lattice noise, to first order that of the volume."""

        weighted = (*JointDiffusion.weighted, "volume")

        def losses(self, network, batch, noise, is_stratified):
            def watched(*crystals):
                nonlocal predicted
                predicted = network(*crystals)
                return predicted

            predicted = ()
            found = super().losses(watched, batch, noise, is_stratified)
            trace = predicted[0].diagonal(dim1=1, dim2=2).sum(1)  # (n_crystals,)
            return {**found, "volume": trace.square().sum() / len(batch)}

    monkeypatch.setitem(register.PROCESSES, "with_volume", WithVolume)
    diffusion = dataclasses.replace(toy.DIFFUSION, process="with_volume")
    settings = toy.changed(diffusion=diffusion, loss_weights={**toy.TRAIN.loss_weights, "volume": 3.0})
    folder = fit(settings, toy.infused(tmp_path / "data"), tmp_path / "miad" / "train")
    parts = ["lattice", "coords", "species", "volume", "cross_entropy"]
    names, *rows = curve(folder)
    assert names == ["epoch", "step", *parts, "total", "val_total", "learning_rate"]
    for row in rows:
        lattice, coords, species, volume, nats, total = map(float, row[2:8])
        assert volume > 0 and total == pytest.approx(lattice + coords + species + 3 * volume + 0.5 * nats)
    found = losses.gather(Results([Run("miad", tmp_path, {}, {"train": "miad"})], []))
    assert [name for name in found[0] if name not in losses.COLUMNS] == parts


def test_an_ablation_of_the_process_lies_over_the_weights_of_the_main_run(flow):
    weights = {**toy.TRAIN.loss_weights, **WEIGHTS}
    assert register.check(dataclasses.replace(flow, loss_weights=weights)) == "flow by cspnet"
    assert register.check(toy.changed(loss_weights=weights)) == "joint_diffusion by cspnet"
    with pytest.raises(MiadError, match="is for velocity, stretch, kinds, spin; the losses of flow are velocity"):
        register.check(dataclasses.replace(flow, loss_weights={**WEIGHTS, "spin": 1.0}))


def test_the_first_ones_are_made_by_default():
    assert toy.DIFFUSION.process == "joint_diffusion" and isinstance(register.make_network(toy.NETWORK), CSPNet)
    process = register.make_process(toy.DIFFUSION, toy.MIRAGE, cross_entropy=0.5)
    assert process.loss_names == ("lattice", "coords", "species", "cross_entropy")
    assert isinstance(register.make_process(toy.DIFFUSION, toy.MIRAGE, torch.device("cpu")), type(process))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"diffusion": dataclasses.replace(toy.DIFFUSION, process="flow")}, r"diffusion\.process is flow, which does"),
        ({"network": dataclasses.replace(toy.NETWORK, kind="csp")}, r"network\.kind is csp, .*Did you mean cspnet\?"),
        ({"loss_weights": {"lattice": 1.0, "coords": 1.0}}, r"the losses of joint_diffusion are lattice, coords, spe"),
        ({"loss_weights": WEIGHTS}, r"train\.loss_weights is for velocity, stretch, kinds; the losses of joint_diff"),
    ],
)
def test_what_does_not_exist_or_fit_is_refused_before_anything_is_trained(tmp_path, changes, message):
    with pytest.raises(MiadError, match=message):
        fit(toy.changed(**changes), {"train": tmp_path / "absent", "val": tmp_path / "absent"}, tmp_path)
