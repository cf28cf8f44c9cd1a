"""A command whose reader is gone ends without a word; a pipe that broke elsewhere is an error."""

import os
import subprocess
import sys

import pytest

from miad.core.pipes import ends_quietly
from tests.builders import ROOT


@pytest.mark.parametrize("arguments", [["models"], ["models", "mp20-small"], ["--help"], ["generate", "--help"]])
def test_nobody_reads(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "miad", *arguments]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=300)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_another_pipe_that_broke_stays_an_error():
    with pytest.raises(BrokenPipeError, match="of a worker"), ends_quietly():
        raise BrokenPipeError("of a worker")
