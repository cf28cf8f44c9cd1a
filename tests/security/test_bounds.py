"""Promise 2, reading is bounded: a small file does not become a large one, in whatever way it is packed."""

import gzip
import zipfile

import pytest
from pymatgen.core import Lattice

from miad.core.errors import MiadError
from miad.core.files import Unpacked, open_text
from miad.io import any_format, cif_files
from miad.io.table_rows import Table
from tests.builders.crystals import caesium_chloride
from tests.builders.symmetric import symmetric

CHLORIDE = caesium_chloride("salt").structure.to(fmt="cif")
SALT = symmetric("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch):
    """The same bounds for files that a test makes in no time."""
    monkeypatch.setattr(Unpacked, "MOST", 1 << 17)
    monkeypatch.setattr(Unpacked, "RATIO", 20)


def zipped(path, members: dict[str, bytes | str]):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_of_files_that_are_each_small_enough_is_refused_together(tmp_path):
    many = {f"{number}.cif": CHLORIDE + "#" * 20_000 for number in range(40)}
    with pytest.raises(MiadError, match="unpacks to more than 20 times its size"):
        any_format.read_any(zipped(tmp_path / "many.zip", many), "set")
    few = dict(list(many.items())[:3])
    assert all(one.failure is None for one in any_format.read_any(zipped(tmp_path / "few.zip", few), "set"))


def test_packed_files_within_a_zip_are_counted_as_what_they_become(tmp_path):
    many = {f"{number}.cif.gz": gzip.compress((CHLORIDE + "#" * 20_000).encode()) for number in range(40)}
    with pytest.raises(MiadError, match="unpacks to more than 20 times its size"):
        any_format.read_any(zipped(tmp_path / "many.zip", many), "set")


def test_a_zip_of_too_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cif_files, "MAX_FILES", 5)
    with pytest.raises(MiadError, match=r"holds 6 files; more than 5 are refused"):
        any_format.read_any(zipped(tmp_path / "many.zip", {f"{number}.cif": CHLORIDE for number in range(6)}), "set")


def test_a_zip_within_a_zip_is_not_opened(tmp_path):
    zipped(tmp_path / "inner.zip", {"a.cif": CHLORIDE})
    outer = zipped(tmp_path / "outer.zip", {"b.zip": (tmp_path / "inner.zip").read_bytes(), "c.cif": CHLORIDE})
    assert [one.source_id for one in any_format.read_any(outer, "set")] == ["c"]


def test_a_table_in_a_zip_is_bounded(tmp_path):
    path = zipped(tmp_path / "x.zip", {"train.csv": "cif\n" + "x" * 1_000_000})
    with pytest.raises(MiadError, match=r"train\.csv unpacks to more than 20 times"):
        list(Table(path, "train.csv").rows(["cif"]))


@pytest.mark.parametrize(("cell", "rows"), [("#" * 1_000_000, 1), ("#", 1_000_000)])
def test_parquet_of_large_cells_or_endless_rows_is_refused(tmp_path, cell, rows):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"cif": [cell] * rows}), path, compression="zstd")
    assert path.stat().st_size < 20_000
    with pytest.raises(MiadError, match="unpacks to more than 20 times its size"):
        any_format.read_any(path, "set")


BEGINNINGS = {"cif": "data_x\n", "csv": "cif\n", "json": "[", "jsonl": "{", "extxyz": "1\n"}


def bomb(beginning: str) -> bytes:
    return gzip.compress(beginning.encode() + b"#" * 20_000_000)


def test_gzip_bombs_are_refused_long_before_they_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(Unpacked, "MOST", 1 << 20)
    monkeypatch.setattr(Unpacked, "RATIO", 20)
    for suffix, beginning in BEGINNINGS.items():
        path = tmp_path / f"bomb.{suffix}.gz"
        path.write_bytes(bomb(beginning))
        with pytest.raises(MiadError, match="unpacks to more than 20 times its size"):
            any_format.read_any(path, "set")
    with zipfile.ZipFile(tmp_path / "bombs.zip", "w") as archive:
        archive.writestr("a.cif.gz", bomb("data_x\n"))
        archive.writestr("b.cif", SALT.to(fmt="cif"))
    refused, fine = any_format.read_any(tmp_path / "bombs.zip", "set")
    assert "unpacks to more than" in refused.failure.reason and fine.failure is None


def test_honest_gzip_of_any_size_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Unpacked, "MOST", 1000)
    monkeypatch.setattr(Unpacked, "RATIO", 250)
    path = tmp_path / "salt.cif.gz"
    path.write_bytes(gzip.compress(SALT.to(fmt="cif").encode()))
    [read] = any_format.read_any(path, "set")
    assert read.failure is None and read.reduced_formula == "NaCl"
    with open_text(path) as text:
        assert text.read() == SALT.to(fmt="cif")
    path.write_bytes(gzip.compress(b"x\n" * 700) + gzip.compress(b"y\n" * 3))  # two members, as some tools write them
    with open_text(path) as text:
        assert text.read() == "x\n" * 700 + "y\n" * 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SALT.to(fmt="cif") + "#" * 1_000_000, "refused unread"),
        ((SALT * (4, 4, 4)).to(fmt="cif"), "512 sites; more than 400 are refused"),
        (SALT.to(fmt="cif").replace("_cell_length_a", "_cell_length_b"), "unreadable"),
        (SALT.to(fmt="cif").replace("_cell_length_a   5.60000000", "_cell_length_a   1e999"), "not finite"),
    ],
)
def test_absurd_cifs_are_refused_with_a_reason(tmp_path, text, said):
    (tmp_path / "a.cif").write_text(text, encoding="utf-8")
    [read] = any_format.read_any(tmp_path / "a.cif", "set")
    assert read.failure is not None and said in read.failure.reason


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("9" * 30 + "\nx\nNa 0 0 0\n", "the file ends 2 lines later"),
        (
            '1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:x:R:999999999\nNa 0 0 0 1\n',
            "promise 1000000003 columns, but its rows have 5",
        ),
    ],
)
def test_absurd_frames_are_refused_with_a_reason(tmp_path, frame, said):
    (tmp_path / "a.extxyz").write_text(frame)
    [read] = any_format.read_any(tmp_path / "a.extxyz", "set")
    assert read.failure is not None and said in read.failure.reason
