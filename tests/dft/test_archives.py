"""Archives of runs, also within each other: all runs are found, nothing outside is written, and sizes are bounded."""

import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from miad.core.errors import MiadError
from miad.dft import archives
from miad.dft.archives import Budget, check_size, unpacked
from miad.dft.run_files import grouped


def zipped(**members: bytes) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return content.getvalue()


def tarred(**members: bytes) -> bytes:
    content = BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, BytesIO(text))
    return content.getvalue()


def names(path: Path) -> dict[str, list[str]]:
    """{name of a crystal: text of its runs}."""
    with unpacked(path) as (places, _):
        return {name: [one.path.read_text() for one in ones] for name, ones in grouped(places).items()}


RUN = {"vasprun.xml": b"run"}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_archives_in_archives_are_unpacked_and_name_their_crystals(pack, tmp_path):
    inner = {f"batch/{name}.{end}": made(**RUN) for name, end, made in (("a", "zip", zipped), ("b", "tar.gz", tarred))}
    relaxed = tarred(**{"vasprun.xml": b"second"})
    path = tmp_path / ("all.zip" if pack is zipped else "all.tar.gz")
    path.write_bytes(pack(**inner, **{"c/relax1/vasprun.xml": b"first", "c/relax2.tgz": relaxed}))
    assert names(path) == {"a": ["run"], "b": ["run"], "c": ["first", "second"]}


def test_a_folder_that_holds_archives_of_stages(tmp_path):
    (tmp_path / "mp-1").mkdir()
    for stage in ("relax1", "relax2"):
        (tmp_path / "mp-1" / f"{stage}.ZIP").write_bytes(zipped(**{"vasprun.xml": stage.encode()}))
    assert names(tmp_path) == {"mp-1": ["relax1", "relax2"]}


def test_copies_that_systems_make_are_no_runs(tmp_path):
    copies = ("__MACOSX/a/._vasprun.xml", "a/._vasprun.xml", "a/.ipynb_checkpoints/vasprun.xml", "__MACOSX/b.zip")
    path = tmp_path / "all.zip"
    path.write_bytes(zipped(**{"a/vasprun.xml": b"run"}, **dict.fromkeys(copies, b"copy")))
    assert names(path) == {"a": ["run"]}
    for name in ("a/vasprun.xml", *copies[:3]):
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_text("run")
    assert names(tmp_path / "folder") == {"a": ["run"]}


def test_too_deep_is_refused_alone(tmp_path):
    deep = zipped(**RUN)
    for _ in range(archives.MAX_DEPTH):
        deep = zipped(**{"deeper.zip": deep})
    (tmp_path / "all.zip").write_bytes(zipped(**{"deep.zip": deep, "a/vasprun.xml": b"run"}))
    with unpacked(tmp_path / "all.zip") as (places, broken):
        assert list(grouped(places)) == ["a"]
        assert "more than 3 deep" in broken["deeper"]


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_bomb_is_refused_before_it_fills_the_disk(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MIN_BYTES", 100_000)
    path = tmp_path / ("bomb.zip" if pack is zipped else "bomb.tar.gz")
    path.write_bytes(pack(**{"a/vasprun.xml": bytes(50_000_000)}))
    with pytest.raises(MiadError, match="unpacks to more than 100 times its size"):
        names(path)
    # The budget is that of the outermost archive: each layer packs the layer within by a hundred once more.
    nested = zipped(**{"inner.zip": zipped(**{"a/vasprun.xml": bytes(50_000_000)})})
    (tmp_path / "nested.zip").write_bytes(nested)
    with unpacked(tmp_path / "nested.zip") as (places, broken):
        assert "more than 100 times" in broken["inner"] and not grouped(places)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_name_in_a_tar_file_may_not_be_a_bomb(kind, tmp_path, monkeypatch):
    """tarfile reads it into memory whole, before it tells of a member."""
    note, run = tarfile.TarInfo("././@LongLink"), tarfile.TarInfo("vasprun.xml")
    note.type, note.size = kind, 1 << 20
    text = (
        b"a/" * (1 << 19) if kind == tarfile.GNUTYPE_LONGNAME else b"1048576 comment=" + b"a" * ((1 << 20) - 17) + b"\n"
    )
    path = tmp_path / "a.tar"
    path.write_bytes(note.tobuf() + text + run.tobuf() + bytes(1024))
    assert names(path) in ({}, {"a": [""]})  # that of GNU is a folder, the other one a remark
    monkeypatch.setattr(archives, "MAX_NAME", (1 << 20) - 1)
    with pytest.raises(MiadError, match=r"(?s)a\.tar cannot be unpacked .*a name of 1,048,576 bytes"):
        names(path)


def test_members_that_are_not_read_count_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MIN_BYTES", 100_000)
    (tmp_path / "bomb.tar.gz").write_bytes(tarred(WAVECAR=bytes(50_000_000)))
    with pytest.raises(MiadError, match="unpacks to more than"):
        names(tmp_path / "bomb.tar.gz")


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_FILES", 5)
    (tmp_path / "all.zip").write_bytes(zipped(**{f"{number}/vasprun.xml": b"run" for number in range(6)}))
    with pytest.raises(MiadError, match="holds more than 5 files"):
        names(tmp_path / "all.zip")


@pytest.mark.parametrize("name", ["../vasprun.xml", "/etc/vasprun.xml", "a/../../vasprun.xml", "..\\vasprun.xml"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_members_that_point_outside_are_refused(pack, name, tmp_path):
    path = tmp_path / ("evil.zip" if pack is zipped else "evil.tar.gz")
    path.write_bytes(pack(**{name: b"run"}))
    with pytest.raises(MiadError, match="would lie outside of the folder"):
        names(path)


def test_one_broken_archive_of_many_fails_alone(tmp_path):
    whole = tarred(**{"b/vasprun.xml": bytes(range(256)) * 4000})
    (tmp_path / "a.zip").write_bytes(zipped(**RUN))
    (tmp_path / "b.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.zip").write_bytes(b"no zip")
    with unpacked(tmp_path) as (places, broken):
        assert list(grouped(places)) == ["a"]  # nothing of a torn archive: its last stage may be what is torn
        assert set(broken) == {"b", "c"}
    with pytest.raises(MiadError, match=r"c\.zip cannot be unpacked"):
        names(tmp_path / "c.zip")


def test_nothing_of_a_torn_archive_comes_with_the_next_one(tmp_path):
    whole = tarred(**{"b/relax_1/vasprun.xml": b"relaxed", "b/static/vasprun.xml": bytes(range(256)) * 4000})
    (tmp_path / "b.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.zip").write_bytes(b"no zip")
    (tmp_path / "c.zip").write_bytes(zipped(**RUN))
    with unpacked(tmp_path) as (places, broken):
        assert list(grouped(places)) == ["c"] and set(broken) == {"b"}


def test_a_compressed_run_may_not_be_a_bomb(tmp_path, monkeypatch):
    import gzip

    monkeypatch.setattr(archives, "MIN_BYTES", 100_000)
    (tmp_path / "vasprun.xml.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(ValueError, match="unpacks to more than"):
        check_size(tmp_path / "vasprun.xml.gz")
    (tmp_path / "vasprun.xml").write_bytes(bytes(1_000_000))
    check_size(tmp_path / "vasprun.xml")
    assert Budget(tmp_path / "vasprun.xml").bytes_left == 100_000_000
