"""benchmarks/gpu.py on a machine that is visited once: what it needs, and what a failure costs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.measuring import Rows
from tests.builders import ROOT

PROGRAM = ROOT / "benchmarks" / "gpu.py"
# Only torch, what comes with it, and what docs/gpu.md lists may be imported.
BARE = """
import runpy, sys
for name in ("pymatgen", "monty", "ase", "chgnet", "pandas", "scipy", "matplotlib", "spglib", "orjson", "gemmi",
             "numba", "torch_geometric", "tqdm", "psutil", "snakemake", "jinja2", *sys.argv[1].split(",")):
    sys.modules[name] = None
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def visit(folder: Path, *flags: str, without: str = "") -> tuple[subprocess.CompletedProcess, dict[str, str]]:
    """The program's end, and its rows."""
    command = [sys.executable, "-c", BARE, without, str(PROGRAM), *flags]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    path = folder / "gpu_benchmark" / "gpu.jsonl"
    return done, {row["what"]: row["value"] for row in map(json.loads, path.open())} if path.is_file() else {}


def test_all_rows_in_small_with_the_packages_that_are_listed(tmp_path):
    done, rows = visit(tmp_path, "--dry")
    assert done.returncode == 0, done.stderr
    assert len(rows) == 22 and not any("WRONG" in value for value in rows.values())
    assert "launches a step" in (tmp_path / "gpu_benchmark" / "profile.txt").read_text()


def test_without_triton_only_the_rows_of_kernels_fail(tmp_path):
    done, rows = visit(tmp_path, "--dry", without="triton")
    failed = {name for name, value in rows.items() if value.startswith("FAILED")}
    assert done.returncode == 1 and "triton missing" in rows["versions"]
    assert len(failed) == 5 and all("float64" in name or "by kernels" in name for name in failed), failed


@pytest.mark.parametrize("flags", [["--dr"], ["--dry", "--out", str(PROGRAM)], ["--dry", "--out", str(PROGRAM / "x")]])
def test_flags_that_cannot_be_are_refused_before_anything_is_measured(tmp_path, flags):
    done, rows = visit(tmp_path, *flags)
    assert done.returncode == 2 and not rows and "Traceback" not in done.stderr


def fails() -> str:
    raise ValueError("of the row")


def of_rows(path: Path) -> list[str]:
    return [json.loads(line)["value"] for line in path.read_text().splitlines()]


def test_a_failure_of_any_kind_costs_its_row_only(tmp_path):
    rows = Rows(tmp_path / "rows", limit=0.5)
    for measure in (fails, lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: time.sleep(600), lambda: "measured"):
        rows.add("row", measure)
    rows.measure()
    expected = ["FAILED: ValueError: of the row", "FAILED: its process ended with -9"]
    assert of_rows(tmp_path / "rows") == [*expected, "FAILED: not finished in 0.5 s", "measured"] and rows.failed == 3


def test_rows_that_cannot_be_written_are_printed(tmp_path, capsys):
    rows = Rows(tmp_path / "gone" / "rows", limit=60)
    rows.add("first", lambda: "one")
    rows.add("second", lambda: "two")
    rows.measure()
    printed = capsys.readouterr()
    assert "one" in printed.out and "two" in printed.out and "not written" in printed.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_rows_before_an_interruption_are_kept_and_nothing_runs_on(tmp_path, number):
    code = f"""
import os, pathlib, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which shells ignore in what they start in the background
sys.path[:0] = [{str(ROOT)!r}]
from benchmarks.measuring import Rows
rows = Rows(pathlib.Path("rows"), 600)
rows.add("first", lambda: "measured")
rows.add("second", lambda: pathlib.Path("pid").write_text(str(os.getpid())) and time.sleep(600))
rows.measure()
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL)
    while not (pid := tmp_path / "pid").is_file() or not pid.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait() != 0 and of_rows(tmp_path / "rows") == ["measured"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
