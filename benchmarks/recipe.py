"""Worth of each choice of the `fast` recipe at laptop scale: the same short training with one choice taken back.

    python benchmarks/recipe.py [--results results] [--run miad] [--epochs 60] [--seeds 1] [--only NAME …] [--out …]

Needs the infused data of a run (`make run`). All trainings see the same number of steps; all are measured with the same
random numbers on the validation crystals, by losses that do not depend on the recipe: of the lattice noise, of the
coordinate score without its rigid shift (which cannot be predicted), and of the species in nats. A finished training is
not repeated. Prints a Markdown table: mean over the seeds, and the spread of the whole recipe's.
"""

import argparse
import copy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from baselines import mean_losses  # noqa: E402

VARIANTS: dict[str, dict] = {
    "fast": {},
    "as_paper": {"train": {"recipe": "as_paper"}},
    "constant rate (no cooldown)": {"train": {"cooldown_fraction": 0.0}},
    "no averaged weights": {"train": {"ema_decay": None}},
    "no warm-up": {"train": {"warmup_steps": 0}},
    "warm-up of 200 steps": {"train": {"warmup_steps": 200}},
    "no clipping": {"train": {"clip_norm": None}},
    "scores not centred": {"train": {"center_scores": False}},
    "times not stratified": {"train": {"stratified_times": False}},
    "no cross entropy": {"train": {"cross_entropy": 0.0}},
    "bf16": {"train": {"precision": "bf16"}},
    "rate 1e-3": {"train": {"learning_rate": 1e-3}},
    "rate 6e-3": {"train": {"learning_rate": 6e-3}},
    "Gram matrix × 0.033": {"network": {"gram_scale": 0.033}},
    "Gram matrix × 0.3": {"network": {"gram_scale": 0.3}},
    "lattice loss × 3": {"train": {"loss_weights": {"lattice": 3.0, "coords": 1.0, "species": 1.0}}},
    "species loss × 0.5": {"train": {"loss_weights": {"lattice": 1.0, "coords": 1.0, "species": 0.5}}},
}


def measure(model: Path, val: Path) -> dict[str, float]:
    """Losses of a model that do not depend on how it was trained."""
    from miad.infuse.step import read_state
    from miad.model.diffusion import coords, species
    from miad.model.diffusion.process import JointDiffusion
    from miad.model.weights import load

    network, trained = load(model)
    process = JointDiffusion(trained.diffusion, trained.mirage, center_scores=True)
    clean, nats = read_state(val, trained.mirage.num_atoms), []

    def centred(lattice, frac_coords, kinds, times, is_atom=None):
        epsilon, score, logits = network(lattice, frac_coords, kinds, times, is_atom)
        nats.append(species.cross_entropy(logits, clean.species).mean().item())
        return epsilon, coords.centre(score, process.scored(clean)), logits

    means = mean_losses(centred, process, clean)
    return {**means, "species": sum(nats) / len(nats)}


def trained(name: str, seed: int, options: argparse.Namespace) -> Path:
    """The model of one variant, trained unless it was before."""
    from miad.config.resolve import merge, read_config, resolve
    from miad.config.sections import Train, build
    from miad.train import step as train

    folder = options.out / f"{name.replace(' ', '_').replace('×', 'x')}-{seed}"
    infused = options.results / options.run / "infuse"
    length = {"seed": seed, "train": {"num_epochs": options.epochs, "validate_every": options.epochs}}
    config = merge(read_config(ROOT / "config.yaml"), merge(copy.deepcopy(VARIANTS[name]), length))
    settings = build(resolve(config)[config["run"]], Train)
    if not (folder / "model.safetensors").exists():
        files = {split: infused / f"{split}.safetensors" for split in ("train", "val")}
        train.run(settings, **files, model=folder / "model.safetensors", losses=folder / "losses.csv")
    return folder / "model.safetensors"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--run", default="miad")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("results/benchmark/recipe"))
    options = parser.parse_args()
    val = options.results / options.run / "infuse" / "val.safetensors"
    print("| training | lattice | coordinates | species, nats |\n| --- | --- | --- | --- |")
    for name in options.only:
        num_seeds = max(options.seeds, 2) if name == "fast" else options.seeds  # two are the least that show a spread
        found = [measure(trained(name, seed, options), val) for seed in range(num_seeds)]
        means = {part: sum(one[part] for one in found) / len(found) for part in found[0]}
        spread = {part: max(one[part] for one in found) - min(one[part] for one in found) for part in found[0]}
        cells = [f"{means[part]:.3f}" + (f" ± {spread[part] / 2:.3f}" if name == "fast" else "") for part in means]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
