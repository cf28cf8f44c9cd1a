"""The sample step: one shard of crystals, generated from noise.

Random numbers are made per block of crystals from (seed, run, shard, block), and on a CPU the network sees one block at
a time: shards may run anywhere and in any order and give the same crystals. The block has a fixed size because matrix
products round differently in batches of another size, and a thousand steps make other crystals of that. A GPU gets
several blocks of a shard at once, how many is decided by the network's size and the card's memory: there a shard is the
same again on the same card, and of the same number of crystals.
"""

import dataclasses
import itertools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from miad.config.sections import Sample
from miad.core.crystal import Crystal, write_crystals
from miad.core.errors import MiadError
from miad.core.seeding import generator
from miad.machine.device import pick_device
from miad.model.weights import Model, load
from miad.sample.constraints import Target, elements, restriction, targets
from miad.sample.trajectories import write

if TYPE_CHECKING:
    import torch

    from miad.model.process import Noise, Predict, Process, State

log = logging.getLogger("miad")
Step = tuple[int, int, bool]  # time, the earlier time that it leads to, whether a corrector goes before it
BLOCK = 128  # crystals that share a generator
WHAT = "sampling steps"
MOST_BLOCKS = 8  # at once on a GPU; beyond a thousand crystals its products get no faster


def shard_size(settings: Sample, shard: int) -> int:
    """Crystals of one shard, as even as possible, the first shards take the rest; a MiadError if it does not exist."""
    if not 0 <= shard < settings.num_shards:
        raise MiadError(
            f"shard {shard} does not exist: sample.num_shards is {settings.num_shards}, so they are 0 to"
            f" {settings.num_shards - 1}. Give one of these, or raise sample.num_shards in config.yaml."
        )
    return settings.num_crystals // settings.num_shards + (shard < settings.num_crystals % settings.num_shards)


def plan(num_timesteps: int, settings: Sample) -> list[Step]:
    """The steps from noise.

    Raises:
        MiadError: strides of this length do not end at 0, which would leave noise in every crystal.
    """
    stride, corrected = settings.stride, settings.corrector_steps
    if num_timesteps % stride:
        raise MiadError(
            f"sample.stride {stride} does not divide the {num_timesteps} time steps of the model. Give a divisor of it."
        )
    times = range(num_timesteps, 0, -stride)
    first = 0 if corrected is None else len(times) - corrected  # of the steps that have a corrector
    has_any = settings.corrector_scale > 0
    return [(time, time - stride, has_any and position >= first) for position, time in enumerate(times)]


def draw_padding(model: Model, noise: "Noise", dealt: Sequence[Target] = ()) -> "torch.Tensor | None":
    """Numbers of atoms from the training histogram, as a mask (n_crystals, largest); None with mirage infusion.

    Of samples with targets they lie within the bounds of these, evenly where no training crystal has so many atoms.
    """
    import torch

    from miad.infuse.step import padding_mask

    if model.mirage.num_atoms is not None:
        return None
    counts = torch.tensor(model.atom_counts, dtype=torch.float64)  # (largest + 1,)
    uniform = noise.uniform().double()  # (n_crystals,)
    if dealt:
        sizes = torch.arange(len(counts))
        fits = torch.stack([(one.least <= sizes) & (sizes <= one.most) for one in dealt])  # (n_crystals, largest + 1)
        weights = torch.where((fits * counts).any(1, keepdim=True), fits * counts, fits.double())
        shares = weights.cumsum(1)  # (n_crystals, largest + 1)
        scaled = (uniform.cpu() * shares[:, -1])[:, None]  # (n_crystals, 1)
        found = torch.searchsorted(shares, scaled, right=True)[:, 0]  # (n_crystals,)
        return padding_mask(found.to(uniform.device), model.width)
    shares = counts.cumsum(0)  # (largest + 1,)
    drawn = torch.searchsorted((shares / shares[-1]).to(uniform.device), uniform, right=True)  # (n_crystals,)
    return padding_mask(drawn, model.width)


def blocks_at_once(model: Model, memory: int | None, is_guided: bool = False) -> int:
    """Blocks that a GPU of `memory` bytes works on together, half of it filled by a generous count; None (CPU): one.

    Guided structure prediction keeps tensors of every layer for its gradients.
    """
    if memory is None:
        return 1
    atoms = model.width
    features = 3 * model.network.num_frequencies
    # Ten tensors of Fourier features per pair while they are made, or six edge tensors of the plain edge block.
    edges = 6 + (4 * model.network.num_layers if is_guided else 0)
    floats = 5 * atoms**2 * features + edges * atoms**2 * model.network.hidden_dim
    return max(1, min(MOST_BLOCKS, memory // 2 // (4 * floats * BLOCK)))


def generate(
    settings: Sample,
    model: Model,
    network: "Predict",
    process: "Process",
    noise: "Noise",
    dealt: Sequence[Target] = (),
    tracked: Iterator[Step] | None = None,
) -> "tuple[State, dict[int, State]]":
    """Crystals by the reverse process from the blocks of `noise`, and `settings.record` snapshots of the first one.

    Constrained samples have a target each in `dealt`. Several calls that are to count as one loop share the steps of
    all of them in `tracked`, from which each call takes its own.
    """
    import torch

    from miad.machine.progress import track

    state = process.prior(noise, model.width, draw_padding(model, noise, dealt))
    only = {}  # processes of before there were constraints go on working
    if dealt:
        device = state.lattice.device
        conditions = restriction(dealt, model.width, settings.constraints, state.is_atom, device)
        only = {"restriction": conditions}
        allowed = elements(dealt, model.elements).to(device) if model.network.allowed_input else None
        species = state.species if conditions.species is None else conditions.species
        state = dataclasses.replace(state, species=species, allowed=allowed)
    steps = plan(model.diffusion.num_timesteps, settings)
    limit, longest = settings.limit_lattice, model.max_length
    max_length = None if limit is None or longest is None else limit * longest
    keep = {round(i * (len(steps) - 1) / max(1, settings.record - 1)) for i in range(settings.record)}
    snapshots = {}
    mine = track(steps, what=WHAT) if tracked is None else itertools.islice(tracked, len(steps))
    with torch.no_grad():
        for position, (now, later, is_corrected) in enumerate(mine):
            if is_corrected:
                state = process.correct(network, state, now, settings.corrector_scale, noise)
            state = process.step(network, state, now, later, noise, settings.denoise_last, max_length, **only)
            if position in keep:
                snapshots[later] = state[:BLOCK]
    return state, snapshots


def run(
    settings: Sample, *, model: Path, crystals: Path, shard: int, run: str = "miad", trajectories: Path | None = None
) -> None:
    """Generate the crystals of one shard.

    Args:
        model: weights, safetensors.
        crystals: where the samples go, JSON lines.
        shard: number of the shard, from 0.
        run: name of the run; the ids are {run}-{shard}-{index}.
        trajectories: where snapshots go (sample.record of them), safetensors: species, coordinates, lattices per time;
            its header says what computed the network.

    Raises:
        MiadError: there is no such shard, or no such model, or constraints that contradict themselves or the model.
    """
    import torch

    from miad.machine.progress import track
    from miad.model.edges import arithmetic
    from miad.model.process import Noise
    from miad.model.register import make_process
    from miad.sample.cuda_graph import Predictor

    if settings.epoch is not None and not Path(model).is_file():
        raise MiadError(
            f"{model} does not exist: the training kept no model of epoch {settings.epoch}. Models are kept while"
            " it runs: move its folder away to train anew with train.keep_every, or set sample.epoch and report.epochs"
            " back."
        )
    device = pick_device(settings.device)
    computed_by = arithmetic(device, settings.precision)
    log.info("arithmetic of the network: %s", computed_by)
    network, trained = load(model, device)
    choice = targets(settings.constraints, trained.width, trained.elements)
    process = make_process(trained.diffusion, trained.mirage, device, trained.center_scores)
    predictor = Predictor(network, settings.precision)
    memory = None if device == "cpu" else torch.cuda.get_device_properties(device).total_memory
    together = blocks_at_once(trained, memory, settings.constraints.is_guided)
    names = [f"{run}-{shard:03d}-{index:05d}" for index in range(shard_size(settings, shard))]
    found: list[Crystal] = []
    recorded: dict[int, State] = {}
    starts = range(0, len(names), together * BLOCK)
    steps = track(plan(trained.diffusion.num_timesteps, settings) * len(starts), what=WHAT)
    for start in starts:
        here = names[start : start + together * BLOCK]
        firsts = range(start, start + len(here), BLOCK)
        generators = [generator(settings.seed, run, shard, first // BLOCK, device=device) for first in firsts]
        noise = Noise(generators, [min(BLOCK, len(names) - first) for first in firsts])
        # Dealt out by the place in the shard: of all shards together every target gets as many.
        dealt = [choice[(shard + start + place) % len(choice)] for place in range(len(here) if choice else 0)]
        state, snapshots = generate(settings, trained, predictor, process, noise, dealt, steps)
        found += state.crystals(here)
        # One block tells how crystals come about; thousands of them would fill a disk.
        settings = dataclasses.replace(settings, record=0)
        recorded = recorded or snapshots
    next(steps, None)  # the last one counts as done when the next is asked for
    if trajectories is not None:
        write(trajectories, recorded, computed_by)
    write_crystals(crystals, found)
    num_failed = sum(crystal.failure is not None for crystal in found)
    log.info("shard %d: %d crystals, %d of them failed", shard, len(found), num_failed)
