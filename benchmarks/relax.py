"""Crystals relaxed per minute, and what they relax to, against a plain loop over CHGNet's StructOptimizer.

    python benchmarks/relax.py --crystals generated.extxyz.gz --number 200

Ours is `miad relax` from the first import of a worker to the written file; theirs is the loop alone, in one process
with torch's own choice of threads, its model already loaded. A crystal agrees when the energies differ by less than
1 meV/atom and StructureMatcher matches the cells.
"""

import argparse
import contextlib
import io
import json
import resource
import tempfile
import time
import warnings
from pathlib import Path

from miad import relax
from miad.config import Relax
from miad.crystal import Crystal, read_crystals, write_crystals
from miad.ingest import read_any
from miad.progress import track

TOLERANCE = 1e-3  # eV/atom


def settings(max_steps: int, workers: int | None) -> Relax:
    """The paper's limits; volume and time free, because StructOptimizer knows no such limits."""
    return Relax(
        calculators=["chgnet"],
        fmax=0.1,
        max_steps=max_steps,
        min_distance=0.5,
        max_volume_ratio=1e3,
        time_limit=3600.0,
        memory=1.5,
        workers=workers,
        device="cpu",
        potentials={},
    )


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def relax_ours(crystals: list[Crystal], max_steps: int, workers: int | None) -> list[Crystal]:
    """The crystals after `miad relax`."""
    with tempfile.TemporaryDirectory() as folder:
        given, relaxed = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        write_crystals(given, crystals)
        relax.run(settings(max_steps, workers), crystals=given, relaxed=relaxed, calculator="chgnet")
        return read_crystals(relaxed)


def relax_theirs(crystals: list[Crystal], max_steps: int, optimizer) -> list[Crystal]:
    """The crystals after a loop over StructOptimizer."""
    results = []
    for crystal in track(crystals, what="crystals relaxed by StructOptimizer"):
        try:
            result = optimizer.relax(crystal.structure, fmax=0.1, steps=max_steps, verbose=False)
        except Exception as error:  # a loop has to get past whatever is thrown
            results.append(crystal.failed("StructOptimizer", f"{type(error).__name__}: {error}"))
            continue
        energy = float(result["trajectory"].energies[-1]) / crystal.num_atoms
        known = {"energy_per_atom": energy, "num_steps": len(result["trajectory"]) - 2}
        results.append(Crystal.from_structure(crystal.crystal_id, result["final_structure"], **known))
    return results


def disagreements(ours: list[Crystal], theirs: list[Crystal]) -> list[str]:
    """One line for each crystal that does not agree, saying how."""
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
                f" volumes {our.volume:.1f} and {their.volume:.1f} Å³"
            )
    return lines


def timed(call, *arguments) -> tuple[list[Crystal], float, float]:
    """The result of a call, its wall time and its CPU time, seconds."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = call(*arguments)
    return result, time.perf_counter() - wall, cpu_seconds() - cpu


def main() -> None:
    """Run both and print one JSON record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crystals", type=Path, required=True, help="any format that miad reads")
    parser.add_argument("--number", type=int, default=200, help="how many of them, from the start")
    parser.add_argument("--steps", type=int, default=1500, help="limit of the relaxations")
    parser.add_argument("--workers", type=int, help="processes of ours; all cores if left out")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    crystals = read_any(chosen.crystals, "b")[: chosen.number]
    ours, our_wall, our_cpu = timed(relax_ours, crystals, chosen.steps, chosen.workers)
    with contextlib.redirect_stdout(io.StringIO()):
        from chgnet.model.dynamics import StructOptimizer

        optimizer = StructOptimizer(use_device="cpu", on_isolated_atoms="ignore")
    theirs, their_wall, their_cpu = timed(relax_theirs, crystals, chosen.steps, optimizer)
    lines = disagreements(ours, theirs)
    print("\n".join(lines))
    record = {
        "crystals": len(crystals),
        "ours_per_minute": round(60 * len(crystals) / our_wall, 1),
        "structoptimizer_per_minute": round(60 * len(crystals) / their_wall, 1),
        "times_faster": round(their_wall / our_wall, 2),
        "cpu_seconds": [round(our_cpu, 1), round(their_cpu, 1)],
        "agree_percent": round(100 * (1 - len(lines) / len(crystals)), 1),
        "failed": [sum(bool(c.failure) for c in ours), sum(bool(c.failure) for c in theirs)],
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
