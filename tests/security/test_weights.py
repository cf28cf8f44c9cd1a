"""Promise 1, nothing that is read is run: weights and pickles of others are data, whoever made them."""

import copy
import gzip
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from miad import import_weights
from miad.core.errors import MiadError
from miad.core.files import Unpacked, checksum
from miad.hull.pickled import read_patched_diagram
from miad.io.torch_file import read_torch_file
from miad.model.weights import load
from miad.relax.potentials.register import potential
from tests.builders import tiny_eqv2


class Trap:
    """An object whose pickle makes a folder when it is opened as one."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> dict:
    """A checkpoint of eqV2, as a dict."""
    return read_torch_file(tiny_eqv2.make(tmp_path_factory.mktemp("eqv2") / "tiny.pt"))


@pytest.fixture
def sprung(tmp_path) -> Path:
    """What a hostile file would make."""
    return tmp_path / "sprung"


def backbone(config, call):
    config["model"]["backbone"] = {"model": "subprocess.run", **call}


def model(config, call):
    config["model"] = {"name": "subprocess.run", "backbone": config["model"]["backbone"], "heads": {}, **call}


def head(config, call):
    config["model"]["heads"]["energy"] = {"module": "subprocess.run", **call}


def trainer(config, call):
    config["trainer"] = "subprocess.run"


def start(config, call):
    config["model"]["finetune_config"] = {"starting_checkpoint": "/nowhere/other.pt"}


def object_in_settings(config, call):
    config["outputs"]["energy"]["level"] = torch.nn.Linear(1, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (backbone, "its backbone is 'subprocess.run'"),
        (model, "its model is 'subprocess.run'"),
        (head, "its head energy is 'subprocess.run'"),
        (trainer, "its trainer is 'subprocess.run'"),
        (start, "its finetune_config names another checkpoint"),
        (object_in_settings, "not JSON serializable"),
    ],
)
def test_a_checkpoint_of_eqv2_names_no_part_but_those_of_eqv2(checkpoint, tmp_path, sprung, change, said):
    hostile = {**checkpoint, "config": copy.deepcopy(checkpoint["config"])}
    change(hostile["config"], {"args": ["mkdir", str(sprung)]})
    torch.save(hostile, tmp_path / "eqv2.pt")
    before = set(os.listdir(tmp_path))
    for given in ({}, {"checksum": "sha256:" + checksum(tmp_path / "eqv2.pt", "sha256")}):
        with pytest.raises(MiadError, match=rf"eqv2\.pt is not a checkpoint of eqV2 .*{said}"):
            potential("eqv2", {"checkpoint": str(tmp_path / "eqv2.pt"), **given}).engine("cpu", 1e9)
    assert not sprung.exists() and before == set(os.listdir(tmp_path))


@pytest.mark.parametrize("kind", ["sha256", "md5", "git"])
def test_a_checksum_is_no_reason_to_open_a_pickle(checkpoint, tmp_path, sprung, kind):
    torch.save({**checkpoint, "odd": Trap(sprung)}, tmp_path / "eqv2.pt")
    named = {"checkpoint": str(tmp_path / "eqv2.pt"), "checksum": f"{kind}:" + checksum(tmp_path / "eqv2.pt", kind)}
    potential("eqv2", named).engine("cpu", 1e9)
    path = tmp_path / "diagram.pkl.gz"
    path.write_bytes(gzip.compress(pickle.dumps(Trap(sprung))))
    with pytest.raises(MiadError, match="asks for"):
        read_patched_diagram(path, f"{kind}:" + checksum(path, kind))
    assert not sprung.exists()


def test_imported_weights_run_nothing(tmp_path, sprung):
    torch.save({"state": {"coord_out.weight": torch.ones(3, 3)}, "odd": Trap(sprung)}, tmp_path / "w.pt")
    with pytest.raises(MiadError, match="incomplete"):
        import_weights.run(tmp_path / "w.pt", out=tmp_path / "model")
    assert not sprung.exists()


def test_a_model_to_start_from_is_no_pickle(tmp_path, sprung):
    for name, content in {"pickle": pickle.dumps(Trap(sprung)), "torch": None}.items():
        path = tmp_path / f"{name}.safetensors"
        torch.save(Trap(sprung), path) if content is None else path.write_bytes(content)
        with pytest.raises(MiadError, match="is not a model of miad"):
            load(path)
    assert not sprung.exists()


def test_tensors_that_repeat_their_storage_fill_no_memory(tmp_path):
    torch.save({"x": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "wide.pt")
    with pytest.raises(MiadError, match="more than 4 times the size of the file"):
        read_torch_file(tmp_path / "wide.pt")
    torch.save([torch.zeros(1000).view(1000)] * 2 + [torch.zeros(1).expand(5, 5)], tmp_path / "narrow.pt")
    assert read_torch_file(tmp_path / "narrow.pt")[2].shape == (5, 5)


def test_many_views_of_one_storage_fill_no_memory(tmp_path):
    storage = torch.zeros(100_000)
    torch.save([storage.view(100_000) for _ in range(50)], tmp_path / "many.pt")
    with pytest.raises(MiadError, match="more than 4 times the size of the file"):
        read_torch_file(tmp_path / "many.pt")


def test_a_torch_file_that_is_a_zip_bomb_is_refused_unread(tmp_path):
    torch.save({"x": torch.zeros(1_000_000)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    with pytest.raises(MiadError, match="unpacks to more than its size"):
        read_torch_file(tmp_path / "bomb.pt")


def test_a_pickled_hull_that_is_a_gzip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Unpacked, "MOST", 1 << 20)
    monkeypatch.setattr(Unpacked, "RATIO", 20)
    for number, content in enumerate((pickle.dumps(b"\0" * 30_000_000), b"I" + b"1" * 30_000_000)):
        path = tmp_path / f"{number}.pkl.gz"
        path.write_bytes(gzip.compress(content))
        with pytest.raises(MiadError, match="unpacks to more than 20 times its size"):
            read_patched_diagram(path, "sha256:" + checksum(path, "sha256"))


def test_contents_that_hold_themselves_or_each_other_over_and_over_are_refused(tmp_path):
    endless: dict = {}
    endless["state"] = endless
    doubled: list = [1]
    for _ in range(60):
        doubled = [doubled, doubled]
    for number, content in enumerate((endless, {"config": {"model": doubled}})):
        torch.save(content, tmp_path / f"{number}.pt")
        with pytest.raises(MiadError, match="or each other"):
            import_weights.run(tmp_path / f"{number}.pt", out=tmp_path / "model")


class Reshaped:
    """A tensor of four numbers whose state, in the oldest layout of torch, makes it one of four billion."""

    def __init__(self, size: int = 4, state: tuple | None = None) -> None:
        self.size, self.state = size, state

    def __reduce__(self) -> tuple:
        return torch._utils._rebuild_tensor_v2, (torch.zeros(4).storage(), 0, (4,), (1,)), self.state


def test_a_tensor_that_takes_another_shape_later_is_refused(tmp_path):
    torch.save({"x": Reshaped(state=(Reshaped(), 0, (1 << 32,), (0,)))}, tmp_path / "reshaped.pt")
    with pytest.raises(MiadError, match="more than 4 times the size of the file"):
        read_torch_file(tmp_path / "reshaped.pt")


def test_a_pickled_hull_whose_text_doubles_over_and_over_is_refused(tmp_path):
    text = b"X\x04\x00\x00\x00aaaa" + b"q\x010"
    double = b"h\x00h\x01X\x03\x00\x00\x00hex\x86Rq\x010"
    path = tmp_path / "doubles.pkl.gz"
    path.write_bytes(gzip.compress(b"\x80\x02c_codecs\nencode\nq\x000" + text + 40 * double + b"h\x01."))
    with pytest.raises(MiadError, match="it asks for the encoding 'hex'"):
        read_patched_diagram(path, "sha256:" + checksum(path, "sha256"))
