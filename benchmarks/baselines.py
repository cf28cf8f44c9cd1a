"""Trained model against an untrained one and a random baseline, from the same starting points.

    python benchmarks/baselines.py [--results results] [--run miad] [--calculator chgnet]

Needs a finished run (`make run`). Judges as many samples as that run has, with its settings, hull and training set:

- trained: the run itself.
- untrained: the same network with its initial weights, sampled by the same sampler.
- random: number of atoms and species drawn from the training crystals, positions uniform, in cells of training
  crystals scaled to the mean volume per atom. Its validation loss is that of the best prediction that ignores the
  crystal: no noise, no score, the training frequencies of the species.

Prints a Markdown table.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def random_crystals(training: list, num_crystals: int, seed: int) -> list:
    """Crystals with atoms at random positions."""
    from miad.core.crystal import Crystal

    rng = np.random.default_rng(seed)
    pool = np.concatenate([crystal.atomic_numbers for crystal in training])
    volume = np.mean([crystal.volume / crystal.num_atoms for crystal in training])
    made = []
    for index in range(num_crystals):
        model = training[rng.integers(len(training))]
        scale = (volume * model.num_atoms / model.volume) ** (1 / 3)
        places = rng.random((model.num_atoms, 3))
        made.append(Crystal(f"random-{index:05d}", model.lattice * scale, places, rng.choice(pool, model.num_atoms)))
    return made


def mean_losses(network, process, clean, rounds: int = 4) -> dict[str, float]:
    """Losses of the infused crystals, with random numbers of their own that are the same for every network."""
    import torch

    from miad.model.diffusion.process import Noise

    means, num = dict.fromkeys(("lattice", "coords", "species"), 0.0), len(clean.lattice)
    with torch.no_grad():
        for seed in range(rounds):
            noise = Noise([torch.Generator().manual_seed(seed)], [num])
            infused = process.infuse(clean, noise)
            losses = process.losses(network, infused, process.times(noise, True, num), noise, process.counts(infused))
            means = {name: mean + losses[name].item() / rounds for name, mean in means.items()}
    return means


def validation_loss(network, trained, run: Path) -> float:
    """Sum of the three losses of the validation crystals."""
    from miad.infuse.step import read_state
    from miad.model.diffusion.process import JointDiffusion

    process = JointDiffusion(trained.diffusion, trained.mirage, center_scores=trained.center_scores)
    clean = read_state(run / "infuse" / "val.safetensors", trained.mirage.num_atoms)
    return sum(mean_losses(network, process, clean).values())


def ignorant_network(trained, run: Path):
    """The best prediction that does not depend on the crystal."""
    import torch

    from miad.infuse.step import read_state

    known = read_state(run / "infuse" / "train.safetensors", trained.mirage.num_atoms)
    species = known.species.flatten() if known.is_atom is None else known.species[known.is_atom]
    logits = torch.log(torch.bincount(species, minlength=100).float() + 1e-6)

    def network(lattice, frac_coords, kinds, times, is_atom=None):
        return torch.zeros_like(lattice), torch.zeros_like(frac_coords), logits.expand(*kinds.shape, -1)

    return network


def judged(crystals: Path, run: Path, settings: dict, folder: Path, calculator: str) -> dict:
    """Relax and judge crystals like those of the run; returns the counts of the headline protocol."""
    from miad.config.sections import Relax, Sun, build
    from miad.relax import step as relax
    from miad.sun import step as sun

    relaxed, row = folder / "relaxed.jsonl", folder / "row.json"
    relax.run(build(settings, Relax), crystals=crystals, relaxed=relaxed, calculator=calculator)
    sun.run(
        build(settings, Sun),
        relaxed=[relaxed],
        generated=[crystals],
        **{split: run / "dataset" / f"{split}.jsonl.gz" for split in ("train", "val", "test")},
        hull=run / "hull" / "entries.csv.gz",
        ledger=folder / "ledger.jsonl",
        verdicts=folder / "verdicts.jsonl",
        row=row,
        run=folder.name,
    )
    record = json.loads(row.read_text())
    return record["protocols"][record["headline"]]["counts"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--run", default="miad")
    parser.add_argument("--calculator", default="chgnet")
    options = parser.parse_args()

    import torch

    from miad.config.resolve import read_config, resolve
    from miad.config.sections import Sample, build
    from miad.core.crystal import read_crystals, write_crystals
    from miad.core.statistics import wilson
    from miad.model.network import CSPNet
    from miad.model.weights import load, save
    from miad.sample import step as sample

    run = options.results / options.run
    settings = resolve(read_config(ROOT / "config.yaml"))[options.run]
    network, trained = load(run / "train" / "model.safetensors")
    record = json.loads((run / "sun" / options.calculator / "row.json").read_text())
    counts = {"trained": record["protocols"][record["headline"]]["counts"]}
    losses = {"trained": validation_loss(network, trained, run)}

    folder = run / "benchmark" / "untrained"
    torch.manual_seed(settings["seed"])
    blank = CSPNet(trained.network).eval()
    losses["untrained"] = validation_loss(blank, trained, run)
    save(folder / "model.safetensors", blank.state_dict(), trained)
    one_shard = build({**settings, "sample": {**settings["sample"], "num_shards": 1}}, Sample)
    sample.run(one_shard, model=folder / "model.safetensors", crystals=folder / "samples.jsonl", shard=0)
    counts["untrained"] = judged(folder / "samples.jsonl", run, settings, folder, options.calculator)

    folder = run / "benchmark" / "random"
    made = random_crystals(read_crystals(run / "dataset" / "train.jsonl.gz"), settings["sample"]["num_crystals"], 0)
    write_crystals(folder / "samples.jsonl", made)
    losses["random"] = validation_loss(ignorant_network(trained, run), trained, run)
    counts["random"] = judged(folder / "samples.jsonl", run, settings, folder, options.calculator)

    heads = ("model", "validation loss (the paper's terms)", "within 0.1 eV/atom of the hull, %", "samples")
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for name, found in counts.items():
        rate = wilson(found["metastable"], found["attempted"]).percent()
        percent = f"{rate.value:.1f} [{rate.low:.1f}, {rate.high:.1f}]"
        print(f"| {name} | {losses[name]:.2f} | {percent} | {found['attempted']} |")


if __name__ == "__main__":
    main()
