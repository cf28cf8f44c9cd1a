"""Tensors come out of torch files as they went in; classes do not."""

import pytest
import torch

from miad.core.errors import MiadError
from miad.io.torch_file import read_torch_file


def test_tensors_survive_with_dtype_shape_and_stride(tmp_path):
    base = torch.arange(12, dtype=torch.float64).reshape(3, 4)
    content = {
        "slice": base[1:, ::2],
        "transposed": base.t(),
        "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "whole": torch.tensor([2**40, -1]),
        "truth": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "empty": torch.zeros(0, 3),
        "plain": [1, "two", (3.0, None)],
    }
    torch.save(content, tmp_path / "file.pt")
    found = read_torch_file(tmp_path / "file.pt")
    for name in ("slice", "transposed", "half", "whole", "truth", "empty"):
        assert torch.equal(found[name], content[name]) and found[name].dtype == content[name].dtype, name
    assert torch.equal(found["parameter"], torch.ones(2)) and found["plain"] == content["plain"]


def test_a_storage_that_is_too_short_is_refused(tmp_path):
    import zipfile

    torch.save({"x": torch.zeros(100)}, tmp_path / "file.pt")
    with zipfile.ZipFile(tmp_path / "file.pt") as whole, zipfile.ZipFile(tmp_path / "cut.pt", "w") as cut:
        for name in whole.namelist():
            cut.writestr(name, whole.read(name)[:40] if "/data/" in name else whole.read(name))
    with pytest.raises(MiadError, match="has 10 numbers, expected 100"):
        read_torch_file(tmp_path / "cut.pt")
