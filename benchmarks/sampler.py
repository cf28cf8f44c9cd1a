"""Quality lost by fewer network calls: the same model sampled in several ways, relaxed and judged alike.

    python benchmarks/sampler.py [--results results] [--run miad] [--number 128] [--calculator chgnet]

Needs a finished run (`make run`), whose model, settings, hull and training set are used. Prints a Markdown table.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from baselines import judged  # noqa: E402

SAMPLERS = {
    "as published": {"stride": 1, "corrector_steps": None, "denoise_last": False},
    "no corrector": {"stride": 1, "corrector_steps": 0, "denoise_last": True},
    "stride 5, corrector on the last 50 steps": {"stride": 5, "corrector_steps": 50, "denoise_last": True},
    "stride 10, no corrector": {"stride": 10, "corrector_steps": 0, "denoise_last": True},
    "stride 20, no corrector": {"stride": 20, "corrector_steps": 0, "denoise_last": True},
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--run", default="miad")
    parser.add_argument("--number", type=int, default=128)
    parser.add_argument("--calculator", default="chgnet")
    options = parser.parse_args()

    from miad.config.resolve import read_config, resolve
    from miad.config.sections import Sample, build
    from miad.core.statistics import wilson
    from miad.model.weights import load
    from miad.sample import step as sample

    run = options.results / options.run
    settings = resolve(read_config(ROOT / "config.yaml"))[options.run]
    model = run / "train" / "model.safetensors"
    num_timesteps = load(model)[1].diffusion.num_timesteps
    print("| sampler | network calls | seconds | relaxed, % | within 0.1 eV/atom, % | stable, % | S.U.N., % |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, changes in SAMPLERS.items():
        folder = run / "benchmark" / name.replace(",", "").replace(" ", "_")
        base = build(settings, Sample)
        chosen = dataclasses.replace(base, num_crystals=options.number, num_shards=1, **changes)
        start = time.perf_counter()
        sample.run(chosen, model=model, crystals=folder / "samples.jsonl", shard=0, run=folder.name)
        seconds = time.perf_counter() - start
        counts = judged(folder / "samples.jsonl", run, settings, folder, options.calculator)
        rates = [wilson(counts[key], options.number).percent() for key in ("relaxed", "metastable", "stable", "sun")]
        cells = " | ".join(f"{rate.value:.1f} [{rate.low:.1f}, {rate.high:.1f}]" for rate in rates)
        print(f"| {name} | {sample.num_network_calls(num_timesteps, chosen)} | {seconds:.0f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
