"""The lists of packages, and the scripts that install them into environments for make, conda and containers."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.builders import ROOT

LISTS = ("requirements.txt", "requirements-torch.txt", "requirements-eqv2.txt")
DOCS = "requirements-docs.txt"


def pins(name: str) -> dict[str, Requirement]:
    """{package: pin} of a list, each with its checksums where they are known."""
    lines = (ROOT / "envs" / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    found = {}
    for line in lines:
        if line and not line.startswith("#"):
            pin = Requirement(line.partition(" --hash=")[0])
            assert re.fullmatch(r"==[\w.+-]+", str(pin.specifier)), line
            assert ("--hash=sha256:" in line) == (name != "requirements-torch.txt"), line
            assert canonicalize_name(pin.name) not in found, line
            found[canonicalize_name(pin.name)] = pin
    return found


def program(folder: Path, name: str, script: str) -> None:
    """A shell script that stands for a program."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("name", ["miad", "eqv2"])
def test_conda_environment_finds_the_pinned_lists_from_wherever_it_is_run(tmp_path, name):
    # Snakemake copies the script beside the environment and runs it in its own working directory.
    script = shutil.copy(ROOT / "envs" / f"{name}.post-deploy.sh", tmp_path / "3f2a_.post-deploy.sh")
    program(tmp_path, "python", f'echo "$@" >>{tmp_path}/calls')
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "MIAD_ROOT": str(ROOT)}
    command = ["bash", str(script)]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    calls = [call for call in (tmp_path / "calls").read_text().splitlines() if call.startswith("-m pip install")]
    lists = LISTS if name == "eqv2" else LISTS[:2]
    assert [call.rpartition("-r ")[2] for call in calls[:-1]] == [f"{ROOT}/envs/{one}" for one in lists]
    # Only torch brings along what its build needs.
    assert ["--no-deps" in call for call in calls[:-1]] == [one != "requirements-torch.txt" for one in lists]
    assert ["--require-hashes" in call for call in calls[:-1]] == [one != "requirements-torch.txt" for one in lists]
    assert calls[-1].endswith(f"-e {ROOT}")
    done = subprocess.run(command, cwd=tmp_path, env=environment | {"MIAD_ROOT": "/nowhere"}, stderr=subprocess.PIPE)
    assert done.returncode != 0 and b"Set MIAD_ROOT" in done.stderr
    assert "MIAD_ROOT" in (ROOT / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8")


def test_every_package_is_pinned_once_and_only_eqv2s_list_has_fairchem():
    lists = {name: pins(name) for name in (*LISTS, DOCS)}
    names = [package for found in lists.values() for package in found]
    assert len(names) == len(set(names))
    assert "fairchem-core" in lists["requirements-eqv2.txt"]


def test_the_lists_hold_what_the_package_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {**pins("requirements.txt"), **pins("requirements-torch.txt")}
    groups = {"": pinned, "test": pinned, "eqv2": pinned | pins("requirements-eqv2.txt"), "docs": pinned | pins(DOCS)}
    for group, lists in groups.items():
        for line in project["optional-dependencies"][group] if group else project["dependencies"]:
            wanted = Requirement(line)
            version = str(lists[canonicalize_name(wanted.name)].specifier).removeprefix("==")
            assert version in wanted.specifier, (line, version)


def test_without_eqv2s_packages_the_rest_works():
    # What the rules import that have the smaller environment.
    absent = [package.replace("-", "_") for package in pins("requirements-eqv2.txt")]
    code = (
        f"import sys\nclass Absent:\n def find_spec(self, name, *_):\n  if name in {absent}: raise ImportError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import torch.utils.tensorboard, snakemake.cli, chgnet.model.dynamics, pymatgen.core, atomate2, custodian\n"
        "import miad.train.step, miad.sample.step, miad.sun.step, miad.dft.triage, miad.report.sun_table\n"
        "import miad.dataset.step, miad.report.candidates\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def found_python(folder: Path, *versions: str) -> subprocess.CompletedProcess:
    """The answer of python.sh where these Pythons work, and others are names that do not start."""
    for version in ("3.13", "3.12", "3.11"):
        program(folder, f"python{version}", f"exit {0 if version in versions else 127}")
    program(folder, "python3", "exit 1")
    command = ["/bin/bash", str(ROOT / "envs" / "python.sh")]
    return subprocess.run(command, env={"PATH": f"{folder}:/bin"}, capture_output=True, text=True)


def test_make_takes_the_newest_python_that_works(tmp_path):
    assert found_python(tmp_path, "3.11", "3.12").stdout == "python3.12\n"
    assert found_python(tmp_path, "3.13", "3.11").stdout == "python3.13\n"
    none = found_python(tmp_path)
    assert none.returncode == 1 and not none.stdout and "none was found" in none.stderr


def test_a_python_that_is_too_old_or_too_new_is_refused(tmp_path):
    program(tmp_path, "old", 'case "$1" in -c) exit 1;; --version) echo Python 3.9.1;; *) touch called;; esac')
    command = ["bash", str(ROOT / "envs" / "install.sh"), str(tmp_path / "old")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "3.11, 3.12 or 3.13" in done.stderr and "Python 3.9.1" in done.stderr
    assert not (tmp_path / "called").exists()


@pytest.fixture
def clone(tmp_path) -> Path:
    """A copy of what make needs, with an installation that only notes its Python."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    program(tmp_path / "envs", "install.sh", "echo installed into $1")
    shutil.copy(ROOT / "envs" / "python.sh", tmp_path / "envs")
    (tmp_path / "envs" / "requirements.txt").touch()
    return tmp_path


def made(clone: Path, *options: str) -> str:
    """The output of make for the environment."""
    done = subprocess.run(["make", ".venv/installed", *options], cwd=clone, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_an_environment_that_works_is_kept_and_a_broken_one_made_anew(clone):
    script = 'test "$1" = -m && mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo "made $2"'
    program(clone / "bin", "python", script)
    chosen = f"PYTHON={clone}/bin/python"
    assert "made venv" in made(clone, chosen) and (clone / ".venv" / "installed").exists()
    # `-c pass` fails with the stand-in above; with this one it does not.
    program(clone / ".venv" / "bin", "python", "exit 0")
    (clone / "envs" / "requirements.txt").write_text("newer==1")
    os.utime(clone / ".venv" / "installed", (1, 1))
    again = made(clone, chosen)
    assert "made venv" not in again and "installed into .venv/bin/python" in again
    assert "up to date" in made(clone, chosen)
