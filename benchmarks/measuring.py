"""Seconds and profiles of calls, and rows that are measured apart: an error, a crash or a hang costs its own only.

After a failure the next row has a new process, because an error of a kernel leaves a card that its process can use no
more. The process that writes the rows as they come never touches the card.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch

FORK = multiprocessing.get_context("fork")  # what is imported need not be imported again


class Rows:
    """Rows that are measured in the order in which they were added.

    Args:
        path: of the JSON lines, one a row; lines that are there are kept.
        limit: seconds that a row may take.
    """

    def __init__(self, path: Path, limit: float) -> None:
        self.path, self.limit, self.failed = path, limit, 0
        self.waiting: list[tuple[str, Callable[..., str], tuple]] = []

    def add(self, name: str, measure: Callable[..., str], *arguments: object) -> None:
        """A row whose value `measure` returns."""
        self.waiting.append((name, measure, arguments))

    def measure(self) -> None:
        """All rows; what a signal interrupts leaves no process behind."""
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
        while self.waiting:
            receiver, sender = FORK.Pipe(duplex=False)
            process = FORK.Process(target=_work, args=(self.waiting, sender))
            process.start()
            sender.close()
            try:
                self._listen(receiver, process)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.join()
        signal.signal(signal.SIGTERM, before)

    def _listen(self, receiver: Connection, process: multiprocessing.Process) -> None:
        """Write rows until one has failed."""
        is_right = True
        while is_right and self.waiting:
            start, (name, *_) = time.perf_counter(), self.waiting.pop(0)
            try:
                value = receiver.recv() if receiver.poll(self.limit) else f"FAILED: not finished in {self.limit:g} s"
            except EOFError:
                process.join()
                value = f"FAILED: its process ended with {process.exitcode}"
            is_right = not value.startswith("FAILED")
            self.failed += not is_right
            self._write(name, value, round(time.perf_counter() - start, 1))

    def _write(self, name: str, value: str, spent: float) -> None:
        print(f"| {name} | {value} | {spent} s |", flush=True)
        try:
            with self.path.open("a") as file:
                file.write(json.dumps({"what": name, "value": value, "seconds": spent}) + "\n")
        except OSError as error:  # printed it is
            print(f"not written: {error}", file=sys.stderr, flush=True)


def _work(rows: list[tuple[str, Callable[..., str], tuple]], sender: Connection) -> None:
    """Send values until one cannot be had."""
    os.setpgrp()  # killed with all that it starts
    for _, measure, arguments in rows:
        try:
            value = measure(*arguments)
        except Exception as error:  # the others are worth having
            traceback.print_exc()
            value = f"FAILED: {type(error).__name__}: {error}"
        sys.stdout.flush()
        sender.send(value)
        if value.startswith("FAILED"):
            return


def wait(device: str) -> None:
    """Wait until the GPU has finished."""
    if device == "cuda":
        torch.cuda.synchronize()


def timed(action: Callable[[], object], repeats: int, device: str, warmup: int = 3) -> tuple[float, float]:
    """Seconds of a call when many follow each other, and those of them until the processor was done with it."""
    for _ in range(warmup):
        action()
    wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        action()
    host = time.perf_counter() - start
    wait(device)
    return (time.perf_counter() - start) / repeats, host / repeats


def profile(action: Callable[[], None], device: str) -> str:
    """A table of what five calls spend their time on, and the number of launches of one."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profiler(activities=kinds) as seen:
        for _ in range(5):
            action()
        wait(device)
    table = seen.key_averages()
    launches = sum(event.count for event in table if "LaunchKernel" in event.key) / 5  # cuda… and cu…, …Ex, …ExC
    return f"{launches:.0f} launches a step\n" + table.table(sort_by=f"self_{device}_time_total", row_limit=30) + "\n"
