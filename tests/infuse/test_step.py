"""Crystals as tensors and back; what cannot be infused is refused before hours are spent."""

import dataclasses

import numpy as np
import pytest
import torch

from miad.core.crystal import write_crystals
from miad.core.errors import MiadError
from miad.infuse import step as infuse
from tests.builders import toy


def run(folder, train, val=None, mirage=toy.MIRAGE):
    write_crystals(folder / "train.jsonl.gz", train)
    write_crystals(folder / "val.jsonl.gz", toy.crystals(3) if val is None else val)
    paths = {"infused_train": folder / "train.safetensors", "infused_val": folder / "val.safetensors"}
    infuse.run(mirage, train=folder / "train.jsonl.gz", val=folder / "val.jsonl.gz", **paths)
    return tuple(infuse.load(path) for path in paths.values())


def test_every_atom_comes_back(tmp_path):
    crystals = toy.crystals(7)
    (tensors, about), _ = run(tmp_path, crystals)
    assert about == dataclasses.asdict(toy.MIRAGE)
    assert tensors["species"].shape == (7, 5) and tensors["frac_coords"].shape == (7, 5, 3)
    for index, crystal in enumerate(crystals):
        n = crystal.num_atoms
        assert tensors["num_atoms"][index] == n
        assert tensors["species"][index, :n].tolist() == crystal.atomic_numbers.tolist()
        assert (tensors["species"][index, n:] == 0).all()
        assert np.allclose(tensors["frac_coords"][index, :n].numpy(), crystal.frac_coords, atol=1e-7)
        assert np.allclose(tensors["lattice"][index].numpy(), crystal.lattice, atol=1e-6)


def test_the_baseline_is_padded_to_the_largest_of_both_splits(tmp_path):
    (train, _), (val, about) = run(tmp_path, toy.crystals(6, sizes=(1, 2)), toy.crystals(4, sizes=(3, 7)), toy.BASELINE)
    assert about["num_atoms"] is None
    assert train["species"].shape == (6, 7) == (6, val["species"].shape[1])
    mask = infuse.padding_mask(train["num_atoms"], 7)
    assert torch.equal(mask, train["species"] > 0)
    assert mask.sum(1).tolist() == [1, 2, 1, 2, 1, 2]


def test_a_number_of_atoms_that_is_too_small_is_refused_with_both_numbers(tmp_path):
    with pytest.raises(MiadError, match=r"num_atoms is 5, but toy-0-1 in .*train.* has 8 atoms.*num_atoms to 13"):
        run(tmp_path, toy.crystals(3, sizes=(2, 8)))
    with pytest.raises(MiadError, match=r"but toy-7-0 in .*val"):
        run(tmp_path, toy.crystals(3), toy.crystals(3, seed=7, sizes=(6,)))
    assert not list(tmp_path.glob("*.safetensors"))
    exact = toy.crystals(3, sizes=(5,))
    assert run(tmp_path, exact)[0][0]["species"].min() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"atomic_numbers": np.array([100])}, "atomic number 100; the model knows 1 to 99"),
        ({"lattice": np.full((3, 3), np.nan)}, "not a finite number"),
        ({"frac_coords": np.full((1, 3), np.nan)}, "not a finite number"),
        ({"frac_coords": np.zeros((0, 3)), "atomic_numbers": np.zeros(0, int)}, "no atoms"),
    ],
)
def test_what_cannot_be_learnt_is_named_with_the_remedy(tmp_path, change, message):
    crystals = toy.crystals(4)
    crystals[3] = crystals[3].replace(**change)
    with pytest.raises(MiadError, match=rf"toy-0-3 in .*train.* has .*{message}.*dataset\.exclude"):
        run(tmp_path, crystals)


def test_an_empty_split_is_named(tmp_path):
    with pytest.raises(MiadError, match=r"val\.jsonl\.gz holds no crystals.*dataset\.files"):
        run(tmp_path, toy.crystals(3), [])


def test_what_is_not_infused_is_refused_with_the_remedy(tmp_path):
    run(tmp_path, toy.crystals(2))
    whole = (tmp_path / "train.safetensors").read_bytes()
    (tmp_path / "torn.safetensors").write_bytes(whole[:-10])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    for path in ("torn.safetensors", "empty.safetensors", "absent.safetensors", "train.jsonl.gz"):
        with pytest.raises(MiadError, match=r"is not an infused data set.*miad infuse"):
            infuse.load(tmp_path / path)
