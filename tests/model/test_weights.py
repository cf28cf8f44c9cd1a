"""Trained models on disk: the header says all that sampling needs."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file

from miad.core.errors import MiadError
from miad.machine.device import pick_device
from miad.model.network import CSPNet
from miad.model.weights import Model, load, save
from tests.builders import toy

ABOUT = Model(toy.MIRAGE, toy.DIFFUSION, toy.NETWORK, True, [0, 3, 0, 2], 5.5, 17, "run é, 5 crystals")


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    save(tmp_path / "model.safetensors", CSPNet(toy.NETWORK).state_dict(), ABOUT)
    return tmp_path / "model.safetensors"


def test_weights_and_settings_come_back(path):
    network, about = load(path)
    assert about == ABOUT
    assert json.loads(path.with_suffix(".json").read_text()) == dataclasses.asdict(ABOUT)
    torch.manual_seed(0)
    expected = CSPNet(toy.NETWORK).state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in network.state_dict().items())
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())


def test_half_precision_weights_are_read_as_single(path):
    weights = {name: weight.half() for name, weight in CSPNet(toy.NETWORK).state_dict().items()}
    save(path, weights, ABOUT)
    assert {parameter.dtype for parameter in load(path)[0].parameters()} == {torch.float32}


def record(**changes) -> dict:
    return {"miad": json.dumps({**dataclasses.asdict(ABOUT), **changes})}


@pytest.mark.parametrize(
    "header",
    [
        None,
        {"miad": "{"},
        {"miad": "null"},
        {"other": "1"},
        record(surprise=1),
        record(num_epochs="many"),
        record(network=None),
        record(network={**dataclasses.asdict(toy.NETWORK), "hidden_dim": 32}),
    ],
)
def test_foreign_headers_are_refused(path, header):
    save_file(CSPNet(toy.NETWORK).state_dict(), path, header)
    with pytest.raises(MiadError, match=r"model\.safetensors is not a model of miad .*miad train.*import-weights"):
        load(path)


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_damaged_files_are_refused(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(MiadError, match="is not a model of miad"):
        load(path)


def test_missing_files_and_weights_are_refused(path):
    with pytest.raises(MiadError, match="is not a model of miad"):
        load(path.with_name("absent.safetensors"))
    weights = CSPNet(toy.NETWORK).state_dict()
    weights.pop("type_out.bias")
    save(path, weights, ABOUT)
    with pytest.raises(MiadError, match=r"type_out\.bias"):
        load(path)


def test_devices(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == "cpu"
    with pytest.raises(MiadError, match=r"torch sees no GPU.*device: auto"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto") == pick_device("cuda") == "cuda"
    assert pick_device("cuda:1") == "cuda:1" and pick_device("cpu") == "cpu"
    with pytest.raises(MiadError, match="cuda:2, but torch sees 2 GPUs"):
        pick_device("cuda:2")
    monkeypatch.setenv("LOCAL_RANK", "1")  # under torchrun each process has its own
    assert pick_device("auto") == "cuda:1"
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(MiadError, match="start fewer processes"):
        pick_device("auto")
