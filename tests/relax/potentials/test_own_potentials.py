"""A potential of one's own: one small class beside config.yaml and one entry in it."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml

from miad.core.crystal import Crystal, read_crystals, write_crystals
from miad.core.errors import MiadError
from miad.relax import step as relax
from miad.relax.potentials import potential as module
from miad.relax.potentials.potential import Potential
from miad.relax.potentials.register import potential, settings_of
from tests.builders.relaxation import SETTINGS
from tests.builders.tiny import ROOT

CLASS = """
from miad.relax.potentials.potential import Potential


class Argon(Potential):
    native_frame = "uncorrected"
    elements = frozenset({18})

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    @property
    def label(self) -> str:
        return f"Lennard-Jones {self.sigma}"

    def ase_calculator(self, device: str):
        from ase.calculators.lj import LennardJones

        return LennardJones(sigma=self.sigma, epsilon=0.0104, rc=8.0)
"""
ENTRY = """
argon: {class: "my_potentials:Argon", sigma: 3.4, fmax: 1.0e-3}
"""


class Raw(Potential):
    """A potential whose energies stay uncorrected if it is told so."""

    native_frame = label = "uncorrected"

    def __init__(self, frame: str) -> None:
        self.energy_frame = frame


def argon(name: str, edge: float, number: int = 18) -> Crystal:
    """Face-centred argon."""
    return Crystal(name, edge / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0.0]]), np.zeros((1, 3)), np.array([number]))


def test_a_class_and_an_entry_suffice(tmp_path):
    (tmp_path / "my_potentials.py").write_text(CLASS)
    settings = dataclasses.replace(SETTINGS, calculators=["argon"], potentials=yaml.safe_load(ENTRY), max_steps=300)
    write_crystals(tmp_path / "in.jsonl", [argon("a", 5.4), argon("b", 5.1), argon("neon", 4.4, 10)])
    command = [sys.executable, "-m", "miad", "relax", "--crystals", "in.jsonl", "--relaxed", "out.jsonl"]
    command += ["--calculator", "argon", "--settings", json.dumps(dataclasses.asdict(settings))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    one, other, neon = read_crystals(tmp_path / "out.jsonl")
    for found in (one, other):
        assert found.converged and found.calculator == "Lennard-Jones 3.4"
        assert (4 * found.volume) ** (1 / 3) == pytest.approx(1.5496 * 3.4, rel=0.02)  # the known fcc minimum
        assert found.energy_per_atom == pytest.approx(-8.61 * 0.0104, rel=0.2)  # a tenth is beyond the cutoff
        assert found.energy_frame == "mp2020"  # corrected, by nothing: it is an element
    assert one.energy_per_atom == pytest.approx(other.energy_per_atom, abs=1e-5)
    assert "does not know Ne" in neon.failure.reason


BROKEN = {
    "raises": ('raise ValueError("no such unit")', "the potential failed (ValueError: no such unit)"),
    "lies": ("self.results = dict(energy=np.nan, forces=0 * atoms.positions, stress=np.zeros(6))", "gave no number"),
    "kills": ("os.kill(os.getpid(), 9)", "the potential failed: its worker died with exit code -9"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_class_that_fails_on_everything_ends_the_step_and_is_tried_again_once_mended(tmp_path, monkeypatch, how):
    deed, said = BROKEN[how]
    head = "import os\nimport numpy as np\nfrom ase.calculators.lj import LennardJones\n"
    broken = f"\n\nclass Broken(LennardJones):\n    def calculate(self, atoms, *_):\n        {deed}\n"
    text = head + CLASS.replace("        from ase.calculators.lj import LennardJones\n", "")
    module = tmp_path / f"potential_that_{how}.py"
    module.write_text(text.replace("return LennardJones(", "return Broken(") + broken)
    monkeypatch.syspath_prepend(tmp_path)
    entry = {"argon": {"class": f"{module.stem}:Argon", "sigma": 3.4, "fmax": 1e-3}}
    settings = dataclasses.replace(SETTINGS, calculators=["argon"], potentials=entry, max_steps=300)
    write_crystals(tmp_path / "in.jsonl", [argon("neon", 4.4, 10), argon("a", 5.4)])
    files = {"crystals": tmp_path / "in.jsonl", "relaxed": tmp_path / "out.jsonl"}
    with pytest.raises(MiadError) as caught:
        relax.run(settings, **files, calculator="argon")
    assert "relax.potentials.argon: it relaxed none of 2 crystals and failed on 1 of them, e.g. a" in str(caught.value)
    assert said in str(caught.value) and not files["relaxed"].exists()
    if how == "raises":
        module.write_text(text)
        relax.run(settings, **files, calculator="argon")
        assert [one.converged for one in read_crystals(files["relaxed"])] == [None, True]


@pytest.mark.parametrize("how", [["-m"], ["-P", "-m"]])  # -P: as the command `miad`, which does not look in this folder
def test_the_class_is_found_however_miad_is_called(tmp_path, how):
    (tmp_path / "my_potentials.py").write_text(CLASS)
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config["relax"].update(calculators=["argon"], potentials=yaml.safe_load(ENTRY))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, *how, "miad", "doctor"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=300)
    assert "Lennard-Jones 3.4" in done.stdout, done.stderr


def test_the_documented_example_is_a_potential():
    text = module.__doc__
    body = text.split("beside config.yaml:\n")[1].split("and the entry")[0]
    names: dict = {}
    exec("\n".join(line[4:] for line in body.splitlines()), names)  # noqa: S102
    mace = names["Mace"](model=__file__)
    assert mace.native_frame == "uncorrected" and mace.energy_frame == "mp2020"
    entry = yaml.safe_load("\n".join(line[4:] for line in text.split("    relax:\n")[1].splitlines()[:3]))
    assert set(entry["potentials"]["mace"]) == {"class", "model", "fmax"}


def test_own_keys_lie_over_the_common_ones():
    settings = dataclasses.replace(SETTINGS, potentials={"chgnet": {"fmax": 0.02, "max_steps": 7}})
    assert settings_of(settings, "chgnet").fmax == 0.02 and settings_of(settings, "chgnet").max_steps == 7
    assert settings_of(settings, "eqv2").fmax == SETTINGS.fmax


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("mace", {}, "mace is not one of chgnet, eqv2"),
        ("mace", {"class": "no_such_module:Mace"}, r"relax\.potentials\.mace\.class: no_such_module:Mace cannot"),
        ("mace", {"class": "miad.relax.potentials.register:Mace"}, "Mace"),
        ("chgnet", {"sigma": 1.0}, "relax.potentials.chgnet: got an unexpected keyword argument 'sigma'"),
        ("chgnet", {"fmax": "wide"}, r"relax\.potentials\.chgnet\.fmax is 'wide', expected a number"),
    ],
)
def test_wrong_entries_are_told(name, options, said):
    with pytest.raises(MiadError, match=said):
        potential(name, options)
        settings_of(dataclasses.replace(SETTINGS, potentials={name: options}), name)


ODD = """
from miad.relax.potentials.potential import Potential

class Raises(Potential):
    native_frame, label = "mp2020", "x"
    def __init__(self):
        raise RuntimeError("no licence")

class WithoutLabel(Potential):
    native_frame = "mp2020"

class WithoutFrame(Potential):
    label = "x"

class OtherFrame(Potential):
    native_frame, label = "pbe", "x"

class NoPotential:
    pass
"""


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("Raises", r"fails with RuntimeError: no licence \(.*odd_potentials\.py, line 7\)"),
        ("WithoutLabel", "fails with TypeError.*label"),
        ("WithoutFrame", "fails with AttributeError.*native_frame"),
        ("OtherFrame", "frames pbe, mp2020; known are mp2020, uncorrected"),
        ("NoPotential", "is no subclass of miad.relax.potentials.potential.Potential"),
    ],
)
def test_classes_that_do_not_work_are_named_with_their_entry(tmp_path, monkeypatch, kind, said):
    (tmp_path / "odd_potentials.py").write_text(ODD)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MiadError, match=rf"relax\.potentials\.mine.*{said}"):
        potential("mine", {"class": f"odd_potentials:{kind}"})


@pytest.mark.parametrize("content", ["raise RuntimeError('at import')", "def x(:", "import sys; sys.exit(1)"])
def test_a_module_that_cannot_be_imported_is_named(tmp_path, monkeypatch, content):
    name = f"broken_{abs(hash(content))}"
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MiadError, match=r"relax\.potentials\.mine\.class: .* cannot be imported"):
        potential("mine", {"class": f"{name}:Mine"})


def test_the_frame_may_follow_from_the_settings():
    assert Raw("uncorrected").energy_frame == "uncorrected" and Potential.energy_frame == "mp2020"
