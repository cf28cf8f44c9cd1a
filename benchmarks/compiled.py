"""The kernels of the edge block as compiled for GPUs that need not be there: registers, spills, instructions.

    python benchmarks/compiled.py [--card 90] [--half]

A spill would show here, and how many instructions a program runs for its tile: what takes more than the memory
does is the next limit.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from miad.model.kernels import triton_loops  # noqa: E402

TYPES = {torch.bfloat16: "*bf16", torch.float32: "*fp32"}
KERNELS = ("_first", "_second", "_second_backward", "_first_backward", "_waves")
# Tensors that are float32 in any precision: sums, and what they are weighted with.
WIDE = {
    "_second": ("share",),
    "_second_backward": ("share", "d_bias"),
    "_first_backward": ("alone",),
    "_waves": ("sine", "cosine"),
}
CARDS = (90, 80)


def compiled(name: str, pointer: str, capability: int, atoms: int = 25, hidden: int = 512) -> str:
    """One line on a kernel of miad.model.kernels.triton_loops.

    Args:
        name: of the kernel.
        pointer: type of its tensors.
        capability: 90 for Hopper, 80 for Ampere.
        atoms, hidden: sizes.
    """
    kernel = getattr(triton_loops, name)
    sizes = triton_loops.constants(atoms, 384 if name == "_waves" else hidden)
    tensors = {n: "*fp32" if n in WIDE.get(name, ()) else pointer for n in kernel.arg_names if n not in sizes}
    signature = {**tensors, **dict.fromkeys(sizes, "constexpr")}
    values = {(kernel.arg_names.index(key),): value for key, value in sizes.items()}
    aligned = {(kernel.arg_names.index(key),): [["tt.divisibility", 16]] for key in tensors}
    source = ASTSource(kernel, signature, values, aligned)
    result = triton.compile(source, target=GPUTarget("cuda", capability, 32))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(result.asm["ptx"])
        target = f"sm_{capability}a" if capability >= 90 else f"sm_{capability}"
        command = [triton.knobs.nvidia.ptxas.path, "-v", f"-arch={target}", path, "-o", path.with_suffix(".o")]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        listing = subprocess.run(
            [triton.knobs.nvidia.nvdisasm.path, "-c", path.with_suffix(".o")], capture_output=True, text=True
        ).stdout
    registers, spilt = re.search(r"Used (\d+) registers", report), re.search(r"(\d+) bytes spill stores", report)
    instructions = len(re.findall(r"/\*[0-9a-f]{4,}\*/ ", listing))
    wide = len(re.findall(r"(?:LDG|STG)\.E\S*\.128", listing))
    return f"{registers[1]} registers, {spilt[1]} bytes spilt, {instructions} instructions, {wide} accesses of 16 bytes"


def main() -> None:
    """All kernels at the paper's size, for each precision and card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--card", type=int, choices=CARDS, help="compute capability; by default all")
    parser.add_argument("--half", action="store_true", help="bf16 only")
    options = parser.parse_args()
    for capability in [options.card] if options.card else CARDS:
        for pointer in list(TYPES.values())[: 1 if options.half else None]:
            for name in KERNELS:
                print(f"sm_{capability} {pointer[1:]} {name[1:]}: {compiled(name, pointer, capability)}", flush=True)


if __name__ == "__main__":
    main()
