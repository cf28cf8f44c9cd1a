"""Processes of this user, found by the folder that they work in."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from miad.machine.os_processes import stop_leftovers


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes in /proc")
def test_a_vasp_that_outlived_its_custodian_is_stopped(tmp_path):
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], cwd=tmp_path)
    elsewhere = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], cwd=tmp_path.parent)
    while os.readlink(f"/proc/{orphan.pid}/cwd") != str(tmp_path.resolve()):
        time.sleep(0.05)
    stop_leftovers(tmp_path)
    assert orphan.wait(10) == -9 and elsewhere.poll() is None
    elsewhere.kill()
    elsewhere.wait()
