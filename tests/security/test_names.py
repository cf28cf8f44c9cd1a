"""Promise 3, names stay names: what a crystal is called reaches no shell and no folder but its own."""

import zipfile
from pathlib import Path

from pymatgen.core import Lattice

from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.io import any_format
from miad.report import candidates
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
