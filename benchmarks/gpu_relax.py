"""Relaxation on a GPU that is visited without a network: what to carry there, and the call.

    python benchmarks/gpu_relax.py --carry FOLDER --crystals generated.extxyz.gz      # beforehand: some 110 MB
    python benchmarks/gpu_relax.py --carried FOLDER --out FOLDER                      # there: 1,000 crystals

Beforehand wheels for Python 3.12 on Linux (--python: another) are fetched and the crystals written as JSON lines.
There, torch, numpy, pydantic and pyyaml are expected. --carried FOLDER --dry relaxes ten of them without a GPU, with a
Python of the same version: a rehearsal. A second call with the same --out goes on from what is there.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What miad.relax imports with CHGNet, beside what torch brings; without their own dependencies, most of them unused.
WHEELS = """
    ase charset-normalizer chgnet cycler cython fonttools joblib kiwisolver lxml matplotlib monty mpmath msgpack
    networkx orjson packaging palettable pandas pillow psutil pymatgen pymatgen-core pymongo pyparsing
    python-dateutil requests ruamel.yaml scipy six spglib sympy tabulate threadpoolctl tqdm uncertainties
"""
SOURCE = "nvidia-ml-py3"  # has CHGNet's nvidia_smi; published without a wheel, and the same for every Python


def carry(folder: Path, crystals: Path, python: str) -> None:
    """Fetch the wheels and write the crystals."""
    sys.path[:0] = [str(ROOT)]
    from miad.core.crystal import write_crystals
    from miad.io.any_format import read_any

    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        f"--python-version={python}",
    ]
    command += [f"--platform=manylinux{glibc}_x86_64" for glibc in ("_2_28", "_2_27", "_2_17", "2014")]
    folder.mkdir(parents=True, exist_ok=True)
    write_crystals(folder / "crystals.jsonl", read_any(crystals, "b")[:1000])  # first: a wrong file is known at once
    subprocess.run([*command, "-d", str(folder), *WHEELS.split()], check=True)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(folder), SOURCE], check=True)


def relax(carried: Path, out: Path, is_dry: bool) -> None:
    """Install the wheels into a folder of their own and relax; `out` gets the figures and the relaxed crystals."""
    into = tempfile.mkdtemp()
    wheels = [str(path) for path in carried.glob("*.whl")]
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", into, *wheels]
    subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
    # The folder comes last: what the machine has, torch's numpy above all, goes first.
    paths = [str(ROOT), into]
    code = f"import runpy, sys; sys.path += {paths}; del sys.argv[0]; runpy.run_path(sys.argv[0], None, '__main__')"
    command = [sys.executable, "-u", "-c", code, str(ROOT / "benchmarks" / "relax.py"), "--gpu-only"]
    command += ["--dry"] if is_dry else []
    subprocess.run([*command, "--folder", str(out), "--crystals", str(carried / "crystals.jsonl")], check=True)


def main() -> None:
    """Fetch, or relax."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--carry", type=Path, help="folder to fill, with a network")
    way.add_argument("--carried", type=Path, help="the folder, on the machine with the GPU")
    parser.add_argument("--crystals", type=Path, help="for --carry: any format that miad reads")
    parser.add_argument("--python", default="3.12", help="for --carry: version of the Python there")
    parser.add_argument("--out", type=Path, default=Path("relax_benchmark"), help="for the results")
    parser.add_argument("--dry", action="store_true", help="for --carried: ten crystals, without a GPU")
    options = parser.parse_args()
    if options.carry:
        if options.crystals is None:
            parser.error("--carry needs --crystals, the file of those to relax")
        carry(options.carry, options.crystals, options.python)
    elif not (options.carried / "crystals.jsonl").is_file():
        parser.error(f"{options.carried} has no crystals.jsonl; fill it with --carry")
    else:
        relax(options.carried, options.out, options.dry)


if __name__ == "__main__":
    main()
