"""All that a GPU should be asked, in the order in which a short visit answers most; a row is printed once it is known.

    python benchmarks/gpu.py --out FOLDER     # on a machine with a GPU: some six minutes
    python benchmarks/gpu.py --dry            # anywhere: all of it in small, the kernels in Triton's interpreter

What to carry, and what comes out: docs/gpu.md. The relaxation is a call of its own: gpu_relax.py.
"""

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
from pathlib import Path

if "--dry" in sys.argv:
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from benchmarks.measuring import FORK, Rows, profile, timed  # noqa: E402
from miad.config.sections import Diffusion, Mirage, Network, Sample  # noqa: E402
from miad.model.edges import EdgeMean, Loops, PairIndex  # noqa: E402
from tests.builders import toy  # noqa: E402

SAMPLES, STEPS = 10_000, 1000  # of the paper


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes of one run.

    Attributes:
        network: of the model.
        atoms: N_m.
        batch: crystals of a training step.
        samples: numbers of crystals sampled together.
        steps: noise levels; of the sampler all are timed, each two calls of the network.
        repeats: training steps timed.
        again: repeats of the edge block that have to agree bit for bit.
        device: as torch names it.
    """

    network: Network
    atoms: int
    batch: int
    samples: tuple[int, ...]
    steps: int
    repeats: int
    again: int
    device: str


AT_PAPER = Case(Network(512, 6, 128, 256, 1.0), 25, 256, (1000, 128), 20, 30, 200, "cuda")
IN_SMALL = Case(Network(16, 1, 2, 8, 1.0), 4, 1, (3,), 10, 1, 1, "cpu")


def operations(network: Network, atoms: int) -> tuple[float, float]:
    """Floating-point operations per crystal of the products alone: forward, and forward with backward.

    Nothing is counted twice: each unordered pair is projected once, and features need no gradient.
    """
    hidden, layers = network.hidden_dim, network.num_layers
    pairs = 2 * atoms * (atoms - 1) / 2 * 6 * network.num_frequencies * hidden
    edges = 2 * atoms**2 * hidden**2
    of_atoms = 2 * atoms * 5 * hidden**2  # receiver, sender, and the two layers after the mean
    return layers * (pairs + edges + of_atoms), layers * (2 * pairs + 3 * edges + 3 * of_atoms)


def set_precision(precision: str) -> torch.dtype:
    """Set what float32 products are made of; the type that tensors have."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def versions() -> str:
    """The card and the programs."""
    try:
        from triton import __version__ as triton
    except ImportError:
        triton = "missing: no kernels"
    card = "no GPU"
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        card = f"{torch.cuda.get_device_name()}, {memory:.0f} GiB, sm_{torch.cuda.get_device_capability()}"
    return f"{card}, torch {torch.__version__}, CUDA {torch.version.cuda}, triton {triton}"


def copy_rate(case: Case) -> str:
    """Bytes per second that a copy reads and writes."""
    source = torch.empty(2**30 if case.device == "cuda" else 2**20, dtype=torch.uint8, device=case.device)
    target = torch.empty_like(source)
    return f"{2 * len(source) / timed(lambda: target.copy_(source), 20, case.device)[0] / 1e12:.2f} TB/s"


def product_rate(case: Case, precision: str) -> str:
    """Operations per second of a large matrix product on random numbers."""
    size = 8192 if case.device == "cuda" else 64
    dtype = set_precision(precision)
    left, right = (torch.randn(size, size, device=case.device, dtype=dtype) for _ in range(2))
    return f"{2 * size**3 / timed(lambda: left @ right, 10, case.device)[0] / 1e12:.1f} TFLOP/s"


def edge_block(case: Case, num: int, dtype: torch.dtype, device: str) -> list[torch.Tensor]:
    """Arguments of `EdgeMean` that are tensors: `num` crystals, the same in every precision."""
    hidden, g = case.network.hidden_dim, torch.Generator().manual_seed(0)
    num_pairs = case.atoms * (case.atoms - 1) // 2
    shapes = [(num, case.atoms, hidden)] * 2 + [(num, num_pairs, hidden)] * 2 + [(hidden,), (hidden, hidden), (hidden,)]
    tensors = [torch.randn(shape, generator=g) for shape in shapes]
    tensors[5] /= hidden**0.5
    return [tensor.bfloat16().to(device, dtype).requires_grad_() for tensor in tensors]


def run_block(case: Case, tensors: list[torch.Tensor], loops: object) -> list[torch.Tensor]:
    """Means, and gradients of their products with the first tensor."""
    first = tensors[0]
    wide = torch.promote_types(first.dtype, torch.float32)
    share = torch.full(first.shape[:2], 1 / case.atoms, dtype=wide, device=first.device)
    mean = EdgeMean.apply(*tensors, share, PairIndex(case.atoms, first.device), loops, True)
    return [mean.detach(), *torch.autograd.grad(mean, tensors, first.detach())]  # a gradient that varies


def poison(device: str) -> None:
    """Fill the memory that is free with NaN: what a kernel leaves out then shows."""
    if device == "cuda":
        torch.cuda.empty_cache()
        spoilt = [torch.full((2**28,), float("nan"), device=device) for _ in range(8)]  # 8 GiB
        del spoilt


def correctness(case: Case, precision: str) -> str:
    """Largest error of the edge block against float64, in shares of the largest number, and repeats that differ."""
    from miad.model.kernels.triton_loops import TritonLoops

    dtype = set_precision(precision)
    exact = run_block(case, edge_block(case, case.batch, torch.float64, case.device), Loops())
    tensors = edge_block(case, case.batch, dtype, case.device)
    poison(case.device)
    found = run_block(case, tensors, TritonLoops())
    errors = [float((a.double() - b).abs().max() / b.abs().max()) for a, b in zip(found, exact, strict=True)]
    del exact
    repeats = (run_block(case, tensors, TritonLoops()) for _ in range(case.again))
    differ = sum(any(not torch.equal(a, b) for a, b in zip(one, found, strict=True)) for one in repeats)
    limit = {"bf16": 0.05, "tf32": 5e-3, "float32": 1e-4}[precision]
    is_right = all(error < limit for error in errors) and not differ  # an error of NaN is none that is small
    of_parts = " ".join(f"{error:.0e}" for error in errors)
    return f"{'right' if is_right else 'WRONG'}: errors {of_parts}; {differ} of {case.again} repeats differ"


def edge_time(case: Case, precision: str, is_fast: bool) -> str:
    """The edge block alone, with its backward pass."""
    loops: object = Loops()
    if is_fast:
        from miad.model.kernels.triton_loops import TritonLoops

        loops = TritonLoops()
    tensors = edge_block(case, case.batch, set_precision(precision), case.device)
    spent, host = timed(lambda: run_block(case, tensors, loops), case.repeats, case.device)
    return f"{1e3 * spent:.2f} ms, of the processor {1e3 * host:.2f} ms"


def training_step(case: Case, precision: str, edges: str = "", table: Path | None = None) -> str:
    """A step of the train command: data on the device, noise, losses, gradients, clipping, Adam, average.

    `table` is the file of a profile of it.
    """
    from miad.train.trainer import Trainer

    os.environ["MIAD_EDGES"] = edges
    mirage = Mirage(case.atoms, "uniform", True)
    with tempfile.TemporaryDirectory() as folder:
        data = toy.infused(Path(folder) / "data", mirage, num=2 * case.batch, seed=0)
        sizes = {"network": case.network, "diffusion": Diffusion(case.steps, 0.008, 0.005, 0.5)}
        settings = toy.changed(
            **sizes, mirage=mirage, batch_size=case.batch, precision=precision, num_epochs=1000, device=case.device
        )
        trainer = Trainer(settings, **data, folder=Path(folder) / "checkpoints")
    order, turns = trainer._order(0), iter(range(10**9))

    def step() -> None:
        trainer._step(order, next(turns) % trainer.num_batches)

    if case.device == "cuda":
        torch.cuda.reset_peak_memory_stats()  # of the rows before
    spent, host = timed(step, case.repeats, case.device)
    os.environ["MIAD_EDGES"] = ""
    memory = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if case.device == "cuda" else ""
    if table:
        table.write_text(profile(step, case.device))
    return f"{1e3 * spent:.2f} ms, of the processor {1e3 * host:.2f} ms{memory}"


def sampling(case: Case, precision: str, num: int, is_graph: bool) -> str:
    """A step of the sampler, corrector and predictor, and all samples of the paper by it."""
    from miad.core.seeding import generator
    from miad.model.process import Noise
    from miad.model.register import make_network, make_process
    from miad.model.weights import Model
    from miad.sample.cuda_graph import Predictor
    from miad.sample.step import BLOCK, generate

    diffusion = Diffusion(case.steps, 0.008, 0.005, 0.5)
    model = Model(Mirage(case.atoms, "uniform", True), diffusion, case.network, True, [], None, 0, "benchmark")
    settings = Sample(0, num, 1, 1, 1e-5, None, False, None, 0, None, precision, case.device)
    torch.manual_seed(0)
    network = make_network(case.network).to(case.device).eval().requires_grad_(False)
    predictor, process = Predictor(network, precision), make_process(diffusion, model.mirage, case.device, True)
    predict = predictor if is_graph else lambda *inputs: predictor._predict(*inputs)
    firsts = range(0, num, BLOCK)
    noise = Noise([generator(0, k, device=case.device) for k in firsts], [min(BLOCK, num - k) for k in firsts])
    spent = timed(lambda: generate(settings, model, predict, process, noise), 1, case.device, 1)[0] / case.steps
    return f"{1e3 * spent:.2f} ms, {SAMPLES} samples in {spent * STEPS * SAMPLES / num / 60:.1f} min"


def command(*words: str) -> str:
    """Another program of this repository, its output printed."""
    # Unbuffered: a machine that is taken away after ten minutes has then shown what was measured.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, check=True)
    return "done"


def visit(case: Case, rows: Rows) -> None:
    """All rows of the first call, the most important first."""
    rows.add("versions", versions)
    rows.add("copy", copy_rate, case)
    for precision in ("bf16", "tf32", "float32"):
        rows.add(f"matrix product, {precision}", product_rate, case, precision)
    for precision in ("bf16", "tf32", "float32"):
        rows.add(f"edge block against float64, {precision}", correctness, case, precision)
    for precision in ("bf16", "tf32"):
        for is_fast in (True, False):
            name = "kernels" if is_fast else "torch"
            rows.add(f"edge block by {name}, {precision}", edge_time, case, precision, is_fast)
    rows.add("training step, bf16", training_step, case, "bf16", "", rows.path.with_name("profile.txt"))
    rows.add("training step, bf16, edge block by torch", training_step, case, "bf16", "plain")
    for num in case.samples:
        for precision in ("tf32", "bf16"):
            for is_graph in (True, False):
                name = f"sampling step, {num} crystals, {precision}, {'graph' if is_graph else 'eager'}"
                rows.add(name, sampling, case, precision, num, is_graph)
    for precision in ("tf32", "float32"):
        rows.add(f"training step, {precision}", training_step, case, precision)
    rows.add(f"sampling step, {case.samples[0]} crystals, float32", sampling, case, "float32", case.samples[0], True)
    forward, both = operations(case.network, case.atoms)
    counts = f"step {case.batch * both / 1e12:.2f} TFLOP, samples {2 * STEPS * SAMPLES * forward / 1e15:.1f} PFLOP"
    rows.add("operations of the products alone", lambda: counts)


def has_gpu() -> bool:
    """Whether torch finds a GPU; asked in another process, because this one starts others that use it."""
    process = FORK.Process(target=lambda: sys.exit(not torch.cuda.is_available()))
    process.start()
    process.join()
    return process.exitcode == 0


def main() -> None:
    """All rows, then the tests."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--dry", action="store_true", help="without a GPU, in small")
    parser.add_argument("--out", type=Path, default=Path("gpu_benchmark"), help="folder of gpu.jsonl and profile.txt")
    parser.add_argument("--limit", type=float, default=120, help="seconds after which a row is given up")
    options = parser.parse_args()
    if not options.dry and not has_gpu():
        parser.error(f"torch {torch.__version__} finds no GPU; --dry runs everything in small without one")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "gpu.jsonl").touch()
    except OSError as error:
        parser.error(f"results cannot be written ({error}); name another folder: --out FOLDER")
    rows = Rows(options.out / "gpu.jsonl", options.limit)
    visit(IN_SMALL if options.dry else AT_PAPER, rows)
    tests = ["tests/model/kernels/test_triton_loops.py", "tests/sample/test_cuda_graph.py"]
    if not options.dry:  # elsewhere they are part of `make test`
        rows.add("tests of kernels and graphs", command, "-m", "pytest", *tests)
    rows.measure()
    sys.exit(f"{rows.failed} rows failed" if rows.failed else 0)


if __name__ == "__main__":
    main()
