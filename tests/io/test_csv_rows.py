"""CSV files of any kind, row by row."""

import csv
import gzip
import zipfile
from pathlib import Path

import pytest

from miad.core.errors import MiadError
from miad.core.files import Unpacked
from miad.io import csv_rows
from miad.io.csv_rows import Table

TEXT = 'cif,material_id\n"two\nlines",mp-1\nthree,mp-2\n'
ROWS = [(0, {"cif": "two\nlines", "material_id": "mp-1"}), (1, {"cif": "three", "material_id": "mp-2"})]


def rows(path: Path, content: bytes | None = None, **more):
    if content is not None:
        path.write_bytes(content)
    return list(Table(path, "train.csv").rows(["cif"], optional=["material_id"], **more))


def zipped(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return path


def test_plain_gzipped_zipped_and_marked_files_hold_the_same_rows(tmp_path):
    assert rows(tmp_path / "a.csv", TEXT.encode()) == ROWS
    assert rows(tmp_path / "a.csv", b"\xef\xbb\xbf" + TEXT.encode()) == ROWS
    assert rows(tmp_path / "named_like_plain.csv", gzip.compress(TEXT.encode())) == ROWS
    assert rows(zipped(tmp_path / "a.zip", "folder/train.csv", "val.csv", "__MACOSX/folder/train.csv")) == ROWS


def test_limit_missing_optional_columns_and_short_rows(tmp_path):
    assert rows(tmp_path / "a.csv", TEXT.encode(), limit=1) == ROWS[:1]
    assert rows(tmp_path / "a.csv", b"cif\nx\n") == [(0, {"cif": "x", "material_id": ""})]
    assert rows(tmp_path / "a.csv", b"other,cif\nx\n") == [(0, {"cif": "", "material_id": ""})]


def test_the_limit_of_the_csv_module_is_left_as_it_was(tmp_path):
    before = csv.field_size_limit()
    long = b"cif\n" + b"x" * 300_000 + b"\n"
    assert len(rows(tmp_path / "a.csv", long)[0][1]["cif"]) == 300_000
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"cif,material_id\n", "has a header but no rows"),
        (b"structure,id\nx,y\n", "has no column cif; it has structure, id"),
        (b"cif\nx\n\xff\xfe\n", "broken after row"),
        (gzip.compress(TEXT.encode() * 1000)[:-20], "broken after row"),
        (b"PK\x03\x04 no zip", "no column cif"),
    ],
)
def test_what_is_not_a_table_is_refused_with_its_name(tmp_path, content, message):
    with pytest.raises(MiadError, match=message) as caught:
        rows(tmp_path / "a.csv", content)
    assert str(tmp_path / "a.csv") in str(caught.value)


def test_a_quote_that_is_never_closed_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_rows, "MAX_FIELD", 1000)
    with pytest.raises(MiadError, match=r"broken after row 0.*field limit"):
        rows(tmp_path / "a.csv", b'cif\nfine\n"' + b"x\n" * 1000)


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(MiadError, match="does not exist or is not a file"):
            rows(path)


def test_a_zip_without_or_with_two_such_tables_or_too_large_a_one(tmp_path, monkeypatch):
    with pytest.raises(MiadError, match=r"holds 0 files named train\.csv.*it has val\.csv"):
        rows(zipped(tmp_path / "none.zip", "val.csv"))
    with pytest.raises(MiadError, match="holds 2 files"):
        rows(zipped(tmp_path / "two.zip", "a/train.csv", "b/train.csv"))
    monkeypatch.setattr(Unpacked, "limit", lambda _: 10)
    with pytest.raises(MiadError, match="Refused"):
        rows(zipped(tmp_path / "bomb.zip", "train.csv"))


def test_nothing_of_a_zip_is_unpacked(tmp_path):
    assert rows(zipped(tmp_path / "a.zip", "../train.csv", "/etc/evil")) == ROWS
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    assert not (tmp_path.parent / "train.csv").exists()
