"""Training steps with the memory of each kept by the process, and returned to the system: ratios in one run.

    python benchmarks/memory.py [--rounds 5] [--steps 10]

Each way in a process of its own, in turn, so that a slow moment of the machine hits both. Prints a Markdown table:
medians of the processor's time and of the clock.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from miad.config.sections import Mirage, Network  # noqa: E402

CASES = {  # network, N_m, batch, precision
    "laptop": (Network(128, 3, 16, 64, 1.0), 9, 128, "float32"),
    "mp20-small": (Network(192, 4, 24, 128, 1.0), 11, 128, "bf16"),
    "paper": (Network(512, 6, 128, 256, 1.0), 25, 8, "float32"),
}


def measure(name: str, is_kept: bool, steps: int) -> None:
    """Print seconds per step: of the processor, of its kernel part, of the clock."""
    from miad.train.memory import keep_memory
    from miad.train.trainer import Trainer
    from tests.builders import toy

    if is_kept:
        assert keep_memory()
    network, atoms, batch, precision = CASES[name]
    mirage = Mirage(atoms, "uniform", True)
    with tempfile.TemporaryDirectory() as folder:
        data = toy.infused(Path(folder), mirage, num=2 * batch)
        settings = toy.changed(mirage=mirage, network=network, batch_size=batch, precision=precision)
        trainer = Trainer(settings, **data, folder=Path(folder) / "run")
        order = trainer._order(0)
        for _ in range(2):
            trainer._step(order, 0)
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        for _ in range(steps):
            trainer._step(order, 0)
        spent, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    system = after.ru_stime - before.ru_stime
    print((after.ru_utime - before.ru_utime + system) / steps, system / steps, spent / steps)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure[0], options.measure[1] == "kept", options.steps)
        return
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    print("| training step | kept: processor, kernel, clock, ms | returned | processor's time saved | clock's |")
    print("| --- | --- | --- | --- | --- |")
    for name in options.only:
        found: dict[str, list[list[float]]] = {"kept": [], "returned": []}
        for _ in range(options.rounds):
            for way, rounds in found.items():
                command = [sys.executable, __file__, "--steps", str(options.steps), "--measure", name, way]
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
                rounds.append([float(word) for word in done.stdout.split()])
        kept, returned = ([statistics.median(part) for part in zip(*rounds, strict=True)] for rounds in found.values())
        cells = [", ".join(f"{1e3 * value:.1f}" for value in way) for way in (kept, returned)]
        saved = [f"{1 - kept[index] / returned[index]:.0%}" for index in (0, 2)]
        print(f"| {name} | {' | '.join([*cells, *saved])} |", flush=True)


if __name__ == "__main__":
    main()
