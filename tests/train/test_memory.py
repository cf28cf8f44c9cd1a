"""Memory that is freed and asked for again is not taken from the system once more."""

import os
import platform
import subprocess
import sys

import pytest

from miad.train import memory
from tests.builders import ROOT

FAULTS = """
import resource, sys, torch
from miad.train.memory import keep_memory
assert sys.argv[1] == "returned" or keep_memory()
def step():
    [torch.ones(5_000_000) for _ in range(4)]
for _ in range(40):  # until what is cut off to align a tensor no longer lies between the free pieces
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")


@needs_glibc
def test_pages_of_a_freed_tensor_are_used_again():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    environment["PYTHONPATH"] = str(ROOT)
    mapped = {**environment, "MALLOC_MMAP_THRESHOLD_": "131072"}  # each tensor a piece of memory of its own
    faults = {}
    for way, setting in (("kept", environment), ("returned", mapped)):
        command = [sys.executable, "-c", FAULTS, way]
        faults[way] = int(subprocess.run(command, env=setting, capture_output=True, text=True, check=True).stdout)
    assert 5 * faults["kept"] < faults["returned"]


def test_the_environment_goes_first_and_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "1000000")
    assert not memory.keep_memory()
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError(f"{name} not found")))
    assert not memory.keep_memory()
