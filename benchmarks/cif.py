"""Reading the CIFs of a data set: processor time against pymatgen's parser, and every crystal compared with it.

    python benchmarks/cif.py mp_20/train.csv.gz

Both parsers read every CIF in this process, by turns, so that other work on the machine slows both. Crystals are
identical if their cells, elements and fractional coordinates are the same numbers in the same order; otherwise they
may still agree modulo 1 in another order. Then the file is read as `miad evaluate` does, on all cores.
"""

import argparse
import csv
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser

from miad.core.errors import MiadError
from miad.core.files import open_text
from miad.io.any_format import read_any
from miad.io.cif import SITE_TOLERANCE, parse_cif
from miad.machine.cores import num_cores

TOLERANCE = 1e-6  # fractional


def by_pymatgen(text: str) -> Structure | str:
    try:
        parser = CifParser.from_str(text, check_cif=False, site_tolerance=SITE_TOLERANCE)
        return parser.parse_structures(primitive=False)[0]
    except Exception as error:  # whatever a broken text makes it trip over
        return str(error)


def by_miad(text: str) -> Structure | str:
    try:
        return parse_cif(text)
    except MiadError as error:
        return str(error)


def compared(one: Structure | str, other: Structure | str) -> str:
    """How far two readings of one text agree, in words."""
    if isinstance(one, str) or isinstance(other, str):
        both = isinstance(one, str) and isinstance(other, str)
        return "refused by both" if both else f"refused by {'miad' if isinstance(one, str) else 'pymatgen'} alone"
    if not np.allclose(one.lattice.matrix, other.lattice.matrix, rtol=0, atol=TOLERANCE):
        return "other cell"
    if one.atomic_numbers == other.atomic_numbers and np.array_equal(one.frac_coords, other.frac_coords):
        return "identical" if np.array_equal(one.lattice.matrix, other.lattice.matrix) else "agree"
    if sorted(one.atomic_numbers) != sorted(other.atomic_numbers):
        return "other elements"
    gaps = one.frac_coords[:, None] - other.frac_coords[None]
    is_near = (np.abs(gaps - np.round(gaps)) < TOLERANCE).all(axis=2)
    is_near &= np.array(one.atomic_numbers)[:, None] == np.array(other.atomic_numbers)[None]
    return "agree" if is_near.any(axis=0).all() and is_near.any(axis=1).all() else "other coordinates"


def timed(read: Callable[[str], Structure | str], text: str) -> tuple[Structure | str, float]:
    start = time.process_time()
    found = read(text)
    return found, time.process_time() - start


def processor_time() -> float:
    """Of this process and of those that it started and that have ended, s."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, nargs="+", help="CSV files with a column cif")
    parser.add_argument("--every", type=int, default=1, help="compare only every so many rows")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for table in arguments.table:
        with open_text(table) as text:
            rows = list(csv.DictReader(text))
        verdicts: Counter[str] = Counter()
        ours = theirs = 0.0
        by_miad(rows[0]["cif"]), by_pymatgen(rows[0]["cif"])  # imports
        for number, row in enumerate(rows[:: arguments.every]):
            one, seconds = timed(by_miad, row["cif"])
            other, pymatgen_seconds = timed(by_pymatgen, row["cif"])
            ours, theirs = ours + seconds, theirs + pymatgen_seconds
            verdict = compared(one, other)
            verdicts[verdict] += 1
            if verdict not in ("identical", "refused by both"):
                print(f"{table.name}, row {number * arguments.every}: {verdict}; {one!s:.200}", flush=True)
        counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
        print(f"{table}: {counts}", flush=True)
        print(
            f"processor time: pymatgen {theirs:.1f} s, miad {ours:.1f} s: {theirs / ours:.1f} times as fast", flush=True
        )
        before, start = processor_time(), time.monotonic()
        read_any(table, "benchmark")
        used, clock = processor_time() - before, time.monotonic() - start
        print(f"read_any on {num_cores()} cores: {used:.1f} s of processor time, {clock:.1f} s of clock", flush=True)


if __name__ == "__main__":
    main()
