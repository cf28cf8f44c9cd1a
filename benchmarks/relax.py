"""Crystals relaxed per minute, and their relaxed cells, against a plain loop over CHGNet's StructOptimizer.

    python benchmarks/relax.py --crystals generated.extxyz.gz --number 200 --folder relax_benchmark

Ours is `miad relax` from the first import of a worker to the written file; theirs is the loop alone, in one process
with torch's own choice of threads, its model already loaded. A crystal agrees when the energies differ by less than
1 meV/atom and StructureMatcher matches the cells. On a GPU the same crystals (and more, --gpu-number) are relaxed in
batches first. Each figure is printed as soon as it is known: a machine that is taken away early has shown the GPU's.

Everything that is finished is kept in the folder: a second call goes on from there. With --cached, results of
StructOptimizer from an earlier run are compared with, and nothing of it is timed.
"""

import argparse
import contextlib
import io
import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from miad.config.sections import Relax
from miad.core.crystal import Crystal, from_line, read_crystals, to_line, write_crystals
from miad.core.files import write_text
from miad.machine.progress import track
from miad.relax import step as relax

TOLERANCE = 1e-3  # eV/atom
SETTINGS = Relax(
    calculators=["chgnet"],
    fmax=0.1,
    max_steps=1500,
    min_distance=0.5,
    max_volume_ratio=1e3,  # volume and time free, because StructOptimizer knows no such limits
    time_limit=3600.0,
    memory=1.5,
    workers=None,
    device="cpu",
    potentials={},
)


def seconds() -> tuple[float, float]:
    """Wall time, and CPU time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(usage.ru_utime + usage.ru_stime for usage in usages)


def timed(call: Callable, *arguments: Any) -> tuple[Any, dict[str, float]]:
    """The result of a call, and its wall and CPU time."""
    start = seconds()
    result = call(*arguments)
    return result, dict(zip(("wall", "cpu"), (b - a for a, b in zip(start, seconds(), strict=True)), strict=True))


def relax_ours(crystals: list[Crystal], settings: Relax, folder: Path, name: str) -> tuple[list[Crystal], dict]:
    """The crystals after `miad relax`, and {wall, cpu, memory of the largest worker}; read if they are there."""
    given, relaxed, record = folder / f"{name}_in.jsonl", folder / f"{name}.jsonl", folder / f"{name}.json"
    if not record.is_file():
        write_crystals(given, crystals)
        is_whole = not relaxed.with_name(f".{relaxed.name}.journal").exists()
        _, took = timed(lambda: relax.run(settings, crystals=given, relaxed=relaxed, calculator="chgnet"))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        write_text(record, json.dumps({**took, "worker_gb": round(peak / 1e9, 2), "in_one_go": is_whole}))
    return read_crystals(relaxed), json.loads(record.read_text())


def relax_theirs(crystals: list[Crystal], max_steps: int, folder: Path) -> tuple[list[Crystal], dict[str, float]]:
    """The crystals after a loop over StructOptimizer, and {wall, cpu}; goes on from those that are there."""
    path = folder / "structoptimizer.jsonl"
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    found = {record["crystal"]["crystal_id"]: record for record in done}
    waiting = [crystal for crystal in crystals if crystal.crystal_id not in found]
    optimizer = _optimizer() if waiting else None
    with path.open("a") as file:
        for crystal in track(waiting, what="crystals relaxed by StructOptimizer"):
            result, took = timed(_relax_one, crystal, max_steps, optimizer)
            record = {**took, "crystal": json.loads(to_line(result))}
            found[crystal.crystal_id] = record
            file.write(json.dumps(record) + "\n")
            file.flush()
    chosen = [found[crystal.crystal_id] for crystal in crystals]
    total = {key: sum(record[key] for record in chosen) for key in ("wall", "cpu")}
    return [from_line(json.dumps(record["crystal"])) for record in chosen], total


def _optimizer() -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        from chgnet.model.dynamics import StructOptimizer

        return StructOptimizer(use_device="cpu", on_isolated_atoms="ignore")


def _relax_one(crystal: Crystal, max_steps: int, optimizer: Any) -> Crystal:
    try:
        result = optimizer.relax(crystal.structure, fmax=0.1, steps=max_steps, verbose=False)
    except Exception as error:  # a loop has to get past whatever is thrown
        return crystal.failed("StructOptimizer", f"{type(error).__name__}: {error}")
    energy = float(result["trajectory"].energies[-1]) / crystal.num_atoms
    num_steps = len(result["trajectory"]) - 2
    known = {"energy_per_atom": energy, "num_steps": num_steps, "converged": num_steps < max_steps}
    return Crystal.from_structure(crystal.crystal_id, result["final_structure"], **known)


def disagreements(ours: list[Crystal], theirs: list[Crystal]) -> list[str]:
    """One line for each crystal that does not agree, with the difference and its meaning."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    judge, lines = StructureMatcher(), []
    for our, their in zip(ours, theirs, strict=True):
        if our.failure and their.failure:
            continue
        if our.failure or their.failure:
            lines.append(f"{our.crystal_id} {our.reduced_formula}: ours {our.failure}, theirs {their.failure}")
            continue
        apart = our.energy_per_atom - their.energy_per_atom
        is_match = judge.fit(our.structure, their.structure)
        if abs(apart) > TOLERANCE or not is_match:
            lines.append(
                f"{our.crystal_id} {our.reduced_formula}: {1e3 * apart:+.2f} meV/atom,"
                f" {'same' if is_match else 'other'} structure, {our.num_steps} and {their.num_steps} steps,"
                f" volumes {our.volume:.1f} and {their.volume:.1f} Å³: {_meaning(our, their, apart, is_match)}"
            )
    return lines


def _meaning(our: Crystal, their: Crystal, apart: float, is_match: bool) -> str:
    steps = max(our.num_steps or 0, their.num_steps or 0)
    if our.converged is False or their.converged is False:
        return "at least one of them did not converge"
    if is_match:
        return "the same minimum, left at another point of a flat bottom" if abs(apart) < 0.01 else "soft cell"
    way = "ours is lower" if apart < 0 else "theirs is lower"
    return f"another local minimum, {way}; single precision, multiplied by {steps} steps, leads apart"


def accuracy(ours: list[Crystal], theirs: list[Crystal]) -> dict[str, Any]:
    """Share of crystals that agree, and of those that took the same number of steps; prints the others."""
    lines = disagreements(ours, theirs)
    print("\n".join(lines) if lines else "no crystal disagrees")
    both = [(a, b) for a, b in zip(ours, theirs, strict=True) if not (a.failure or b.failure)]
    return {
        "compared": len(ours),
        "agree_percent": round(100 * (1 - len(lines) / len(ours)), 1),
        "same_steps_percent": round(100 * sum(a.num_steps == b.num_steps for a, b in both) / max(len(both), 1), 1),
        "failed": [sum(bool(c.failure) for c in ours), sum(bool(c.failure) for c in theirs)],
        "mean_steps": round(sum(c.num_steps or 0 for c in ours) / len(ours), 1),
    }


def on_gpu(crystals: list[Crystal], folder: Path, device: str) -> dict[str, Any]:
    """Figures of the batched relaxation on a GPU, and the time for 10,000 crystals that follows from them."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return {"gpu": None}
    settings = replace(SETTINGS, device=device)
    name = torch.cuda.get_device_name() if device == "cuda" else "none"
    # Imports, the start of CUDA and the first searches are paid once, by neither of the two sizes that are compared.
    relax_ours(crystals[:8], settings, folder, "gpu_start")
    tenth = len(crystals) // 10
    _, few = relax_ours(crystals[:tenth], settings, folder, "gpu_tenth")
    show({"gpu": name, f"gpu_per_minute_of_{tenth}": round(60 * tenth / few["wall"], 1)})
    relaxed, took = relax_ours(crystals, settings, folder, "gpu")
    per_minute = 60 * len(crystals) / took["wall"]
    # The last, slow crystals are paid once: the slope between the two sizes is what more crystals cost.
    slope = (took["wall"] - few["wall"]) / (len(crystals) - tenth)
    return {
        "gpu": name,
        "gpu_crystals": len(crystals),
        "gpu_per_minute": round(per_minute, 1),
        "gpu_failed": sum(bool(crystal.failure) for crystal in relaxed),
        "minutes_for_10000_extrapolated": round((took["wall"] + (10_000 - len(crystals)) * slope) / 60, 1),
        # What the allocator took and holds: its peak is set back before every evaluation (miad/relax/memory.py).
        "gpu_held_gb": round(torch.cuda.memory_reserved() / 1e9, 1) if device == "cuda" else None,
    }


def show(figures: dict[str, Any]) -> dict[str, Any]:
    """Print figures at once, and return them."""
    print(json.dumps(figures), flush=True)
    return figures


def main() -> None:
    """Run the missing parts and print one JSON record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crystals", type=Path, required=True, help="any format that miad reads")
    parser.add_argument("--number", type=int, default=200, help="how many of them, from the start")
    parser.add_argument("--gpu-number", type=int, default=1000, help="how many on a GPU, if there is one")
    parser.add_argument("--gpu-only", action="store_true", help="these figures and no others")
    parser.add_argument("--dry", action="store_true", help="the figures of a GPU from ten crystals without one")
    parser.add_argument("--steps", type=int, default=1500, help="limit of the relaxations")
    parser.add_argument("--workers", type=int, help="processes of ours; all cores if left out")
    parser.add_argument("--folder", type=Path, default=Path("relax_benchmark"), help="for results; continued if there")
    parser.add_argument("--cached", type=Path, nargs="+", help="JSON lines of StructOptimizer's results: accuracy only")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    if chosen.crystals.suffix == ".jsonl":
        everything = read_crystals(chosen.crystals)
    else:
        from miad.io.any_format import read_any  # with packages that a visited machine need not have

        everything = read_any(chosen.crystals, "b")
    crystals = everything[: chosen.number]
    chosen.folder.mkdir(parents=True, exist_ok=True)
    settings = replace(SETTINGS, max_steps=chosen.steps, workers=chosen.workers)
    if chosen.cached:
        known = {crystal.crystal_id: crystal for path in chosen.cached for crystal in read_crystals(path)}
        crystals = [crystal for crystal in crystals if crystal.crystal_id in known]
    number, device = (10, "cpu") if chosen.dry else (chosen.gpu_number, "cuda")
    record = show(on_gpu(everything[:number], chosen.folder, device))
    if chosen.gpu_only:
        if record["gpu"] is None:
            sys.exit("torch finds no GPU: nothing was measured")
        return
    ours, our_time = relax_ours(crystals, settings, chosen.folder, "ours")
    record |= show({"ours_per_minute": round(60 * len(ours) / our_time["wall"], 1), **our_time})
    if chosen.cached:
        theirs, loop = [known[crystal.crystal_id] for crystal in crystals], None
    else:
        theirs, their_time = relax_theirs(crystals, chosen.steps, chosen.folder)
        loop = 60 * len(crystals) / their_time["wall"]
    record |= accuracy(ours, theirs)
    if loop:
        record["structoptimizer_per_minute"] = round(loop, 1)
        # A run that was interrupted says nothing about time.
        record["times_faster"] = round(their_time["wall"] / our_time["wall"], 2) if our_time["in_one_go"] else None
        record["cpu_seconds"] = [round(our_time["cpu"], 1), round(their_time["cpu"], 1)]
        if record["gpu"]:
            record["gpu_times_faster_than_loop"] = round(record["gpu_per_minute"] / loop, 1)
    write_text(chosen.folder / "record.json", json.dumps(record, indent=1) + "\n")
    print(json.dumps(record))


if __name__ == "__main__":
    main()
