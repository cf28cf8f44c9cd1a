"""The compiled loops against those in torch, in double precision where it matters, and what is done without them."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from miad.model import kernels
from miad.model.edges import Loops
from miad.model.kernels import edge_loops, fast_loops
from miad.model.kernels.edge_loops import CompiledLoops, compiled_loops
from tests.builders.at_home import no_home
from tests.builders.loops import assert_close, outcome

has_compiler = any(map(shutil.which, ("cc", "gcc", "clang")))
needs_compiler = pytest.mark.skipif(not has_compiler, reason="no C compiler: the loops in torch are all there is")
KINDS = {torch.float32: 2e-6, torch.bfloat16: 2**-7}
SHAPES = [(2, 5, 24), (1, 1, 16), (3, 2, 200), (2, 25, 130)]  # more channels than a block; no whole vectors


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory):
    """Built here, not taken from an earlier run."""
    monkeypatch.setenv("MIAD_CACHE", str(tmp_path_factory.getbasetemp() / "loops"))
    compiled_loops.cache_clear()
    yield
    compiled_loops.cache_clear()


@needs_compiler
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", list(KINDS))
@pytest.mark.parametrize("is_ragged", [False, True])
def test_compiled_is_torch_in_double_precision(shape, dtype, is_ragged):
    loops = compiled_loops(dtype == torch.bfloat16)
    assert isinstance(loops, CompiledLoops)
    found = outcome(loops, shape, dtype, is_ragged=is_ragged)
    expected = outcome(Loops(), shape, dtype, torch.float64, is_ragged=is_ragged)
    assert_close(found, expected, KINDS[dtype])


@needs_compiler
def test_what_is_no_number_stays_none():
    found = outcome(compiled_loops(False), (2, 3, 16), torch.float32, poison=True)
    assert found["a"][0, 0, 3].isnan() and found["mean"][0, 0, 3].isnan() and found["d_v"][0, 0, 3].isnan()
    assert not any(part[1].isnan().any() for name, part in found.items() if part.dim() == 3)  # the other crystal


@needs_compiler
def test_far_out_activations():
    """SiLU is 0 on the left and x on the right, however far; bfloat16 rounds to even as torch does."""
    x = torch.tensor([-1e4, -200.0, -88.0, -20.0, 0.0, 88.0, 200.0, 1e30] * 2)
    mean = torch.empty(1, 1, 16)
    compiled_loops(False).second(mean, x.view(1, 1, 16), torch.zeros(16), torch.ones(1, 1))
    assert torch.allclose(mean[0, 0], torch.nn.functional.silu(x), rtol=1e-6, atol=1e-30)
    numbers = torch.linspace(100, 130, 1600).view(1, 1, -1)
    half = torch.empty(numbers.shape, dtype=torch.bfloat16)
    zero = torch.zeros(1600, dtype=torch.bfloat16)
    compiled_loops(True).second(half, numbers.bfloat16(), zero, torch.full((1, 1), 1.003))
    assert torch.equal(half, (numbers.bfloat16().float() * torch.tensor(1.003)).bfloat16())


@needs_compiler
def test_the_number_of_threads_does_not_matter():
    shape, before = (3, 7, 300), torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(outcome(compiled_loops(False), shape, torch.float32))
    finally:
        torch.set_num_threads(before)
    one, two = results
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_where_the_compiled_ones_are_chosen(monkeypatch):
    monkeypatch.setattr(kernels, "compiled_loops", lambda is_half: "half" if is_half else "compiled")
    monkeypatch.delenv("MIAD_EDGES", raising=False)
    assert fast_loops(torch.empty(1, 4, 8)) == "compiled"
    assert fast_loops(torch.empty(1, 4, 8, dtype=torch.bfloat16)) == "half"
    assert fast_loops(torch.empty(1, 4, 8, dtype=torch.float64)) is None
    assert fast_loops(torch.empty(1, edge_loops.MOST_ATOMS + 1, 8)) is None
    assert fast_loops(torch.empty(1, 4, 8, device="meta")) is None
    monkeypatch.setenv("MIAD_EDGES", "plain")
    assert fast_loops(torch.empty(1, 4, 8)) is None


def test_without_a_compiler_and_with_one_that_fails(monkeypatch, tmp_path, caplog):
    caplog.set_level("INFO", "miad")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fast_loops(torch.empty(1, 4, 8)) is None and "no C compiler" in caplog.text
    compiled_loops.cache_clear()
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho does not know -fopenmp >&2\nexit 1\n")
    broken.chmod(0o755)
    assert fast_loops(torch.empty(1, 4, 8)) is None and "does not know -fopenmp" in caplog.text


@needs_compiler
def test_a_user_without_a_home_folder_trains_without_compiled_loops(monkeypatch, caplog):
    caplog.set_level("INFO", "miad")
    no_home(monkeypatch)
    compiled_loops.cache_clear()
    assert fast_loops(torch.empty(1, 4, 8)) is None and "Set MIAD_CACHE" in caplog.text


@needs_compiler
def test_built_once_for_this_processor(monkeypatch):
    first = compiled_loops(False).library._name
    compiled_loops.cache_clear()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("built twice"))
    assert compiled_loops(False).library._name == first
    compiled_loops.cache_clear()
    monkeypatch.setattr(edge_loops, "_processor", lambda: "another")
    with pytest.raises(pytest.fail.Exception):
        compiled_loops(False)


@needs_compiler
@pytest.mark.parametrize("harm", ["folder", "file", "link", "owner"])
def test_code_that_another_could_have_put_there_is_not_loaded(monkeypatch, tmp_path, caplog, harm):
    caplog.set_level("INFO", "miad")
    monkeypatch.setenv("MIAD_CACHE", str(tmp_path))
    library = Path(compiled_loops(False).library._name)
    assert library.parent.stat().st_mode & 0o777 == 0o700
    if harm == "link":
        library.rename(tmp_path / "elsewhere.so")
        library.symlink_to(tmp_path / "elsewhere.so")
    elif harm == "owner":
        monkeypatch.setattr("os.getuid", lambda: 12345)
    else:
        (library.parent if harm == "folder" else library).chmod(0o777)
    compiled_loops.cache_clear()
    assert compiled_loops(False) is None and "others may write to it" in caplog.text
