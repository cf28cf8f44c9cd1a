"""Trained models on disk: the header says all that sampling needs."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file

from miad.config.sections import from_record
from miad.core.errors import MiadError
from miad.model.network import CSPNet
from miad.model.weights import Model, load, record_of, save
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
    assert json.loads(path.with_suffix(".json").read_text()) == record_of(ABOUT)
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
    with pytest.raises(MiadError, match=r"absent\.safetensors: there is no such file.*Train one with: miad train"):
        load(path.with_name("absent.safetensors"))
    weights = CSPNet(toy.NETWORK).state_dict()
    weights.pop("type_out.bias")
    save(path, weights, ABOUT)
    with pytest.raises(MiadError, match=r"type_out\.bias"):
        load(path)


def test_the_header_names_a_process_and_a_network_only_if_they_are_not_the_first(path):
    """Weights of before there were others are read, and those of today keep their bytes."""
    text = path.with_suffix(".json").read_text()
    assert "process" not in text and "kind" not in text and '"num_atoms": 5' in text
    other = dataclasses.replace(ABOUT, mirage=toy.BASELINE, network=dataclasses.replace(toy.NETWORK, kind="other"))
    record = record_of(other)
    assert record["network"]["kind"] == "other" and record["mirage"]["num_atoms"] is None
    assert from_record(Model, record) == other


def test_a_network_that_does_not_exist_is_named(path):
    network = dataclasses.replace(toy.NETWORK, kind="cspnett")
    save(path, CSPNet(toy.NETWORK).state_dict(), dataclasses.replace(ABOUT, network=network))
    with pytest.raises(MiadError, match=r"network\.kind is cspnett, which does not exist\. Did you mean cspnet"):
        load(path)
