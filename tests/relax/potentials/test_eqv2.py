"""eqV2 with a tiny random checkpoint: the published loader, both modes, the whole step, and weights that are absent."""

import dataclasses

import numpy as np
import pytest

from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.energy_frames import correction_per_atom
from miad.core.errors import MiadError
from miad.relax import step as relax
from miad.relax.potentials.engine import AseEngine
from miad.relax.potentials.eqv2_fairchem import edge_rotations
from miad.relax.potentials.register import potential
from tests.builders import tiny_eqv2
from tests.builders.hostile import hostile
from tests.builders.potentials import Atoms, Evaluation, single_points
from tests.builders.relaxation import SETTINGS, rocksalt


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of random weights."""
    return tiny_eqv2.make(tmp_path_factory.mktemp("eqv2") / "tiny.pt")


def crystals(count: int = 3) -> list[Crystal]:
    """Crystals of several sizes."""
    random = np.random.default_rng(1)
    return [
        Crystal(f"{n}", (3.4 + 0.4 * n) * np.eye(3), random.random((n, 3)), random.integers(1, 80, n))
        for n in range(1, count + 1)
    ]


def atoms_of(given: list[Crystal]) -> list[Atoms]:
    """Crystals as a potential sees them."""
    return [Atoms(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers) for crystal in given]


def evaluations(options: dict, given: list[Crystal]) -> list[Evaluation]:
    """Single points of crystals by eqV2 with these options."""
    return single_points(potential("eqv2", options).engine("cpu", 1e9), atoms_of(given))


def with_eqv2(checkpoint, mode: str, **common):
    """Settings of a relaxation with eqV2."""
    own = {"checkpoint": str(checkpoint), "mode": mode, "fmax": 1e-4, "max_steps": 4, "memory": 4.0}
    return dataclasses.replace(SETTINGS, calculators=["eqv2"], potentials={"eqv2": own}, **common)


def test_agrees_with_fairchems_own_calculator_alone_and_in_a_batch(checkpoint, monkeypatch, tmp_path):
    engine = potential("eqv2", {"checkpoint": str(checkpoint)}).engine("cpu", 1e9)
    together = single_points(engine, atoms_of(crystals()))
    import torch
    from fairchem.core.common.relaxation.ase_utils import OCPCalculator

    monkeypatch.chdir(tmp_path)  # it makes folders
    plain = torch.load(checkpoint, weights_only=True)
    plain["config"]["is_debug"] = True
    torch.save(plain, "plain.pt")
    theirs = AseEngine(OCPCalculator(checkpoint_path="plain.pt", cpu=True, seed=0), "cpu")
    theirs = single_points(theirs, atoms_of(crystals()))
    for crystal, our, their in zip(crystals(), together, theirs, strict=True):
        [alone] = single_points(engine, atoms_of([crystal]))
        assert our.energy == pytest.approx(their.energy, abs=1e-6)
        assert our.energy == pytest.approx(alone.energy, abs=1e-7)
        np.testing.assert_allclose(our.forces, their.forces, atol=1e-5)
        np.testing.assert_allclose(our.virial, their.virial, atol=1e-3)
        # eV; float32 sums of another order, which one build of torch chooses and another does not
        np.testing.assert_allclose(our.virial, alone.virial, atol=3e-5)


def test_twice_the_same_is_the_same(checkpoint):
    engine = potential("eqv2", {"checkpoint": str(checkpoint)}).engine("cpu", 1e9)
    first, second = (single_points(engine, atoms_of(crystals())) for _ in range(2))
    assert [one.energy for one in first] == [one.energy for one in second]
    np.testing.assert_array_equal(first[2].forces, second[2].forces)


def test_edges_are_turned_onto_the_axis_by_rotations():
    import torch

    vectors = torch.tensor([[0, 0, 2.0], [1, 0, 0], [0, -3.0, 0], [1, 2, -0.5]])
    turned = edge_rotations(vectors)
    lengths = torch.linalg.vector_norm(vectors, dim=1)
    found = (turned @ vectors[:, :, None])[:, :, 0]
    np.testing.assert_allclose(found, torch.stack([0 * lengths, lengths, 0 * lengths], dim=1), atol=1e-6)
    np.testing.assert_allclose(turned @ turned.mT, torch.eye(3).repeat(4, 1, 1), atol=1e-6)
    np.testing.assert_allclose(torch.linalg.det(turned), torch.ones(4), atol=1e-6)


def test_as_paper_is_at_fixed_cell_and_uncorrected(checkpoint):
    chosen = potential("eqv2", {"checkpoint": str(checkpoint), "mode": "as_paper"})
    settings = dataclasses.replace(SETTINGS, fmax=1e-6, max_steps=3)
    salt = rocksalt("salt", 5.5, (12, 8), apart=0.45)
    [found] = relax.in_flight([salt], settings, chosen, "cpu", limit=1e9)
    assert found.energy_frame == "uncorrected" and found.calculator.startswith("tiny (fairchem-core 1.")
    assert found.num_steps == 3 and found.rms_displacement > 0
    np.testing.assert_array_equal(found.lattice, salt.lattice)
    [evaluation] = evaluations({"checkpoint": str(checkpoint)}, [found])
    assert found.energy_per_atom == pytest.approx(evaluation.energy / 2, abs=1e-6)


def test_the_whole_step_relaxes_the_cell_and_corrects_once(checkpoint, tmp_path):
    given = [rocksalt("mgo", 4.3, (12, 8), apart=0.45), rocksalt("noble", 5.0, (86, 8)), rocksalt("nan", np.nan)]
    write_crystals(tmp_path / "in.jsonl", given)
    settings = with_eqv2(checkpoint, "relaxed")
    relax.run(settings, crystals=tmp_path / "in.jsonl", relaxed=tmp_path / "out.jsonl", calculator="eqv2")
    found = read_crystals(tmp_path / "out.jsonl")
    assert [crystal.crystal_id for crystal in found] == ["mgo", "noble", "nan"]
    mgo = found[0]
    assert mgo.failure is None and mgo.energy_frame == "mp2020"
    assert mgo.num_steps == 4 and mgo.volume_change != 0  # its own max_steps, not that of relax
    [evaluation] = evaluations({"checkpoint": str(checkpoint)}, [mgo])
    added = mgo.energy_per_atom - evaluation.energy / 2
    assert added == pytest.approx(correction_per_atom(mgo.structure), abs=1e-6)
    assert added == pytest.approx(-0.34, abs=0.01)
    assert "Rn" in found[1].failure.reason and "not numbers" in found[2].failure.reason


def test_hostile_crystals_fail_alone(checkpoint):
    chosen = potential("eqv2", {"checkpoint": str(checkpoint)})
    # Those are sound to any potential, or take too long for a test.
    given = [one for one in hostile(26) if one.crystal_id.split("-")[0] not in ("dense", "two_hundred_atoms")]
    settings = dataclasses.replace(SETTINGS, max_steps=1)
    together = {one.crystal_id: one for one in relax.in_flight(given, settings, chosen, "cpu", limit=1e9)}
    assert together.keys() == {one.crystal_id for one in given}
    assert {name.split("-")[0] for name, one in together.items() if not one.failure} >= {"far_away", "left_handed"}
    for name in ("overlapping-0", "tiny_cell-1", "huge_cell-2", "flat_cell-3", "not_numbers-10", "no_atoms-12"):
        assert together[name].failure.step == "relax"
    for one in given[4:8]:
        [alone] = relax.in_flight([one], settings, chosen, "cpu", limit=1e9)
        assert alone.failure == together[one.crystal_id].failure
        if not alone.failure:
            assert alone.energy_per_atom == pytest.approx(together[one.crystal_id].energy_per_atom, abs=1e-6)


@pytest.mark.parametrize("path", [None, "nowhere/eqV2_153M_omat_mp_salex.pt"])
def test_absent_weights_stop_the_step_before_any_work(tmp_path, path):
    options = {"eqv2": {"checkpoint": path, "mode": "relaxed"}}
    settings = dataclasses.replace(SETTINGS, calculators=["eqv2"], potentials=options)
    write_crystals(tmp_path / "in.jsonl", [rocksalt("salt", 5.5)])
    with pytest.raises(MiadError) as stopped:
        relax.run(settings, crystals=tmp_path / "in.jsonl", relaxed=tmp_path / "out.jsonl", calculator="eqv2")
    for word in (
        "eqV2_153M_omat_mp_salex.pt",
        "facebook/OMAT24",
        "relax.potentials.eqv2.checkpoint",
        str(path or "no path"),
    ):
        assert word in str(stopped.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_weights_of_another_checksum_are_refused(checkpoint):
    with pytest.raises(MiadError, match=r"relax\.potentials\.eqv2\.checksum"):
        potential("eqv2", {"checkpoint": str(checkpoint), "checksum": "sha256:00"}).files()


def test_what_else_a_checkpoint_holds_is_no_reason_to_refuse_it(checkpoint, tmp_path):
    import torch

    plain = torch.load(checkpoint, weights_only=True)
    odd = plain | {"odd": np.random.default_rng(0), "val_metrics": {"energy": np.float64(0.1)}, "scale_dict": "/x/y.pt"}
    odd["config"] = plain["config"] | {"optim": {"load_datasets_and_model_then_exit": True}, "logger": "os.system"}
    odd["config"]["loss_functions"] = [{"energy": {"fn": "mae_density", "coefficient": 20}}]  # as published
    torch.save(odd, tmp_path / "odd.pt")
    [there], [here] = (
        evaluations({"checkpoint": str(path)}, crystals(1)) for path in (tmp_path / "odd.pt", checkpoint)
    )
    assert there.energy == here.energy


def test_another_file_is_told_from_a_checkpoint(tmp_path):
    import torch

    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(MiadError, match="not a checkpoint of eqV2"):
        potential("eqv2", {"checkpoint": str(tmp_path / "other.pt")}).engine("cpu", 1e9)
    (tmp_path / "text.pt").write_text("<html>")
    with pytest.raises(MiadError, match=r"text\.pt"):
        potential("eqv2", {"checkpoint": str(tmp_path / "text.pt")}).engine("cpu", 1e9)


def test_unknown_mode_and_key_are_refused():
    with pytest.raises(MiadError, match="as_paper"):
        potential("eqv2", {"mode": "paper"})
    with pytest.raises(MiadError, match="Known keys: checkpoint, checksum, mode, device, fmax"):
        potential("eqv2", {"weights": "x"})


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 49325\n", "the pointer of Git LFS"),
        ("\n<!DOCTYPE html>\n<html>Log in</html>\n", "a page of the web"),
    ],
)
def test_what_was_downloaded_in_the_place_of_weights_is_named(tmp_path, content, what):
    (tmp_path / "weights.pt").write_text(content)
    with pytest.raises(MiadError, match=rf"weights\.pt is no checkpoint but {what}.*Download"):
        potential("eqv2", {"checkpoint": str(tmp_path / "weights.pt")}).engine("cpu", 1e9)
