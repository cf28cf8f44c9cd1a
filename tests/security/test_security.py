"""Files of others are data: no pickle is opened unverified, no shell reached, no folder left, no memory filled."""

import ast
import gzip
import re
import zipfile
from pathlib import Path

import pytest
from pymatgen.core import Lattice

from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.core.files import Unpacked, open_text
from miad.io import any_format
from miad.report import candidates
from tests.builders import ROOT
from tests.builders.symmetric import symmetric

SALT = symmetric("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
EVIL = "../../x; rm -rf $(touch pwned) `touch pwned`"
# Where pickles are read: two unpicklers of our own that run nothing.
READERS_OF_PICKLES = {"io/torch_file.py", "hull/pickled.py"}


def calls(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func)


@pytest.mark.parametrize("path", sorted((ROOT / "miad").rglob("*.py")), ids=lambda path: path.name)
def test_no_shell_no_evaluation_no_pickle(path):
    for call in calls(path):
        name, keys = name_of(call), {key.arg: ast.unparse(key.value) for key in call.keywords}
        assert keys.get("shell", "False") == "False", f"{path.name}:{call.lineno} starts a shell"
        assert keys.get("allow_pickle", "False") == "False"
        assert name not in {"eval", "exec", "os.system", "os.popen", "yaml.load", "subprocess.getoutput"}
        assert name not in {"pickle.load", "pickle.loads", "pandas.read_pickle", "joblib.load", "dill.load"}
        assert name != "torch.load"


def test_pickles_are_read_in_few_places():
    words = re.compile(r"^\s*(import pickle|from pickle)\b|^[^#\n]*= *torch\.load\(|return torch\.load\(", re.MULTILINE)
    paths = [path for path in (ROOT / "miad").rglob("*.py") if words.search(path.read_text(encoding="utf-8"))]
    assert {path.relative_to(ROOT / "miad").as_posix() for path in paths} == READERS_OF_PICKLES


def test_rules_quote_whatever_is_not_a_number_or_a_checked_name():
    checked = {"{threads}", "{resources.gpu}", "{resources.jobs_per_gpu}", "{wildcards.shard}", "{wildcards.chunk}"}
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for shell in re.findall(r'shell:.*?"""(.*?)"""', path.read_text(encoding="utf-8"), re.DOTALL):
            used = set(re.findall(r"\{[^{}]+\}", shell))
            assert {one for one in used if not one.endswith(":q}")} <= checked, path.name


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


def test_structures_of_others_are_decoded_by_hand():
    """pymatgen's and monty's decoders import the modules that a file names; jobflow's own flows are ours."""
    words = re.compile(r"\.from_dict\(|MontyDecoder|loadfn\(")
    paths = [path for path in (ROOT / "miad").rglob("*.py") if words.search(path.read_text(encoding="utf-8"))]
    assert {path.relative_to(ROOT / "miad").as_posix() for path in paths} == {"dft/vasp/flow.py"}
