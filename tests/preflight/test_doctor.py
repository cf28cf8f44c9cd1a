"""The doctor finds what is missing, says how to get it, and its exit code is for scripts."""

import dataclasses
import hashlib
import os
import re
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import miad
from miad.__main__ import main
from miad.config.resolve import merge
from miad.config.sections import Hull, build
from miad.core.crystal import Crystal, write_crystals
from miad.core.errors import MiadError
from miad.preflight import doctor
from miad.preflight.doctor import (
    MISSING,
    NOTE,
    OK,
    checks,
    elements_of,
    package_versions,
    partitions_named,
    slurm_partitions,
)
from tests.builders import ROOT
from tests.builders.vasp_stand_in import potcars
from tests.builders.vasp_stand_in.chain import settings as shipped
from tests.builders.vasp_stand_in.site import Site

PROFILE = ROOT / "profiles" / "slurm"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site with the stand-in, and the working folder of a run there."""
    potcars.write(tmp_path / "potcars")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PMG_VASP_PSP_DIR", raising=False)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))  # nothing of this machine's own Slurm
    return Site(tmp_path)


def program(folder: Path, name: str, text: str) -> None:
    """An executable shell script."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def found(site: Site, **changes) -> dict[str, doctor.Check]:
    """All findings by name, DFT enabled with the stand-in."""
    sections = merge(shipped(), {"dft": {"enabled": True}, "vasp": {**site.settings, **changes}})
    return {check.name: check for check in checks({"miad": sections}, PROFILE)}


def test_a_complete_site_is_well(site):
    states = found(site)
    assert [check for check in states.values() if check.state == MISSING] == []
    assert states["vasp.command"].state == states["vasp.potcars"].state == states["weights chgnet"].state == OK
    assert "CHGNet 0.3.0" in states["weights chgnet"].message


def test_synthetic_pseudopotentials_do_not_pass_as_vasps(site):
    check = found(site)["POTCAR contents"]
    assert check.state == NOTE and "not known to pymatgen" in check.message


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08torn", b"no pseudopotential"])
def test_broken_pseudopotentials_are_named(site, content):
    (site.folder / "potcars" / "POT_GGA_PAW_PBE" / "POTCAR.Na_pv.gz").unlink()
    (site.folder / "potcars" / "POT_GGA_PAW_PBE" / "POTCAR.Na_pv").write_bytes(content)
    check = found(site)["POTCAR contents"]
    assert check.state == MISSING and check.message.startswith("Na_pv in ")


def test_space_is_that_of_the_scratch_folder(site, tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("OF_THE_JOB", str(tmp_path / "scratch"))
    assert f"at {tmp_path / 'scratch'}" in found(site, scratch="$OF_THE_JOB")["space vasp.scratch"].message


def test_what_is_missing_for_vasp_is_named(site):
    states = found(site, command="srun_that_is_absent vasp_std", potcars="/nowhere", scratch="/nowhere/scratch")
    for name, words in {
        "vasp.command": "srun_that_is_absent is not on the PATH",
        "vasp.gamma_command": "vasp.command has a launcher (srun_that_is_absent), vasp.gamma_command has none",
        "vasp.potcars": "/nowhere/POT_GGA_PAW_PBE",
        "vasp.scratch": "/nowhere/scratch is no folder",
    }.items():
        assert states[name].state == MISSING and words in states[name].message


def test_pseudopotentials_of_the_elements_of_the_queue_are_looked_for(site):
    salt = Crystal("one", 4 * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([11, 17]))
    sections = shipped()
    assert len(elements_of("miad", sections)[0]) > 80
    write_crystals(Path("results/miad/dft/queue.jsonl"), [salt])
    assert elements_of("miad", sections)[0] == ["Cl", "Na"]
    (site.folder / "potcars" / "POT_GGA_PAW_PBE" / "POTCAR.Fe_pv.gz").unlink()
    assert found(site)["vasp.potcars"].state == OK
    (site.folder / "potcars" / "POT_GGA_PAW_PBE" / "POTCAR.Na_pv.gz").unlink()
    assert "lacks Na_pv" in found(site)["vasp.potcars"].message


def test_a_job_store_that_does_not_answer_is_missing(site):
    store = site.folder / "store.yaml"
    store.write_text("docs_store: {type: NoSuchStore, password: hunter2}")
    check = found(site, job_store=str(store))["vasp.job_store"]
    assert check.state == MISSING and "vasp.job_store cannot be used" in check.message
    assert "hunter2" not in check.message


def test_vasp_is_not_looked_for_without_dft(site):
    names = [check.name for check in checks({"miad": shipped()}, PROFILE)]
    assert "DFT" in names and not [name for name in names if name.startswith("vasp")]


def test_a_hull_is_checked_by_its_checksum(site):
    path = site.folder / "hull.csv"
    path.write_text("formula,energy\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    hull = dataclasses.replace(build(shipped(), Hull), source=str(path), checksum=f"sha256:{digest}")
    assert doctor.hull(hull).state == OK
    path.write_text("formula,energy\nx")
    assert doctor.hull(hull).state == MISSING
    path.unlink()
    assert doctor.hull(hull).state == MISSING and "does not exist" in doctor.hull(hull).message
    published = dataclasses.replace(hull, source="mp-2023-02-07", checksum=None)
    assert doctor.hull(published).state == NOTE and "will be downloaded" in doctor.hull(published).message


def test_partitions_of_the_profile_are_looked_for(site, monkeypatch):
    programs = site.folder / "programs"
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    program(programs, "sinfo", "echo cpu; echo gpu")
    assert slurm_partitions(PROFILE).state == OK
    program(programs, "sinfo", "echo cpu; echo debug")
    check = slurm_partitions(PROFILE)
    assert check.state == MISSING and "no partition gpu; there are cpu, debug" in check.message
    assert slurm_partitions(None) == check  # the profile that comes with the program
    program(programs, "sinfo", "echo no controller >&2; exit 1")
    check = slurm_partitions(PROFILE)
    assert check.state == MISSING and "no controller" in check.message


def test_a_profile_that_does_not_exist_is_missing(tmp_path):
    check = slurm_partitions(tmp_path / "absent")
    assert check.state == MISSING and "absent/config.yaml does not exist. Give --profile" in check.message


def test_a_cluster_that_does_not_answer_stops_nobody_who_did_not_ask_for_it(site, monkeypatch, capsys):
    programs = site.folder / "programs"
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    program(programs, "sinfo", "echo no controller >&2; exit 1")
    Path("config.yaml").write_text((ROOT / "config.yaml").read_text(encoding="utf-8"))
    assert main(["doctor"]) == 0
    assert re.search(r"note +Slurm +sinfo fails \(no controller\)", capsys.readouterr().out)
    assert main(["doctor", "--profile", str(PROFILE)]) == MiadError.EXIT_CODE


def test_partitions_are_found_at_any_depth():
    profile = {"default-resources": {"slurm_partition": "a"}, "set-resources": {"train": {"slurm_partition": "b"}}}
    assert partitions_named(profile) == {"a", "b"}


def test_packages_are_compared_with_the_pins(tmp_path):
    pins = tmp_path / "requirements.txt"
    pins.write_text(f"# pins\nnumpy=={np.__version__}; sys_platform == 'linux'\n")
    assert package_versions(pins).state == OK
    pins.write_text("numpy==0.1\n")
    assert package_versions(pins).state == NOTE and "instead of 0.1" in package_versions(pins).message
    pins.write_text("no-such-package==1\n")
    assert package_versions(pins).state == MISSING


def test_exit_codes_are_for_scripts(site, capsys):
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    Path("config.yaml").write_text(yaml.safe_dump(config))
    assert main(["doctor"]) == 0
    assert "ok       Python" in capsys.readouterr().out
    Path("config.yaml").write_text(yaml.safe_dump(merge(config, {"hull": {"source": "gone.csv"}})))
    assert main(["doctor"]) == MiadError.EXIT_CODE
    streams = capsys.readouterr()
    assert "MISSING  hull" in streams.out and "1 of" in streams.err


def test_the_config_that_is_checked_is_named_and_comes_with_miad_where_there_is_none(site, capsys):
    assert main(["doctor"]) == 0
    assert f"ok       config           {Path(miad.__file__).with_name('config.yaml')}" in capsys.readouterr().out
    Path("config.yaml").write_text((ROOT / "config.yaml").read_text(encoding="utf-8"))
    assert main(["doctor"]) == 0
    assert f"ok       config           {site.folder / 'config.yaml'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampel": {"stride": 4}}, "sampel is not a known key"),
        ({"relax": {"fmax": -0.1}}, "relax.fmax is -0.1, expected more than 0"),
        ({"dataset": {"name": "mine", "files": {"train": "gone.csv"}}}, "dataset.files.train: gone.csv is not a file"),
        ({"train": {"start_from": "gone.safetensors"}}, "train.start_from: gone.safetensors is not a file"),
    ],
)
def test_what_the_workflow_would_refuse_the_doctor_refuses(site, capsys, changes, said):
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    Path("config.yaml").write_text(yaml.safe_dump(merge(config, changes)))
    assert main(["doctor"]) == MiadError.EXIT_CODE
    streams = capsys.readouterr()
    assert said in streams.out + streams.err
