"""Promise 6: what is handed on (reports, tables, candidates) names no password, and no folder or user of a machine."""

import getpass
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from miad import evaluate
from miad.__main__ import main
from miad.config.layout import record, runs_of
from miad.config.resolve import read_config, resolve
from miad.core.crystal import read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.relax import step as relax
from miad.report.page import step as page
from tests.builders import finished
from tests.builders.crystals import caesium_chloride
from tests.builders.inputs import make_xyz, xyz

USER = "marker_user"
PASSWORD = "hunter2hunter2"  # noqa: S105
HULL = "formula,energy_per_atom,energy_frame\nNa,-1.0,mp2020\nCl,-2.0,mp2020\nNaCl,-2.9,mp2020\n"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """The home of a user whose name is looked for, with a folder of work."""
    folder = tmp_path / USER
    (folder / "work").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USER", USER)
    monkeypatch.setenv("LOGNAME", USER)
    monkeypatch.chdir(folder / "work")
    return folder


def told(folder: Path) -> dict[str, str]:
    """{path: text} of all files of a folder, unpacked."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        found[str(path.relative_to(folder))] = content.decode("utf-8", "replace")
    return found


def naming(texts: dict[str, str], *words: str) -> dict[str, list[str]]:
    """The files that hold any of these words, with the words and what is before them."""
    found = {
        name: [text[max(0, text.find(w) - 60) : text.find(w)] + w for w in words if w in text]
        for name, text in texts.items()
    }
    return {name: seen for name, seen in found.items() if seen}


@pytest.mark.parametrize("outside", [False, True])
def test_the_report_names_no_folder_and_no_password(results, home, tmp_path, outside):
    place = f"/scratch/{USER}" if outside else str(home)
    given = finished.config()
    given["hull"] = {**(given.get("hull") or {}), "source": f"{place}/data/hull.csv", "energy_frame": "mp2020"}
    given["vasp"] |= {"command": f"srun -n 4 {place}/bin/vasp_std", "potcars": f"{place}/potcars"}
    given["vasp"] |= {"job_store": f"{place}/store.yaml", "scratch": f"{place}/scratch/x"}
    given["ablations"] = {"small": {"hull": {"source": f"{place}/other/hull.csv?token={PASSWORD}"}}}
    row = results / "miad" / "sun" / "chgnet" / "row.json"
    before = row.read_text()
    out = tmp_path / "report.html"
    try:  # as earlier versions wrote it
        row.write_text(json.dumps({**json.loads(before), "hull_source": f"{place}/data/hull.csv sha256:ab"}))
        page.run(results=results, out=out, runs=json.dumps(given))
        page.run(
            results=results, out=tmp_path / "rule.html", runs=record("report", *runs_of(json.dumps(given), results)[:1])
        )
    finally:
        row.write_text(before)
    texts = {path.name: path.read_text() for path in (out, tmp_path / "rule.html")}
    assert not naming(texts, USER, PASSWORD, str(tmp_path), str(results))
    assert "hull.csv sha256:ab" in texts["report.html"] and "srun -n 4" in texts["report.html"]


def test_an_evaluation_names_no_folder_and_no_user(home, monkeypatch, tmp_path):
    def relaxation(settings, *, crystals, relaxed, calculator):
        known = {"energy_per_atom": -3.0, "energy_frame": "mp2020", "calculator": calculator, "converged": True}
        one, two = (one.replace(**known) for one in read_crystals(crystals))
        lost = FileNotFoundError(2, "No such file", str(home / "models" / "x.pt"))
        write_crystals(relaxed, [one, two.replace(energy_per_atom=None).failed("relax", str(lost))])

    monkeypatch.setattr(relax, "run", relaxation)
    (home / "hull.csv").write_text(HULL)
    write_crystals(home / "train.jsonl", [caesium_chloride("known-0")])
    config = read_config(Path(evaluate.__file__).with_name("config.yaml"))
    config["relax"]["potentials"] = {"eqv2": {"checkpoint": str(home / "models" / "eqv2.pt")}}
    (home / "mine.yaml").write_text(json.dumps(config))
    evaluate.run(
        make_xyz(home), train=home / "train.jsonl", hull=str(home / "hull.csv"), out=home / "out",
        settings=str(home / "mine.yaml"),
    )  # fmt: skip
    texts = told(home / "out")
    assert "relaxed.json" in texts and "hull.csv sha256:" in texts["entries.csv.gz"]
    assert "…/x.pt" in texts["ledger.csv"]
    assert not naming(texts, USER, str(tmp_path), getpass.getuser() if len(getpass.getuser()) > 4 else USER)


def test_other_checkpoints_of_the_same_name_are_relaxed_with_again(home, monkeypatch):
    relaxed_with = []

    def relaxation(settings, *, crystals, relaxed, calculator):
        relaxed_with.append(settings.potentials["eqv2"]["checkpoint"])
        known = {"energy_per_atom": -3.0, "energy_frame": "mp2020", "calculator": calculator, "converged": True}
        write_crystals(relaxed, [one.replace(**known) for one in read_crystals(crystals)])

    monkeypatch.setattr(relax, "run", relaxation)
    (home / "hull.csv").write_text(HULL)
    write_crystals(home / "train.jsonl", [caesium_chloride("known-0")])
    config = read_config(Path(evaluate.__file__).with_name("config.yaml"))
    crystals = make_xyz(home)
    for folder in ("a", "a", "b"):
        config["relax"]["potentials"] = {"eqv2": {"checkpoint": str(home / folder / "eqv2.pt")}}
        (home / "mine.yaml").write_text(json.dumps(config))
        evaluate.run(
            crystals, train=home / "train.jsonl", hull=str(home / "hull.csv"), out=home / "out",
            settings=str(home / "mine.yaml"),
        )  # fmt: skip
    assert relaxed_with == [str(home / folder / "eqv2.pt") for folder in ("a", "b")]


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"vasp": {"job_store": {"docs_store": {"password": PASSWORD}}}}, r"vasp\.job_store, expected text"),
        ({"vasp": {"job_store": f"mongodb://me:{PASSWORD}@db"}}, r"vasp\.job_store holds a password"),
        ({"hull": {"source": f"https://me:{PASSWORD}@host/hull.csv"}}, r"hull\.source holds a password"),
        ({"hull": {"energy_frame": f"https://me:{PASSWORD}@host"}}, r"hull\.energy_frame is .*\(hidden\)@host"),
        ({"relax": {"potentials": {"mine": {"class": "mine:Mine", "api_key": PASSWORD}}}}, r"mine\.api_key holds a"),
        ({"relax": {"potentials": {"mine": {"class": "mine", "password": PASSWORD}}}}, r"class is 'mine'"),
    ],
)
def test_a_password_in_the_config_is_refused_and_not_repeated(changes, said):
    config = finished.config()
    for section, keys in changes.items():
        config[section] = {**(config.get(section) or {}), **keys}
    with pytest.raises(MiadError, match=said) as caught:
        resolve(config)
    assert PASSWORD not in str(caught.value)


def test_a_line_that_is_no_yaml_is_not_repeated(tmp_path):
    (tmp_path / "config.yaml").write_text(f"seed: 0\nvasp: {{job_store: {{password: {PASSWORD}}}, uri: [\n")
    with pytest.raises(MiadError, match=r"not readable as YAML: .*line 3") as caught:
        read_config(tmp_path / "config.yaml")
    assert PASSWORD not in str(caught.value)


def test_a_second_evaluation_in_the_same_folder_says_so(home):
    (home / "hull.csv").write_text(HULL)
    write_crystals(home / "train.jsonl", [caesium_chloride("known-0")])
    (home / "theirs.extxyz").write_text(xyz(energies=True))
    out = home / "out"
    hold = "import sys, pathlib; from miad.machine.owners import locked\n"
    hold += "with locked(pathlib.Path(sys.argv[1]), what='', remedy=''): print(1, flush=True); input()"
    command = [sys.executable, "-c", hold, str(out / evaluate.IN_USE)]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    first.stdout.readline()
    flags = ["--train", str(home / "train.jsonl"), "--hull", str(home / "hull.csv"), "--out", str(out)]
    assert main(["evaluate", str(home / "theirs.extxyz"), *flags]) == MiadError.EXIT_CODE == 2
    assert [path.name for path in out.iterdir()] == [evaluate.IN_USE]
    first.kill()
    first.wait()
    assert main(["evaluate", str(home / "theirs.extxyz"), *flags]) == 0
