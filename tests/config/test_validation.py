"""Mistakes in config.yaml: refused in words that help, mended where the meaning is plain."""

import pytest

from miad.config.resolve import resolve
from miad.config.schema import checked
from miad.core.errors import MiadError
from tests.builders.config import put, shipped


@pytest.fixture
def config() -> dict:
    return shipped()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("trian", {}), ("trian is not a known key", "Did you mean train?")),
        (("train", "learning_rat", 1.0), ("train.learning_rat is not a known key", "learning_rate?")),
        (("ablations", "x", "mirage", "num_atom", 9), ("ablations.x.mirage.num_atom", "num_atoms?")),
        (("recipes", "fast", "ema", 0.9), ("recipes.fast.ema", "ema_decay?")),
        (("laptop", "sample", "steps", 4), ("laptop.sample.steps is not a known key",)),
        (("train", "mirage", {"num_atoms": 3}), ("train.mirage is not a known key",)),
        (("mirage", "num_atoms", "nine"), ("mirage.num_atoms", "'nine'", "integer", "N_m")),
        (("mirage", "mask_loss", 1), ("mirage.mask_loss", "boolean")),
        (("sample", "num_crystals", 10.5), ("sample.num_crystals", "10.5", "integer")),
        (("mirage", "coordinates", "centre"), ("mirage.coordinates", "'centre'", "uniform or center")),
        (("train", "learning_rate", -1.0), ("train.learning_rate", "-1.0")),
        (("train", "keep_every", 0), ("train.keep_every", "0")),
        (("diffusion", "sigma_max", 0.1), ("diffusion.sigma_max", "0.3", "prior")),
        (("dataset", "split", [0.5, 0.2, 0.2]), ("dataset.split", "three fractions that add up to 1")),
        (("dataset", "files", {"trian": "x.csv"}), ("dataset.files.trian cannot be a key", "train|val|test")),
        (("relax", "potentials", "eqv2", "mode", "free"), ("relax.potentials.eqv2.mode", "relaxed or as_paper")),
        (("relax", "potentials", "mine", {"class": "Mine"}), ("relax.potentials.mine.class is 'Mine'", "]+:[")),
        (
            ("sun", "protocols", "strict", "cells", "all"),
            ("sun.protocols.strict.cells is 'all'", "relaxed or generated"),
        ),
        (("sun", "protocols", "strict", "stable_below", 0.5), ("sun.protocols.strict", "metastable_below not lower")),
        (("sun", "protocols", "mine", {"cells": "relaxed"}), ("sun.protocols.mine.frames is missing",)),
        (("external", {"x": {"calculator": "chgnet"}}), ("external.x.crystals is missing",)),
        (("external", {"x": {"crystals": "a", "calculatr": "b"}}), ("external.x.calculatr", "calculator?")),
        (("sample", "device", "gpu"), ("sample.device", "gpu")),
        (("run", "my-run"), ("run", "my-run", "letters")),
        (("ablations", 20, {}), ("ablations: 20", "letters", "quotes")),
        (("ablations", False, {}), ("ablations: False", "quotes")),
        (("ablations", "more mirage", {}), ("ablations: 'more mirage'", "letters")),
        (("ablations", "tables", {}), ("ablations: results/tables", "Rename")),
        (("run", "figures"), ("run: results/figures", "Rename")),
        (("ablations", "miad", {}), ("ablations.miad", "main run", "Rename")),
        (("external", {"miad": {"crystals": "x.cif"}}), ("external.miad has the name of the main run", "Rename")),
        (("train", None), ("train is None", "expected keys")),
        (("train", "checkpoint_minutes", float("inf")), ("train.checkpoint_minutes", "finite number")),
        (("train", "loss_weights", "species", ".inf"), ("train.loss_weights.species", "number")),
        (("seed", "2020-01-01"), ("seed is '2020-01-01'", "integer")),
        (("report", "title", "\ud800"), ("no text file can hold",)),
        (("train", "start_from", ""), ("train.start_from", "expected text")),
        (("external", {"x": {"crystals": ""}}), ("external.x.crystals", "expected text")),
        (("run", "x" * 101), ("run", "at most 100")),
        (("scale", "huge"), ("scale", "'huge'", "laptop, small or paper")),
    ],
)
def test_words_of_the_check(config, path, words):
    with pytest.raises(MiadError) as caught:
        resolve(put(config, *path))
    for word in words:
        assert word in str(caught.value)


def test_all_that_is_wrong_is_said_at_once(config):
    put(config, "sample", "stride", "much")
    put(config, "diffusion", "sigma_min", 7.0)
    with pytest.raises(MiadError) as caught:
        resolve(config)
    first, second = str(caught.value).splitlines()
    assert "diffusion.sigma_min" in first and "sample.stride" in second


@pytest.mark.parametrize(
    ("path", "text", "meant"),
    [
        (("sample", "stride"), "4", 4),
        (("sample", "corrector_scale"), "1e-5", 1e-5),
        (("mirage", "mask_loss"), "false", False),
        (("laptop", "mirage", "num_atoms"), "null", None),
        (("ablations", "x", "mirage", "num_atoms"), "8", 8),
        (("sun", "protocol"), "5", "5"),
    ],
)
def test_text_becomes_what_it_means_where_no_text_is_wanted(config, path, text, meant):
    """As snakemake hands on what is nested in `--config`."""
    config = checked(put(config, *path, text))
    for key in path:
        config = config[key]
    assert config == meant and type(config) is type(meant)


def test_a_block_is_never_read_out_of_a_text(config):
    with pytest.raises(MiadError, match=r"mirage is '\{num_atoms: 3\}', expected keys"):
        resolve(put(config, "mirage", "{num_atoms: 3}"))
