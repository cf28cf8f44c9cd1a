"""Models that ship: found by name, whatever the folder, and each with a card."""

import shutil

import pytest
import torch

from miad.core.errors import MiadError
from miad.model import shipped
from miad.model.weights import load, read_settings


def test_every_model_that_ships_can_be_loaded_and_has_a_card():
    assert shipped.DEFAULT in shipped.names()
    for name in shipped.names():
        network, model = load(name)
        assert all(torch.isfinite(weight).all() for weight in network.parameters())
        assert read_settings(name) == model
        assert name in shipped.card(name).splitlines()[0]


def test_all_that_ship_take_at_most_twenty_megabytes():
    assert sum(path.stat().st_size for path in shipped.FOLDER.iterdir()) < 20e6


def test_a_file_comes_before_the_shipped_model_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped.located("mp20-small").parent == shipped.FOLDER and shipped.is_shipped("mp20-small")
    shutil.copy(shipped.located("mp20-small"), "mp20-small")
    assert str(shipped.located("mp20-small")) == "mp20-small" and not shipped.is_shipped("mp20-small")


def test_a_name_that_is_none_is_told_with_the_names_there_are():
    with pytest.raises(MiadError, match=r"model mp20-smal: .*\(.*mp20-small.*\)\. Did you mean mp20-small\?"):
        load("mp20-smal")


def test_the_key_of_a_model_that_there_is_not_is_named():
    with pytest.raises(MiadError, match=r"train\.start_from absent: there is no such file"):
        shipped.located("absent", "train.start_from")
