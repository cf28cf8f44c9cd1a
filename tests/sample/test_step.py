"""Sampling: a crystal depends on (seed, run, shard, index) and on nothing else."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from miad.config.sections import Mirage, Network, Sample
from miad.core.crystal import NUM_SPECIES, read_crystals
from miad.core.errors import MiadError
from miad.core.provenance import arithmetic
from miad.core.seeding import generator, seed_of
from miad.machine import progress
from miad.model import edges
from miad.model.diffusion.process import JointDiffusion
from miad.model.network import CSPNet
from miad.model.process import Noise
from miad.model.weights import Model, save
from miad.sample import cuda_graph
from miad.sample import step as sample
from miad.sample.step import blocks_at_once, draw_padding, generate, plan, shard_size
from tests.builders import toy
from tests.builders.waiting import Waiting

SAMPLE = Sample(
    seed=3, num_crystals=21, num_shards=2, stride=2, corrector_scale=1e-5, corrector_steps=4, denoise_last=True,
    limit_lattice=1.2, record=0, epoch=None, precision="float32", device="cpu",
)  # fmt: skip
COUNTS = [0, 5, 0, 3, 2]


def about(mirage=toy.MIRAGE) -> Model:
    return Model(mirage, toy.DIFFUSION, toy.NETWORK, True, COUNTS, 6.0, 1, "toy")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(path, CSPNet(toy.NETWORK).state_dict(), about())
    return path


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """A shard of 11 crystals has three blocks, the last one smaller."""
    monkeypatch.setattr(sample, "BLOCK", 4)


def lines(model, folder, shard=0, run="toy", trajectories=None, **changes) -> str:
    path = folder / f"{shard}.jsonl"
    settings = dataclasses.replace(SAMPLE, **changes)
    sample.run(settings, model=model, crystals=path, shard=shard, run=run, trajectories=trajectories)
    return path.read_text()


def test_shards_give_the_same_crystals_in_any_order_and_of_any_number_of_samples(model, tmp_path):
    first = [lines(model, tmp_path, shard) for shard in (0, 1)]
    assert [lines(model, tmp_path, shard) for shard in (1, 0)] == first[::-1]
    # Two whole blocks more, or less, leave the other blocks as they are.
    assert lines(model, tmp_path, num_crystals=16).splitlines() == first[0].splitlines()[:8]


def test_seed_run_and_shard_each_change_every_crystal(model, tmp_path):
    found = [
        lines(model, tmp_path),
        lines(model, tmp_path, seed=4),
        lines(model, tmp_path, run="other"),
        lines(model, tmp_path, shard=1),
    ]
    lattices = [[json.dumps(json.loads(line)["lattice"]) for line in text.splitlines()] for text in found]
    assert len({lattice for shard in lattices for lattice in shard}) == 11 + 11 + 11 + 10


def test_ids_counts_and_ranges(model, tmp_path):
    crystals = []
    for shard in (0, 1):
        lines(model, tmp_path, shard)
        crystals += read_crystals(tmp_path / f"{shard}.jsonl")
    assert [crystal.crystal_id for crystal in crystals[:2]] == ["toy-000-00000", "toy-000-00001"]
    assert crystals[11].crystal_id == "toy-001-00000"
    assert len({crystal.crystal_id for crystal in crystals}) == len(crystals) == 21
    for crystal in crystals:
        assert 1 <= crystal.num_atoms <= 5 and crystal.atomic_numbers.min() >= 1
        assert ((crystal.frac_coords >= 0) & (crystal.frac_coords < 1)).all()


@pytest.mark.parametrize(("crystals", "shards"), [(10, 3), (128, 2), (10_000, 10), (7, 7), (5, 8)])
def test_shards_add_up(crystals, shards):
    settings = dataclasses.replace(SAMPLE, num_crystals=crystals, num_shards=shards)
    sizes = [shard_size(settings, shard) for shard in range(shards)]
    assert sum(sizes) == crystals and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("shard", [-1, 2])
def test_a_shard_that_does_not_exist_is_refused(model, tmp_path, shard):
    with pytest.raises(MiadError, match=rf"shard {shard} does not exist: sample\.num_shards is 2.*0 to 1"):
        lines(model, tmp_path, shard)


def test_a_model_that_was_not_kept_is_named(tmp_path):
    with pytest.raises(MiadError, match=r"epoch-000005\.safetensors does not exist.*kept no model of epoch 5"):
        lines(tmp_path / "epoch-000005.safetensors", tmp_path, epoch=5)


def test_an_empty_shard_is_an_empty_file(model, tmp_path):
    assert lines(model, tmp_path, 1, num_crystals=1, trajectories=tmp_path / "t.safetensors") == ""


def test_steps_are_counted_over_all_blocks_of_a_shard_or_of_one_call(model, tmp_path, monkeypatch):
    counts = []
    monkeypatch.setattr(progress, "report", counts.append)
    lines(model, tmp_path)  # three blocks of ten steps
    assert [(one.done, one.total) for one in counts] == [(done, 30) for done in range(31)]
    counts.clear()
    process = JointDiffusion(toy.DIFFUSION, toy.MIRAGE)
    generate(SAMPLE, about(), CSPNet(toy.NETWORK), process, Noise([generator(0)], [2]))
    assert [(one.done, one.total) for one in counts] == [(done, 10) for done in range(11)]


def test_trajectories_end_in_the_crystals(model, tmp_path):
    path = tmp_path / "t.safetensors"
    plain = lines(model, tmp_path)
    assert lines(model, tmp_path, record=5, trajectories=path) == plain  # looking does not disturb
    tensors = load_file(path)
    assert tensors["times"].tolist() == sorted(tensors["times"].tolist(), reverse=True)
    assert tensors["times"].shape == (5,) and tensors["times"][-1] == 0
    # Of the first block only: one block tells how crystals come about.
    assert tensors["lattice"].shape == (5, 4, 3, 3)
    assert tensors["frac_coords"].shape == (5, 4, 5, 3) and tensors["species"].shape == (5, 4, 5)
    for index, crystal in enumerate(read_crystals(tmp_path / "0.jsonl")[:4]):
        real = tensors["species"][-1, index] > 0
        assert crystal.atomic_numbers.tolist() == tensors["species"][-1, index][real].tolist()
        assert np.allclose(crystal.frac_coords, tensors["frac_coords"][-1, index][real].numpy())
        assert np.allclose(crystal.lattice, tensors["lattice"][-1, index].numpy())
    lines(model, tmp_path, trajectories=path)
    assert load_file(path)["times"].tolist() == []


def test_snapshots_say_what_computed_the_shard_and_the_crystals_do_not(model, tmp_path, monkeypatch):
    path, texts = tmp_path / "t.safetensors", []
    for threads in ("1 thread", "2 threads"):
        monkeypatch.setattr(edges, "arithmetic", lambda device, precision, t=threads: f"Loops in {precision}, {t}")
        texts.append(lines(model, tmp_path, trajectories=path))
        assert arithmetic([path]) == f"sample: Loops in {SAMPLE.precision}, {threads}"
    assert texts[0] == texts[1]


def test_a_lattice_that_is_no_number_fails_alone(model, tmp_path, monkeypatch):
    whole = lines(model, tmp_path).splitlines()
    prior = JointDiffusion.prior

    def broken(self, *arguments):
        state = prior(self, *arguments)
        if len(state.lattice) == 3:  # the last block
            state.lattice[1, 1, 1] = float("nan")
        return state

    monkeypatch.setattr(JointDiffusion, "prior", broken)
    found = lines(model, tmp_path).splitlines()
    assert found[:9] + found[10:] == whole[:9] + whole[10:]
    assert json.loads(found[9])["failure"]["step"] == "sample"
    assert len(read_crystals(tmp_path / "0.jsonl")) == 11


def test_the_baseline_draws_its_numbers_of_atoms_from_the_histogram():
    num = 20_000
    mask = draw_padding(about(toy.BASELINE), Noise([generator("atoms")], [num]))
    assert mask.shape == (num, 4)
    drawn = mask.sum(1)
    assert torch.equal(mask, torch.arange(4) < drawn[:, None])
    observed = drawn.bincount(minlength=5).double()
    expected = num * torch.tensor(COUNTS, dtype=torch.float64) / sum(COUNTS)
    assert observed[expected == 0].sum() == 0
    chi_square = ((observed - expected)[expected > 0].square() / expected[expected > 0]).sum()
    assert chi_square < 13.8  # 0.1 % for two degrees of freedom
    assert draw_padding(about(), Noise([generator("atoms")], [num])) is None


def test_steps_and_correctors_as_set():
    def steps(**changes):
        return plan(20, dataclasses.replace(SAMPLE, stride=5, **changes))

    assert steps(corrector_steps=1) == [(20, 15, False), (15, 10, False), (10, 5, False), (5, 0, True)]
    assert all(is_corrected for _, _, is_corrected in steps(corrector_steps=None))
    assert all(is_corrected for _, _, is_corrected in steps(corrector_steps=50))  # more than there are steps
    assert not any(is_corrected for _, _, is_corrected in steps(corrector_steps=0))
    assert not any(is_corrected for _, _, is_corrected in steps(corrector_steps=4, corrector_scale=0.0))
    with pytest.raises(MiadError, match=r"sample\.stride 3 does not divide the 20 time steps"):
        plan(20, dataclasses.replace(SAMPLE, stride=3))


@pytest.mark.parametrize(
    ("changes", "calls"), [({}, 14), ({"corrector_steps": None}, 20), ({"corrector_scale": 0.0}, 10)]
)
def test_calls_of_the_network_are_as_announced(model, tmp_path, monkeypatch, changes, calls):
    predict, seen = JointDiffusion.predict, []
    monkeypatch.setattr(JointDiffusion, "predict", lambda *all_: seen.append(1) or predict(*all_))
    lines(model, tmp_path, num_crystals=8, **changes)  # one block
    steps = plan(20, dataclasses.replace(SAMPLE, **changes))
    assert len(seen) == calls == sum(1 + is_corrected for _, _, is_corrected in steps)


def test_seeds_are_the_same_on_every_machine():
    assert seed_of("seed", 0, "miad") == seed_of("seed", "0", "miad") == 1917575616266324198
    assert len({seed_of(0, "miad", shard, block) for shard in range(30) for block in range(30)}) == 900
    assert torch.equal(torch.rand(3, generator=generator(1)), torch.rand(3, generator=generator(1)))


@pytest.mark.parametrize("mirage", [toy.MIRAGE, toy.BASELINE])
def test_no_step_waits_for_the_gpu(mirage):
    process = JointDiffusion(toy.DIFFUSION, mirage)
    noise, network = Noise([generator(0)], [4]), CSPNet(toy.NETWORK)
    with Waiting() as waiting:
        generate(dataclasses.replace(SAMPLE, record=3), about(mirage), network, process, noise)
    assert waiting.lines == []


def test_blocks_side_by_side_draw_the_same_numbers(model, tmp_path, monkeypatch):
    """As on a GPU. The network's own round-off is left out: this one gives every crystal the same."""
    monkeypatch.setattr(cuda_graph, "Predictor", lambda network, _: lambda *state: constant(*state))

    def constant(lattice, frac_coords, species, times, is_atom):
        return torch.zeros_like(lattice), torch.zeros_like(frac_coords), torch.zeros(*species.shape, NUM_SPECIES)

    alone = lines(model, tmp_path, record=3, trajectories=tmp_path / "alone.safetensors")
    for together in (2, 8):
        monkeypatch.setattr(sample, "blocks_at_once", lambda *_, together=together: together)
        path = tmp_path / f"{together}.safetensors"
        assert lines(model, tmp_path, record=3, trajectories=path) == alone
        assert path.read_bytes() == (tmp_path / "alone.safetensors").read_bytes()


def test_blocks_fill_half_of_a_gpu(monkeypatch):
    monkeypatch.setattr(sample, "BLOCK", 128)
    paper = dataclasses.replace(about(), mirage=Mirage(25, "uniform", True), network=Network(512, 6, 128, 256, 1.0))
    assert blocks_at_once(paper, 141 * 10**9) == sample.MOST_BLOCKS
    assert blocks_at_once(paper, 8 * 2**30) < blocks_at_once(paper, 16 * 2**30) < sample.MOST_BLOCKS
    assert blocks_at_once(paper, 16 * 2**30, is_guided=True) < blocks_at_once(paper, 16 * 2**30)
    assert blocks_at_once(paper, 2**20) == blocks_at_once(paper, None) == 1
