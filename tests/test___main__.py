"""The command line: readable, quick, and without tracebacks for what a user can mend."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import miad
from miad import __main__ as command
from miad.__main__ import STEPS, main
from miad.config.sections import Mirage
from miad.core.errors import MiadError
from tests.builders import ROOT

MIRAGE = '{"num_atoms": 5, "coordinates": "uniform", "mask_loss": true}'


def python(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300, cwd=ROOT)


def test_help_lists_every_step_without_loading_torch():
    script = (
        "import sys; from miad.__main__ import main\ntry: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    )
    done = python("-c", script)
    assert done.returncode == 0, done.stderr
    for name, (_, text) in STEPS.items():
        assert f"  {name} " in done.stdout and text in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110


def test_waiting_threads_give_way_unless_the_user_says_otherwise(monkeypatch):
    for set_before, found in (("7", "7"), (None, "3000")):
        monkeypatch.setenv("GOMP_SPINCOUNT", "7")
        if set_before is None:
            monkeypatch.delenv("GOMP_SPINCOUNT")
        with pytest.raises(SystemExit):
            main(["--version"])
        assert os.environ["GOMP_SPINCOUNT"] == found


def test_importing_does_nothing():
    """No torch, no pymatgen, no output, no files: in the modules of the steps and in what these import."""
    names = [module for module, _ in STEPS.values()]
    script = f"""
import importlib, os, sys
for name in {names}:
    importlib.import_module("miad." + name)
    loaded = {{"torch", "pymatgen", "ase", "chgnet", "jobflow", "atomate2"}} & set(sys.modules)
    assert not loaded, f"miad.{{name}} imports {{sorted(loaded)}}"
"""
    before = set(os.listdir(ROOT))
    done = python("-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert set(os.listdir(ROOT)) == before


@pytest.mark.parametrize("step", STEPS)
def test_every_flag_of_every_step_is_explained(step, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        main([step, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert ":param" not in text and "Args:" not in text
    entries = [part.split() for part in re.split(r"\n  (?=--|PATH|NAME|-h)", text)[1:]]
    assert len(entries) >= 2
    for words in entries:
        explained = [word for word in words if not word.startswith(("-", "[")) and word != word.upper()]
        assert len(explained) >= 2, f"{words[0]} is not explained"


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"miad {miad.__version__}\n"


@pytest.mark.parametrize("arguments", [["trian"], ["infuse", "--flag"], ["infuse"], ["sample", "--shard", "one"]])
def test_unknown_steps_and_flags_end_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and "usage: miad" in capsys.readouterr().err


def test_an_argument_that_may_be_left_out_has_its_default(tmp_path):
    """Of the command line itself: what `run` is called with is told by its flags and by nothing else."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "miad", "watch", "--once"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing is running\n", "")


def test_what_a_user_can_mend_is_one_line_and_code_2(tmp_path):
    files = [str(tmp_path / name) for name in ("train", "val", "a", "b")]
    flags = [
        word
        for pair in zip(("--train", "--val", "--infused-train", "--infused-val"), files, strict=True)
        for word in pair
    ]
    done = python("-m", "miad", "infuse", *flags, "--settings", MIRAGE)
    assert done.returncode == MiadError.EXIT_CODE == 2
    assert done.stderr.strip().splitlines() == [
        f"miad infuse: {tmp_path}/train does not exist or is not a file. Check the path."
    ]
    assert done.stdout == ""


def test_odd_settings_are_one_line_and_code_2(tmp_path, capsys):
    assert main(["infuse", "--settings", str(tmp_path / "absent.yaml")]) == 2
    assert capsys.readouterr().err.startswith("miad infuse: ")
    assert main(["infuse", "--settings", '{"num_atoms": 5']) == 2
    assert "not JSON" in capsys.readouterr().err


def test_ctrl_c_leaves_no_traceback(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "parse", interrupted)
    assert main(["infuse"]) == 130
    assert capsys.readouterr().err == "miad infuse: interrupted\n"


def example(
    settings: Mirage,
    *,
    crystals: Path,
    several: list[Path],
    shard: int,
    scale: float = 0.5,
    run: str = "miad",
    where: Path | None = None,
    numbers: list[int] | None = None,
    is_loud: bool = False,
) -> None:
    """An example.

    Args:
        crystals: what to read,
            on two lines; 100 % of it.
        several: more files.
        shard: a number.
        scale: a fraction.
        run: a name.
        where: a place.
        numbers: many.
        is_loud: say more.
    """


REQUIRED = ["--crystals", "a.jsonl", "--several", "b", "c", "--shard", "3"]


def test_flags_become_the_types_of_the_arguments():
    values = command.parse("infuse", example, [*REQUIRED, "--settings", MIRAGE])
    assert values == {
        "settings": Mirage(5, "uniform", True),
        "crystals": Path("a.jsonl"),
        "several": [Path("b"), Path("c")],
        "shard": 3,
        "scale": 0.5,
        "run": "miad",
        "where": None,
        "numbers": None,
        "is_loud": False,
    }
    more = ["--settings", MIRAGE, "--scale", "1e-3", "--where", "d", "--numbers", "1", "2", "--run", "007", "--is-loud"]
    values = command.parse("infuse", example, REQUIRED + more)
    assert (values["scale"], values["where"], values["numbers"], values["run"]) == (1e-3, Path("d"), [1, 2], "007")
    assert values["is_loud"] is True


def test_settings_default_to_the_config_file_of_the_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert command.parse("infuse", example, REQUIRED)["settings"] == Mirage(9, "uniform", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MiadError, match=r"config\.yaml does not exist"):
        command.parse("infuse", example, REQUIRED)


def test_help_texts_span_lines_and_may_hold_percent_signs(capsys):
    with pytest.raises(SystemExit):
        command.parse("infuse", example, ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "what to read, on two lines; 100 % of it." in text and "a name. (default: miad)" in text


def test_without_a_step_the_commands_are_listed(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main([])
    assert ended.value.code == 0 and "evaluate " in capsys.readouterr().out


def test_help_says_once_what_a_step_does_and_names_its_section(capsys):
    with pytest.raises(SystemExit):
        command.main(["dft", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "JSON of its section dft " in text and "JSON of its section vasp " in text
    assert text.count("hoose the crystals for DFT") == 1
