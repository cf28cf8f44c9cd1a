"""All measurements on a GPU in one call: absolute figures of a training step and of 10,000 samples at the paper's size
and their floor; then the kernels against the plain path, and the network against the plain formulation.

    python benchmarks/gpu.py           # on a machine with a GPU
    python benchmarks/gpu.py --dry     # anywhere: the kernels compiled for Hopper and Ampere, the rest in small

Needs torch, triton, torch-geometric, safetensors and pytest only.
"""

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import toy  # noqa: E402

from miad.config.sections import Diffusion, Mirage, Network, Sample  # noqa: E402

SAMPLES, STEPS = 10_000, 1000  # of the paper


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes of one run.

    Attributes:
        network: of the model.
        atoms: N_m.
        batch: crystals of a training step.
        samples: crystals sampled together.
        sampling_steps: of those that are timed, each two calls of the network.
        repeats: training steps timed.
    """

    network: Network
    atoms: int
    batch: int
    samples: int
    sampling_steps: int
    repeats: int


AT_PAPER = Case(Network(512, 6, 128, 256, 1.0), 25, 256, 1000, 20, 30)  # 10 shards of 1000 samples
IN_SMALL = Case(Network(32, 1, 4, 16, 1.0), 4, 8, 130, 2, 1)


def operations(network: Network, atoms: int) -> tuple[float, float]:
    """Floating-point operations per crystal of the products alone: forward, and forward with backward.

    Nothing is counted twice: each unordered pair is projected once, and features need no gradient.
    """
    hidden, layers = network.hidden_dim, network.num_layers
    pairs = 2 * atoms * (atoms - 1) / 2 * 6 * network.num_frequencies * hidden
    edges = 2 * atoms**2 * hidden**2
    of_atoms = 2 * atoms * 5 * hidden**2  # receiver, sender, and the two layers after the mean
    return layers * (pairs + edges + of_atoms), layers * (2 * pairs + 3 * edges + 3 * of_atoms)


def wait(device: str) -> None:
    """Wait until the GPU has finished."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(action: Callable[[], object], repeats: int, device: str, warmup: int = 3) -> float:
    """Mean time of a call when many follow each other, as in a training."""
    for _ in range(warmup):
        action()
    wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        action()
    wait(device)
    return (time.perf_counter() - start) / repeats


def product_rate(precision: str, device: str) -> float:
    """Operations per second of a large matrix product on random numbers."""
    size = 8192 if device == "cuda" else 256
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / seconds(lambda: left @ right, 10, device)


def training_step(case: Case, precision: str, device: str, folder: Path) -> float:
    """Seconds of a step of the train command: data on the device, noise, losses, gradients, clipping, Adam, average."""
    from miad.train.step import Trainer

    mirage = Mirage(case.atoms, "uniform", True)
    data = toy.infused(folder / "data", mirage, num=2 * case.batch)
    settings = toy.changed(
        mirage=mirage, network=case.network, diffusion=Diffusion(STEPS, 0.008, 0.005, 0.5), batch_size=case.batch,
        precision=precision, num_epochs=1000, device=device, warmup_steps=10**9,
    )  # fmt: skip
    trainer = Trainer(settings, **data, folder=folder / precision)
    order = trainer._order(0)
    turns = iter(range(10**9))
    return seconds(lambda: trainer._step(order, next(turns) % trainer.num_batches), case.repeats, device)


def sampling_step(case: Case, precision: str, device: str) -> float:
    """Seconds of a step of the sampler, corrector and predictor, for `case.samples` crystals together."""
    from miad.core.seeding import generator
    from miad.model.diffusion.process import JointDiffusion, Noise
    from miad.model.network import CSPNet
    from miad.model.weights import Model
    from miad.sample.cuda_graph import Predictor
    from miad.sample.step import BLOCK, generate

    diffusion = Diffusion(case.sampling_steps, 0.008, 0.005, 0.5)
    model = Model(Mirage(case.atoms, "uniform", True), diffusion, case.network, True, [], None, 0, "benchmark")
    settings = Sample(0, case.samples, 1, 1, 1e-5, None, False, None, 0, None, precision, device)
    torch.manual_seed(0)
    network = CSPNet(case.network).to(device).eval().requires_grad_(False)
    predictor, process = Predictor(network, precision), JointDiffusion(diffusion, model.mirage, device, True)
    firsts = range(0, case.samples, BLOCK)
    noise = Noise(
        [generator(0, first, device=device) for first in firsts],
        [min(BLOCK, case.samples - first) for first in firsts],
    )
    return seconds(lambda: generate(settings, model, predictor, process, noise), 1, device, 1) / case.sampling_steps


def absolutes(case: Case, device: str) -> None:
    """Print rates, floors and times."""
    forward, both = operations(case.network, case.atoms)
    rates = {precision: product_rate(precision, device) for precision in ("float32", "tf32", "bf16")}
    print(
        "| what | precision | measured | floor | share of the measured rate |\n| --- | --- | --- | --- | --- |",
        flush=True,
    )
    for precision, rate in rates.items():
        print(f"| matrix product | {precision} | {rate / 1e12:.1f} TFLOP/s | | |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for precision, rate in rates.items():
            paths = ("kernel", "plain") if device == "cuda" else ("plain",)
            for path in paths:
                choose_path(path)
                spent, floor = training_step(case, precision, device, Path(folder) / path), case.batch * both / rate
                name = f"training step, batch {case.batch}, {path} edge block"
                row = f"| {name} | {precision} | {1e3 * spent:.2f} ms | {1e3 * floor:.2f} ms | {floor / spent:.0%} |"
                print(row, flush=True)
    choose_path("kernel")
    for precision, rate in rates.items():
        spent = sampling_step(case, precision, device) * STEPS * SAMPLES / case.samples / 60
        floor = 2 * STEPS * SAMPLES * forward / rate / 60
        name = f"{SAMPLES} samples of {STEPS} steps, from {case.sampling_steps} steps of {case.samples}"
        print(f"| {name} | {precision} | {spent:.1f} min | {floor:.1f} min | {floor / spent:.0%} |", flush=True)
    if device == "cuda":
        print(f"\npeak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


def choose_path(path: str) -> None:
    """Select the edge block of the following measurements: `kernel` or `plain`."""
    from miad.model.edges import has_kernel

    os.environ["MIAD_EDGES"] = path
    has_kernel.cache_clear()


def command(*words: str) -> None:
    """Run another program of this repository and print its output; a failure is printed and ends nothing."""
    print(f"\n$ {' '.join(words)}", flush=True)
    # Unbuffered: a machine that is taken away after ten minutes has then shown what was measured.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    code = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment).returncode
    print(f"exit code {code}", flush=True)


def main() -> None:
    """All measurements in turn, the most important first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="without a GPU: compile the kernels, run the rest in small")
    parser.add_argument("--figures", action="store_true", help="the absolute figures alone")
    options = parser.parse_args()
    if options.dry:
        command("benchmarks/compiled.py")
        absolutes(IN_SMALL, "cpu")
        return
    if options.figures:
        absolutes(AT_PAPER, "cuda")
        return
    name, memory = torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory
    print(f"{name}, {memory / 2**30:.0f} GiB, torch {torch.__version__}, CUDA {torch.version.cuda}", flush=True)
    command("benchmarks/gpu.py", "--figures")
    command(
        "-m",
        "pytest",
        "tests/model/kernels/test_edge_kernel.py",
        "tests/sample/test_cuda_graph.py",
        "tests/model/test_network.py",
    )
    command("benchmarks/network.py", "--device", "cuda", "--repeats", "5", "--ratios")


if __name__ == "__main__":
    main()
