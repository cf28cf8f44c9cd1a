"""Finding the texts of CIFs in files: where one ends and the next begins."""

from pathlib import Path

import pytest

from miad.io import any_format
from miad.io.any_format import read_any
from miad.machine import pool
from tests.builders.inputs import cifs, make_blocks

FIELD = "_publ_section_comment\n;\ndata_other block, quoted\n_atom_site_label\n;\n"


def test_what_looks_like_a_block_in_a_text_field_is_text(tmp_path: Path) -> None:
    blocks = make_blocks(tmp_path).read_text().replace("loop_\n", FIELD + "loop_\n", 1)
    (tmp_path / "two.cif").write_text(blocks)
    assert [(one.source_id, one.failure) for one in read_any(tmp_path / "two.cif", "a")] == [
        ("salt-7", None),
        ("cscl-8", None),
    ]
    (tmp_path / "one.cif").write_text(cifs()["salt-7"].replace("loop_\n", FIELD + "loop_\n", 1))
    assert [(one.source_id, one.failure) for one in read_any(tmp_path / "one.cif", "a")] == [("one", None)]


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_ends_of_lines_of_other_systems_end_blocks_too(tmp_path: Path, end: str) -> None:
    (tmp_path / "a.cif").write_bytes(make_blocks(tmp_path).read_text().replace("\n", end).encode())
    assert [one.source_id for one in read_any(tmp_path / "a.cif", "a")] == ["salt-7", "cscl-8"]


def test_a_broken_block_costs_only_itself(tmp_path: Path) -> None:
    text = make_blocks(tmp_path).read_text()
    (tmp_path / "a.cif").write_text(text + cifs()["salt-7"].replace("loop_", "loop_ loop_") + text)
    assert [one.failure is None for one in read_any(tmp_path / "a.cif", "a")] == [True, True, False, True, True]


def test_a_long_file_is_read_in_several_processes_as_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = cifs()["salt-7"]
    blocks = [block.replace("data_NaCl", f"data_{n}").replace("Na0", "Na0" if n % 7 else "Qq0") for n in range(200)]
    blocks = [one if n % 7 else one.replace("  Na  ", "  Qq  ") for n, one in enumerate(blocks)]
    (tmp_path / "a.cif").write_text("".join(blocks))
    alone = read_any(tmp_path / "a.cif", "a")
    monkeypatch.setattr(any_format, "FEW", 10)
    monkeypatch.setattr(pool, "num_cores", lambda: 2)
    together = read_any(tmp_path / "a.cif", "a")
    seen = [(one.crystal_id, one.source_id, str(one.failure), one.frac_coords.tolist()) for one in together]
    assert seen == [(one.crystal_id, one.source_id, str(one.failure), one.frac_coords.tolist()) for one in alone]
    assert [one.failure is not None for one in alone] == [n % 7 == 0 for n in range(200)]
