"""The kernels of the edge block as compiled for GPUs that need not be there: registers, spills, shared memory.

    python benchmarks/compiled.py [--card 90] [--half]

A spill in the loop, more shared memory than a card has, or no asynchronous product on Hopper would show here.
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

from miad.model.kernels import edge_kernel  # noqa: E402

TYPES = {torch.bfloat16: "*bf16", torch.float32: "*fp32"}
PROJECTIONS = ("receiver", "sender", "even", "odd", "alone")
LIMIT = {90: 227, 80: 163}  # KiB of shared memory that a program may have


def compiled(
    kernel: triton.JITFunction, pointers: dict[str, str], constants: dict[str, object], capability: int
) -> str:
    """One line on a compiled kernel.

    Args:
        kernel: of miad.model.kernels.edge_kernel.
        pointers: types of the tensors given, by argument.
        constants: the other arguments and the launch options; arguments that are neither are None.
        capability: 90 for Hopper, 80 for Ampere.
    """
    names = kernel.arg_names
    signature = {name: pointers.get(name, "constexpr") for name in names}
    values = {(names.index(name),): constants.get(name) for name in names if name not in pointers}
    aligned = {(names.index(name),): [["tt.divisibility", 16]] for name in pointers}
    options = {name: value for name, value in constants.items() if name.startswith("num_")}
    source = ASTSource(kernel, signature, values, aligned)
    result = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(result.asm["ptx"])
        target = f"sm_{capability}a" if capability >= 90 else f"sm_{capability}"
        command = [
            triton.knobs.nvidia.ptxas.path,
            "-v",
            f"-arch={target}",
            path,
            "-o",
            path.with_suffix(".o"),
        ]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers, spilt = re.search(r"Used (\d+) registers", report), re.search(r"(\d+) bytes spill stores", report)
    products = len(re.findall(r"wgmma\.mma_async|mma\.sync", result.asm["ptx"]))
    shared = result.metadata.shared / 1024
    verdict = "fits" if shared <= LIMIT[capability] else f"does not fit into {LIMIT[capability]} KiB"
    return (
        f"{registers[1]} registers, {spilt[1]} bytes spilt, {shared:.0f} KiB shared ({verdict}),"
        f" {products} tensor-core products, {options['num_warps']} warps"
    )


def main() -> None:
    """All kernels at the paper's size, for each precision and card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--card", type=int, choices=LIMIT, help="compute capability; by default all")
    parser.add_argument("--half", action="store_true", help="bf16 only")
    options = parser.parse_args()
    for capability in [options.card] if options.card else LIMIT:
        for dtype, pointer in list(TYPES.items())[: 1 if options.half else None]:
            for is_exact in (False, True) if dtype == torch.float32 else (False,):
                tiles = edge_kernel.tiles_for(512, dtype, is_exact, capability >= 90)
                constants = edge_kernel.second_constants(25, 512, tiles, is_exact)
                for is_backward in (False, True):
                    given = [*PROJECTIONS, "weight", "bias", "out", *(["grad"] if is_backward else [])]
                    pointers = dict.fromkeys(given, pointer) | ({"d_bias": "*fp32"} if is_backward else {})
                    line = compiled(
                        edge_kernel._second_layer,
                        pointers,
                        {**constants, "IS_RAGGED": False, "IS_BACKWARD": is_backward},
                        capability,
                    )
                    what = f"second layer {'backward' if is_backward else 'forward'}"
                    print(f"sm_{capability} {pointer[1:]} {constants['PRECISION']} {what}: {line}", flush=True)
            given = (*PROJECTIONS, "d_a", "a", "d_receiver", "d_sender", "d_even", "d_odd")
            pointers = dict.fromkeys(given, pointer) | {"d_self": "*fp32"}
            constants = edge_kernel.first_constants(25, 512)
            line = compiled(edge_kernel._first_layer_backward, pointers, constants, capability)
            print(f"sm_{capability} {pointer[1:]} first layer backward: {line}", flush=True)


if __name__ == "__main__":
    main()
