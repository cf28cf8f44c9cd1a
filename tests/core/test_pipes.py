"""A command whose reader is gone ends without a word; a pipe that broke elsewhere is an error."""

import os
import subprocess
import sys

import pytest

from miad.core.pipes import ends_quietly
from tests.builders import ROOT


@pytest.mark.parametrize(
    ("arguments", "unbuffered"),
    [("models", "1"), ("models", ""), ("models mp20-small", ""), ("--help", ""), ("generate --help", "")],
)
def test_a_command_that_nobody_reads(arguments, unbuffered):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "miad", *arguments.split()]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}  # unbuffered, writing fails at once
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_another_pipe_that_broke_stays_an_error():
    with pytest.raises(BrokenPipeError, match="of a worker"), ends_quietly():
        raise BrokenPipeError("of a worker")
