"""Fixtures that all tests share."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from tests.builders.tiny import Project

if not torch.cuda.is_available():  # before anything imports triton, which reads it then
    os.environ.setdefault("TRITON_INTERPRET", "1")
ROOT = Path(__file__).resolve().parent.parent
# Tests that take minutes or change the machine: left out unless asked for, and never without a word.
OWN_TARGETS = {"slurm": "make test-slurm", "chaos": "make test-chaos", "vasp": "make test-dft"}


def pytest_collection_modifyitems(config, items):
    """Skip what has a target of its own, unless its marker is asked for by -m."""
    asked_for = config.getoption("-m")
    for item in items:
        for marker, command in OWN_TARGETS.items():
            if item.get_closest_marker(marker) and marker not in asked_for:
                item.add_marker(pytest.mark.skip(reason=f"left out; they run by: {command}"))


def pytest_terminal_summary(terminalreporter):
    """Say what was skipped and why, one line a reason."""
    reasons = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", []))
    for reason, count in reasons.items():
        terminalreporter.write_line(f"{count} skipped: {reason.removeprefix('Skipped: ')}")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, which are not part of the repository."""
    folder = Path(os.environ.get("MIAD_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set MIAD_DATA")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums of floats depend on the number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> Path:
    """Two finished runs of hand-made crystals with their tables, figures and report; tests do not write to it."""
    from tests.builders import finished

    folder = tmp_path_factory.mktemp("results")
    finished.write(folder)
    return folder


@pytest.fixture(scope="session")
def vasp_site(tmp_path_factory):
    """A site with the stand-in for VASP (tests/builders/vasp_stand_in)."""
    from tests.builders.vasp_stand_in.site import running

    with running(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> "Project":
    """A finished tiny run of everything, `all` included; tests do not write to it."""
    from tests.builders.tiny import Project

    project = Project.create(tmp_path_factory.mktemp("finished"))
    code, output = project.run("snakemake", "all")
    assert code == 0, output
    assert "DFT is not enabled" in output
    return project


@pytest.fixture
def copy(finished, tmp_path) -> "Project":
    """A copy of the finished run, free to be spoilt."""
    return finished.copy(tmp_path / "copy")
