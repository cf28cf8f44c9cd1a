"""Everything that a site lacks for VASP is named before anything is submitted, with its remedy."""

import dataclasses
import os
import sys
from pathlib import Path

import pytest
from pymatgen.io.vasp.sets import MPRelaxSet

from miad.config.sections import Vasp
from miad.dft.vasp.site import (
    potcar_folder,
    potcar_symbol,
    problem_of_command,
    problem_of_potcars,
    problem_of_scratch,
    problems,
    without_potcar,
)
from tests.builders.vasp_stand_in.site import Site


@pytest.fixture
def settings(tmp_path) -> Vasp:
    """The stand-in, with pseudopotentials of iron and oxygen in both of pymatgen's layouts."""
    folder = tmp_path / "potcars" / "POT_GGA_PAW_PBE"
    (folder / "O").mkdir(parents=True)
    (folder / "O" / "POTCAR").touch()
    (folder / "POTCAR.Fe_pv.gz").touch()
    return Site(tmp_path).vasp()


def changed(settings: Vasp, **changes) -> Vasp:
    return dataclasses.replace(settings, **changes)


def test_a_complete_site_has_no_problem(settings):
    assert problems(settings, ["Fe", "O"]) == []


def test_all_problems_are_told_together(settings):
    odd = changed(settings, command="absent", gamma_command="absent_too", potcars="/nowhere", scratch="/nowhere")
    found = problems(odd, ["Fe"])
    assert [text.partition(":")[0] for text in found] == [
        "vasp.command",
        "vasp.gamma_command",
        "vasp.potcars",
        "vasp.scratch",
    ]
    assert problems(changed(odd, gamma_command=None), []) == [found[0], *found[2:]]


@pytest.mark.parametrize(
    ("command", "absent"),
    [
        (f"{sys.executable} -n 4 {sys.executable}", None),
        (f"no_launcher -n 4 {sys.executable}", "no_launcher"),
        (f"{sys.executable} -n 4 no_vasp", "no_vasp"),
        ("'$HERE/a b/vasp_std'", None),
        ("$NOWHERE/vasp_std", "$NOWHERE/vasp_std"),
    ],
)
def test_both_the_launcher_and_the_program_have_to_be_there(command, absent, tmp_path, monkeypatch):
    monkeypatch.setenv("HERE", str(tmp_path))
    program = tmp_path / "a b" / "vasp_std"
    program.parent.mkdir()
    program.touch(mode=0o755)
    found = problem_of_command("command", command)
    assert (found is None) == (absent is None)
    assert absent is None or found.startswith(f"vasp.command: {absent} is not on the PATH.")


@pytest.mark.parametrize(
    ("command", "gamma", "launcher", "without"),
    [
        ("env -i {a}", "{b}", "env -i", "gamma_command"),
        ("{a}", "env -i {b}", "env -i", "command"),
        ("env -i {a}", "nice {b}", None, None),
        ("{a}", "{b}", None, None),
    ],
)
def test_a_launcher_belongs_before_both_programs(settings, tmp_path, command, gamma, launcher, without):
    """Γ-only cells would run outside of srun."""
    names = {name: str(tmp_path / name) for name in "ab"}
    for path in names.values():
        Path(path).touch(0o755)
    found = problems(changed(settings, command=command.format(**names), gamma_command=gamma.format(**names)), ["Fe"])
    if launcher is None:
        assert found == []
    else:
        [problem] = found
        assert f"has a launcher ({launcher}), vasp.{without} has none" in problem


def test_a_program_in_a_container_is_not_looked_for_outside(tmp_path, monkeypatch):
    (tmp_path / "apptainer").touch(mode=0o755)
    command = f"{sys.executable} -n 4 apptainer exec --nv vasp.sif vasp_std"
    assert problem_of_command("command", command).startswith("vasp.command: apptainer is not")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert problem_of_command("command", command) is None


def test_missing_pseudopotentials_are_named_as_the_sets_name_them(settings):
    found = problem_of_potcars(settings, ["O", "Na", "Fe", "Yb"])
    assert "lacks Na_pv, Yb_2." in found  # in the order of the elements


def test_the_version_decides_the_folder_and_tungsten(settings, monkeypatch, tmp_path):
    newer = changed(settings, functional="PBE_54", potcars="$HOME_OF_POTCARS")
    monkeypatch.setenv("HOME_OF_POTCARS", str(tmp_path))
    assert potcar_folder(newer) == tmp_path / "POT_GGA_PAW_PBE_54"
    assert (potcar_symbol(settings, "W"), potcar_symbol(newer, "W")) == ("W_pv", "W_sv")
    for element in ("Fe", "O", "Yb"):
        assert potcar_symbol(newer, element) == MPRelaxSet.CONFIG["POTCAR"][element]


def test_elements_without_a_pseudopotential_of_the_sets(settings):
    assert without_potcar(settings, ["Rn", "Fe", "At", "O", "W"]) == ["At", "Rn"]
    # There MPRelaxSet takes W_sv, and MP2020 refuses what was calculated with it.
    assert without_potcar(changed(settings, functional="PBE_54"), ["Fe", "W"]) == ["W"]


def test_scratch_may_name_a_variable_of_the_job(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCH", str(tmp_path))
    assert problem_of_scratch(changed(settings, scratch="$SCRATCH")) is None
    assert problem_of_scratch(settings) is None
    (tmp_path / "file").touch()
    assert f"{tmp_path / 'file'} is no folder" in problem_of_scratch(changed(settings, scratch="$SCRATCH/file"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert f"{tmp_path} is no folder that can" in problem_of_scratch(changed(settings, scratch="$SCRATCH"))
