"""Core-hours of a calculation: every run of VASP once, with all of its ranks and threads, killed ones included."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from miad.dft.vasp.hours import core_hours, spent

VASP_5 = " running on   16 total cores\n distrk:  each k-point on   16 cores,    1 groups\n"
VASP_6 = " running    4 mpi-ranks, with    8 threads/rank, on    1 nodes\n distrk:  each k-point on    4 cores\n"
LOOP = "      LOOP:  cpu time     30.0000: real time     20.0000\n"
IONIC = "     LOOP+:  cpu time     60.0000: real time     50.0000\n"


def outcar(start: str, cores: str = VASP_6, steps: str = LOOP + LOOP + IONIC, seconds: float | None = 3600.0) -> str:
    end = "" if seconds is None else f"                         Elapsed time (sec):     {seconds:.3f}\n"
    return f" vasp.6.4.2\n executed on             LinuxIFC date {start}\n{cores}{steps}{end}"


@pytest.mark.parametrize(
    ("cores", "number"),
    [
        (VASP_5, 16),
        (VASP_6, 32),
        (" running    4 mpi-ranks, with    1 threads/rank\n", 4),
        ("", 1),  # a VASP for one core says nothing
    ],
)
def test_threads_count_as_ranks_do(cores, number):
    assert spent(outcar("2026.01.01  12:00:00", cores).splitlines()) == ("2026.01.01  12:00:00", number)


def test_a_killed_run_counts_as_far_as_it_came():
    """Two ionic steps, whose time holds that of the electronic ones, and one electronic step of the third."""
    torn = outcar("x", VASP_5, (LOOP + LOOP + IONIC) * 2 + LOOP, seconds=None) + "      LOOP:  cpu ti"
    assert spent(torn.splitlines())[1] == pytest.approx(16 * 120 / 3600)


def put(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "OUTCAR.gz").write_bytes(gzip.compress(text.encode()))


def set_aside(folder: Path, number: int, text: str) -> None:
    """As custodian does before it mends a run."""
    with tarfile.open(folder / f"error.{number}.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(f"error.{number}/OUTCAR")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text.encode()))


def test_all_attempts_and_what_custodian_ended_count_once(tmp_path):
    assert core_hours(tmp_path) is None
    put(tmp_path / "relax_1", outcar("a"))
    assert core_hours(tmp_path) == pytest.approx(32)
    put(tmp_path / "relax_1.1", outcar("b", seconds=None))  # killed
    put(tmp_path / "relax_1.2", outcar("c", seconds=1800))  # stopped by custodian, and mended
    assert core_hours(tmp_path) == pytest.approx(32 + 32 * 50 / 3600 + 16)
    set_aside(tmp_path / "relax_1", 1, outcar("d", seconds=None))
    set_aside(tmp_path / "relax_1", 2, outcar("d", seconds=360))  # by a second handler, a little later
    set_aside(tmp_path / "relax_1", 3, outcar("a"))  # before custodian gave up
    put(tmp_path / "relax_2", outcar("a"))  # copied from the stage before; killed before VASP wrote its own
    assert core_hours(tmp_path) == pytest.approx(32 + 32 * 50 / 3600 + 16 + 3.2)


def test_a_damaged_file_costs_only_what_is_in_it(tmp_path, caplog):
    put(tmp_path / "static", outcar("a"))
    put(tmp_path / "static.1", outcar("b", steps=LOOP * 50000, seconds=None))
    whole = (tmp_path / "static.1" / "OUTCAR.gz").read_bytes()
    (tmp_path / "static.1" / "OUTCAR.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "static" / "error.1.tar.gz").write_bytes(b"no archive")
    assert 32 < core_hours(tmp_path) < 32 + 32 * 20 * 50000 / 3600
    assert "ends early" in caplog.text and "error.1.tar.gz cannot be read" in caplog.text
