"""The device that work is done on."""

import pytest
import torch

from miad.core.errors import MiadError
from miad.machine.device import pick_device


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
