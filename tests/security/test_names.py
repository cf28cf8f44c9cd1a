"""Promise 3, names stay names: what a crystal is called reaches no shell and no folder but its own."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from pymatgen.core import Lattice

from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.core.tabular import read_csv
from miad.io import any_format
from miad.report import candidates
from miad.report.page import step as page
from tests.builders import finished
from tests.builders.symmetric import symmetric

SALT = symmetric("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
EVIL = "../../x; rm -rf $(touch pwned) `touch pwned`"


def evil_inputs(folder: Path) -> list[Path]:
    """The same crystal under a hostile name in the formats that carry names."""
    cif = SALT.to(fmt="cif")
    block = cif.replace("data_NaCl", f"data_{EVIL}")
    (folder / "blocks.cif").write_text(block + "\n" + block, encoding="utf-8")
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr(f"{EVIL}.cif", cif)
        archive.writestr("/etc/miad-evil.cif", cif)
    (folder / "files").mkdir()
    (folder / "files" / "x; rm -rf $(touch pwned).cif").write_text(cif, encoding="utf-8")
    write_crystals(folder / "ours.jsonl", [Crystal.from_structure(EVIL, SALT)])
    return [folder / name for name in ("blocks.cif", "archive.zip", "files", "ours.jsonl")]


def test_hostile_names_of_crystals_stay_names(tmp_path):
    (tmp_path / "in").mkdir()
    inputs = evil_inputs(tmp_path / "in")
    before = sorted(tmp_path.rglob("*"))
    for path in inputs:
        crystals = any_format.read_any(path, "set")
        assert crystals and all(one.failure is None for one in crystals), path
        assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked or written on reading
        out = tmp_path / f"out-{path.stem}"
        named = dict(zip(candidates.cif_names(crystals, several=False), crystals, strict=True))
        candidates._write_cifs(out / "cif", named)
        write_crystals(out / "all.jsonl", crystals)
        assert [one.crystal_id for one in read_crystals(out / "all.jsonl")] == [one.crystal_id for one in crystals]
        written = [file for file in tmp_path.rglob("*.cif") if file.is_relative_to(out)]
        assert len(written) == len(named)
        assert all(file.parent == out / "cif" and not set(file.name) & set("/;$`( ") for file in written)
        before = sorted(tmp_path.rglob("*"))
    assert not list(tmp_path.rglob("pwned")) and not Path("pwned").exists() and not Path("/etc/miad-evil.cif").exists()


def test_a_table_of_candidates_leads_to_no_file_outside(results, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    (tmp_path / "diary.txt").write_text("dear diary")
    table = folder / "miad" / "candidates.csv"
    [name, *_] = (line["cif"] for line in read_csv(table))
    table.write_text(table.read_text().replace(name, "../../../diary.txt"))
    with pytest.raises(MiadError, match=r"diary\.txt is missing"):
        page.run(results=folder, out=tmp_path / "report.html", runs=json.dumps(finished.config()))


@pytest.mark.parametrize(
    "part",
    ["<script>x()</script>", '<g onload="x()"/>', '<a href="javascript:x()"/>', '<use href="data:image/svg+xml,"/>'],
)
def test_a_figure_that_could_act_is_not_shown(results, part):
    path = results / "figures" / "space_groups.svg"
    honest = path.read_text()
    assert page.inlined(honest, path.stem)
    with pytest.raises(MiadError, match="is no picture of miad"):
        page.inlined(honest.replace("</svg>", part + "</svg>"), path.stem)
