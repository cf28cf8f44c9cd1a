"""Promise: a small file does not become a large one. Bombs of each kind are refused before they fill memory or disk."""

import gzip
import zipfile

import pytest

from miad.core.errors import MiadError
from miad.core.files import Unpacked
from miad.io import any_format, cif_files
from miad.io.csv_rows import Table
from tests.builders.crystals import caesium_chloride

SALT = caesium_chloride("salt").structure.to(fmt="cif")


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
    many = {f"{number}.cif": SALT + "#" * 20_000 for number in range(40)}
    with pytest.raises(MiadError, match="unpacks to more than 20 times its size"):
        any_format.read_any(zipped(tmp_path / "many.zip", many), "set")
    few = dict(list(many.items())[:3])
    assert all(one.failure is None for one in any_format.read_any(zipped(tmp_path / "few.zip", few), "set"))


def test_packed_files_within_a_zip_are_counted_as_what_they_become(tmp_path):
    many = {f"{number}.cif.gz": gzip.compress((SALT + "#" * 20_000).encode()) for number in range(40)}
    with pytest.raises(MiadError, match="unpacks to more than 20 times its size"):
        any_format.read_any(zipped(tmp_path / "many.zip", many), "set")


def test_a_zip_of_too_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cif_files, "MAX_FILES", 5)
    with pytest.raises(MiadError, match=r"holds 6 files; more than 5 are refused"):
        any_format.read_any(zipped(tmp_path / "many.zip", {f"{number}.cif": SALT for number in range(6)}), "set")


def test_a_zip_within_a_zip_is_not_opened(tmp_path):
    zipped(tmp_path / "inner.zip", {"a.cif": SALT})
    outer = zipped(tmp_path / "outer.zip", {"b.zip": (tmp_path / "inner.zip").read_bytes(), "c.cif": SALT})
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
