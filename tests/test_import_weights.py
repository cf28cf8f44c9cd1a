"""Published weights become our model without any of their code being run."""

import sys
import types
from collections import OrderedDict

import pytest
import torch

from miad.config.sections import Network, Sample
from miad.core.crystal import read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.import_weights import DIFFUSION, run
from miad.model.network import CSPNet
from miad.model.weights import load
from miad.sample import step as sample
from miad.train import step as train
from tests.builders import toy

SIZE = Network(hidden_dim=16, num_layers=2, num_frequencies=4, time_dim=8, gram_scale=1.0)


@pytest.fixture
def config_dict(monkeypatch):
    """A stand-in of ml_collections, so that a file can mention a class that readers do not have."""
    module = types.ModuleType("ml_collections.config_dict.config_dict")

    class ConfigDict:
        def __init__(self, fields):
            self._fields = fields

    ConfigDict.__module__, ConfigDict.__qualname__ = module.__name__, "ConfigDict"
    module.ConfigDict = ConfigDict
    for name in ("ml_collections", "ml_collections.config_dict", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    return ConfigDict


def published(network: CSPNet, prefix: str) -> OrderedDict:
    """The state dict as the authors write it."""
    names = {name: name.replace("csp_layers.", "csp_layer_") for name in network.state_dict()}
    return OrderedDict((prefix + names[name], value.clone()) for name, value in network.state_dict().items())


@pytest.mark.parametrize("prefix", ["", "module."])
def test_same_predictions_with_the_sign_of_the_score_turned(tmp_path, monkeypatch, config_dict, prefix):
    torch.manual_seed(0)
    network = CSPNet(SIZE)
    content = {
        "model_state_dict": published(network, prefix),
        "model_config": config_dict({"hidden_dim": 16}),
        "epoch": 3,
    }
    torch.save(content, tmp_path / "weights.pt")
    for name in [name for name in sys.modules if name.startswith("ml_collections")]:
        monkeypatch.delitem(sys.modules, name)
    run(tmp_path / "weights.pt", out=tmp_path / "model", num_atoms=5)
    imported, model = load(tmp_path / "model" / "model.safetensors")
    assert model.network == SIZE and model.mirage.num_atoms == 5 and "weights.pt" in model.origin
    g = torch.Generator().manual_seed(0)
    data = (torch.randn(2, 3, 3, generator=g), torch.rand(2, 5, 3, generator=g))
    species, times = torch.randint(0, 100, (2, 5), generator=g), torch.tensor([3, 900])
    ours, theirs = imported(*data, species, times), network(*data, species, times)
    assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[2], theirs[2])
    assert torch.allclose(ours[1], -theirs[1])


def test_imported_weights_train_on_and_sample(tmp_path):
    torch.manual_seed(0)
    torch.save(published(CSPNet(SIZE), "module."), tmp_path / "weights.pt")
    run(tmp_path / "weights.pt", out=tmp_path, num_atoms=toy.MIRAGE.num_atoms)
    data = toy.infused(tmp_path / "data")
    for num_epochs in (0, 1):
        settings = toy.changed(
            network=SIZE, diffusion=DIFFUSION, num_epochs=num_epochs, start_from=str(tmp_path / "model.safetensors")
        )
        model = tmp_path / f"{num_epochs}" / "model.safetensors"
        train.run(settings, **data, model=model, losses=model.with_name("losses.csv"))
        few = Sample(0, 3, 1, 100, 1e-5, 0, True, 1.2, 0, None, "float32", "cpu")
        sample.run(few, model=model, crystals=tmp_path / "samples.jsonl", shard=0)
        assert len(read_crystals(tmp_path / "samples.jsonl")) == 3
    before, after = (load(tmp_path / name / "model.safetensors")[0].state_dict() for name in ("0", "1"))
    assert not torch.equal(before["type_out.weight"], after["type_out.weight"])


@pytest.mark.parametrize("prefix", ["decoder.", "module.decoder."])
def test_weights_of_diffcsp_are_refused_with_the_reason(tmp_path, prefix):
    torch.save({"state_dict": published(CSPNet(SIZE), prefix)}, tmp_path / "diffcsp.ckpt")
    with pytest.raises(MiadError, match=r"diffcsp\.ckpt .*DiffCSP.*continuous.*D3PM.*miad evaluate"):
        run(tmp_path / "diffcsp.ckpt", out=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_weights_without_mirage_atoms_are_read_knowingly(tmp_path):
    torch.save(published(CSPNet(SIZE), ""), tmp_path / "baseline.pt")
    for num_atoms in (0, -1):
        with pytest.raises(MiadError, match="--num-atoms 0 --train"):
            run(tmp_path / "baseline.pt", out=tmp_path, num_atoms=num_atoms)
    crystals = toy.crystals(6)
    write_crystals(tmp_path / "train.jsonl", crystals)
    run(tmp_path / "baseline.pt", out=tmp_path, num_atoms=0, train=tmp_path / "train.jsonl")
    _, model = load(tmp_path / "model.safetensors")
    assert model.mirage.num_atoms is None and model.atom_counts == [0, 2, 2, 0, 2]
    assert model.max_length == pytest.approx(
        max(crystal.structure.lattice.abc[i] for crystal in crystals for i in range(3))
    )
    few = Sample(0, 12, 1, 100, 1e-5, 0, True, 1.2, 0, None, "float32", "cpu")
    sample.run(few, model=tmp_path / "model.safetensors", crystals=tmp_path / "samples.jsonl", shard=0)
    assert {crystal.num_atoms for crystal in read_crystals(tmp_path / "samples.jsonl")} <= {1, 2, 4}
    run(tmp_path / "baseline.pt", out=tmp_path, num_atoms=5, train=tmp_path / "train.jsonl")
    assert load(tmp_path / "model.safetensors")[1].atom_counts == [0, 2, 2, 0, 2, 0]


class Malicious:
    """Its pickle asks for a program to be run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_code_in_the_file_is_not_run(tmp_path):
    network = CSPNet(SIZE)
    torch.save({"model_config": Malicious(tmp_path / "hacked"), "state": published(network, "")}, tmp_path / "bad.pt")
    run(tmp_path / "bad.pt", out=tmp_path / "model")
    assert not (tmp_path / "hacked").exists()
    assert (tmp_path / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"not a torch file"), "not a torch file"),
        (lambda path: torch.save({"epoch": 1}, path), "no CSPNet weights"),
        (lambda path: torch.save({"coord_out.weight": torch.zeros(3, 16)}, path), "incomplete"),
        (lambda path: None, "does not exist"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, make, message):
    make(tmp_path / "file.pt")
    with pytest.raises(MiadError, match=message):
        run(tmp_path / "file.pt", out=tmp_path)


def test_a_missing_layer_is_named(tmp_path):
    weights = published(CSPNet(SIZE), "")
    del weights["csp_layer_1.node_mlp.2.bias"]
    torch.save(weights, tmp_path / "file.pt")
    with pytest.raises(MiadError, match=r"csp_layers\.1\.node_mlp\.2\.bias"):
        run(tmp_path / "file.pt", out=tmp_path)
