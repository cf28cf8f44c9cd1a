"""Largest errors of the Triton kernels against float64, in Triton's interpreter; on a GPU: gpu.py.

    python benchmarks/interpreted.py [--channels 48 128 192 512] [--atoms 26]

A line for each width and precision: two crystals of each number of atoms up to the largest, with equal shares and with
padding; the largest error of twelve outputs of the four parts, forward and backward, in shares of the largest number.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from miad.model.edges import Loops  # noqa: E402
from miad.model.kernels.triton_loops import TritonLoops  # noqa: E402
from tests.builders import loops  # noqa: E402

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}


def worst(atoms: int, channels: int, dtype: torch.dtype) -> tuple[float, str]:
    """Largest error of one number of atoms, infinite where a number is none, and the output that has it."""
    found = []
    for is_ragged in (False, True):
        ours = loops.outcome(TritonLoops(), (2, atoms, channels), dtype, is_ragged=is_ragged)
        exact = loops.outcome(Loops(), (2, atoms, channels), dtype, torch.float64, is_ragged=is_ragged)
        errors = loops.errors(ours, exact)
        found += [(error if error == error else float("inf"), name) for name, error in errors.items()]
    return max(found)


def main() -> None:
    """All widths, each in both precisions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, nargs="+", default=[48, 128, 192, 512])
    parser.add_argument("--atoms", type=int, default=26, help="the largest number of atoms")
    options = parser.parse_args()
    setattr(*loops.rounding_interpreter())
    for channels in options.channels:
        for name, dtype in PRECISIONS.items():
            atoms = range(1, options.atoms + 1)
            error, output, at = max((*worst(num, channels, dtype), num) for num in atoms)
            print(f"{channels} channels, {name}: {error:.1e} ({output}, {at} atoms)", flush=True)


if __name__ == "__main__":
    main()
