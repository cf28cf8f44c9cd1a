"""Results say what made them."""

import json
from importlib import metadata

import numpy as np
import pytest
from safetensors.numpy import save_file

import miad
from miad.core.errors import MiadError
from miad.core.provenance import PACKAGES, arithmetic, commit, versions


def test_versions_are_those_installed() -> None:
    found = versions()
    assert found["miad"] == miad.__version__
    assert found["pymatgen"] == metadata.version("pymatgen")
    assert set(PACKAGES) < set(found)
    assert {"pymatgen-core", "matminer"} < set(PACKAGES)  # corrections, fingerprints


def test_outside_a_checkout_the_commit_is_unknown(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(miad, "__file__", str(tmp_path / "miad" / "__init__.py"))
    assert commit.__wrapped__() == "unknown"


def test_the_arithmetic_names_each_machine_once_and_older_files_none(tmp_path) -> None:
    texts = ["sample: Loops in fp32, 2 threads", "sample: CompiledLoops in fp32, 8 threads", None]
    paths = [tmp_path / f"{number}.safetensors" for number in range(4)]
    for path, text in zip(paths, [*texts, texts[0]], strict=True):
        save_file({"times": np.zeros(0)}, path, {"arithmetic": text} if text else None)
    trained, older = tmp_path / "model.json", tmp_path / "older.json"
    trained.write_text(json.dumps({"arithmetic": "train: Loops in bf16, 4 threads", "num_epochs": 3}))
    older.write_text(json.dumps({"num_epochs": 3}))
    assert arithmetic([trained, *paths]) == f"{texts[1]}; {texts[0]}; train: Loops in bf16, 4 threads"
    assert arithmetic([paths[2], older]) is None


@pytest.mark.parametrize(
    ("name", "remedy"), [("0.trajectories.safetensors", "sample again"), ("m.json", "train again")]
)
def test_a_damaged_record_is_named_with_the_remedy(tmp_path, name, remedy) -> None:
    (tmp_path / name).write_text("{")
    with pytest.raises(MiadError, match=f"{name}.*{remedy}"):
        arithmetic([tmp_path / name])
