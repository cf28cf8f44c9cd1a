"""DFT jobs under the stand-in for VASP: custodian, atomate2 and jobflow are real, and so is what goes wrong."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure

from miad.core.crystal import Crystal, write_crystals
from miad.core.errors import MiadError
from miad.dft.calculation import NOT_DFT, Calculation, corrected, label, read_calculations
from miad.dft.vasp import step as vasp
from miad.dft.vasp.attempts import attempts
from miad.dft.vasp.ending import Ending
from miad.dft.vasp.flow import STAGES, stages
from miad.dft.vasp.store import open_store, task_document
from tests.builders import ROOT
from tests.builders.vasp_stand_in import potcars
from tests.builders.vasp_stand_in.chain import rock_salt
from tests.builders.vasp_stand_in.site import Site, calls


class Job:
    """One call of the step, in a folder of its own."""

    def __init__(self, folder: Path, site, structures: dict[str, Structure], *faults: dict, **changes) -> None:
        self.folder, self.settings = folder, site.vasp(**changes)
        self.script = folder / "script"
        self.environment = site.script(self.script, *faults)
        write_crystals(folder / "queue.jsonl", [Crystal.from_structure(*item) for item in structures.items()])

    def run(self, **changes) -> dict:
        """Run in this process; the calculations by id."""
        settings = replace(self.settings, **changes)
        arguments = {"queue": self.folder / "queue.jsonl", "folder": self.folder / "vasp", "chunk": 0}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            before = signal.getsignal(signal.SIGTERM)
            try:
                vasp.run(settings, calculations=self.folder / "0.jsonl", **arguments)
            finally:
                signal.signal(signal.SIGTERM, before)
        return {one.crystal_id: one for one in read_calculations(self.folder / "0.jsonl")}

    def start(self) -> subprocess.Popen:
        """Run in a process of its own, as snakemake does."""
        command = [
            sys.executable,
            "-m",
            "miad",
            "vasp",
            "--settings",
            json.dumps(asdict(self.settings)),
            "--chunk",
            "0",
        ]
        command += ["--queue", "queue.jsonl", "--calculations", "0.jsonl", "--folder", "vasp"]
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(ROOT)}
        with (self.folder / "log").open("w") as log:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)

    @property
    def calls(self) -> list[tuple[str, str]]:
        return calls(self.script)


# ------------------------------------------------------------------------------------------------ all goes well


@pytest.fixture(scope="module")
def finished(vasp_site, tmp_path_factory):
    """FeO, calculated without any fault; tests do not write to it."""
    job = Job(tmp_path_factory.mktemp("finished"), vasp_site, {"iron": rock_salt(4.3, "Fe", "O")})
    return job, job.run()["iron"]


def test_three_stages_in_order(finished):
    job, calculation = finished
    assert job.calls == [("FeO", stage) for stage in STAGES]
    assert calculation.failure is None and calculation.corrections == []
    assert calculation.core_hours == pytest.approx(3 / 3600)  # a second each, on one core
    assert calculation.entry["parameters"]["run_type"] == "GGA+U"
    assert calculation.entry["parameters"]["hubbards"]["Fe"] == 5.3


def test_energies_are_corrected_exactly_once(finished):
    from chgnet.model.model import CHGNet

    entry = corrected(finished[1])
    # The stand-in's raw energies are CHGNet's, which are corrected, less the correction.
    expected = CHGNet.load(use_device="cpu", verbose=False).predict_structure(entry.structure)["e"]
    assert entry.energy / len(entry.structure) == pytest.approx(float(expected), abs=1e-4)
    terms = {part.name: part.value for part in entry.energy_adjustments}
    assert terms == pytest.approx(
        {"MP2020 anion correction (oxide)": -0.687, "MP2020 GGA/GGA+U mixing correction (Fe)": -2.256}, abs=1e-6
    )


def test_stand_in_energies_are_never_called_dft(finished):
    assert not finished[1].is_dft and label([finished[1]]) == NOT_DFT


def test_inputs_and_outputs_are_archived_without_what_is_licensed(finished):
    job, calculation = finished
    with tarfile.open(job.folder / "vasp" / calculation.source) as archive:
        names = {Path(name).name for name in archive.getnames()}
        folders = {Path(name).parent.name for name in archive.getnames() if name.endswith("vasprun.xml.gz")}
    assert folders == set(STAGES)
    assert {"INCAR.gz", "KPOINTS.gz", "POSCAR.gz", "OUTCAR.gz", "POTCAR.spec.json", "custodian.json.gz"} <= names
    assert not {name for name in names if name.startswith(("POTCAR.gz", "POTCAR.orig", "WAVECAR", "CHG"))}
    assert not (job.folder / "vasp" / "work" / "iron").exists()


def test_task_documents_are_in_the_store(finished):
    job, _ = finished
    store = open_store(job.settings, job.folder / "vasp" / "store" / "iron.json")
    crystal = Crystal.from_structure("iron", rock_salt(4.3, "Fe", "O"))
    documents = [task_document(store, one.uuid) for one in stages(crystal, job.settings)]
    assert [document["task_type"] for document in documents] == ["Structure Optimization"] * 2 + ["Static"]
    assert all(document["state"] == "successful" for document in documents)


def test_a_finished_crystal_is_never_calculated_again(finished):
    job, calculation = finished
    before = job.calls
    assert job.run()["iron"] == calculation
    assert job.calls == before


# ------------------------------------------------------------------------------------------------ what goes wrong

CURED = {
    "unconverged": ("NaCl", "relax_1", 2, "Unconverged"),
    "zbrent": ("KCl", "relax_1", 2, "zbrent"),
    "crash": ("LiBr", "relax_2", 2, ""),
    "garbage": ("CaO", "static", 2, ""),
    "no_wavecar": ("MgO", "relax_1", 1, ""),
}
CRYSTALS = {
    "NaCl": rock_salt(5.7, "Na", "Cl"),
    "KCl": rock_salt(6.4, "K", "Cl"),
    "LiBr": rock_salt(5.5, "Li", "Br"),
    "CaO": rock_salt(4.85, "Ca", "O"),
    "MgO": rock_salt(4.25, "Mg", "O"),
}


@pytest.fixture(scope="module")
def cured(vasp_site, tmp_path_factory):
    """Five crystals, each with a fault that happens once."""
    faults = [
        {"kind": kind, "formula": formula, "stage": stage, "times": 1} for kind, (formula, stage, _, _) in CURED.items()
    ]
    job = Job(tmp_path_factory.mktemp("cured"), vasp_site, CRYSTALS, *faults)
    return job, job.run()


@pytest.mark.vasp
@pytest.mark.parametrize("kind", CURED)
def test_a_fault_that_happens_once_is_cured(cured, kind):
    job, done = cured
    formula, stage, times, named = CURED[kind]
    assert done[formula].failure is None and done[formula].entry is not None
    expected = {one: times if one == stage else 1 for one in STAGES}
    assert {one: job.calls.count((formula, one)) for one in STAGES} == expected
    assert any(named in correction for correction in done[formula].corrections) if named else True


@pytest.mark.vasp
def test_a_crystal_that_fails_for_good_keeps_a_row_with_the_reason(vasp_site, tmp_path):
    faults = [{"kind": "unconverged", "formula": "LiBr"}, {"kind": "crash", "formula": "CaO", "stage": "relax_2"}]
    structures = {name: CRYSTALS[name] for name in ("LiBr", "CaO")}
    job = Job(tmp_path, vasp_site, structures, *faults, max_errors=2, max_attempts=2)
    done = job.run()
    assert [done[name].entry for name in ("LiBr", "CaO")] == [None, None]
    assert done["LiBr"].failure.startswith("relax_1: custodian: max errors")
    assert "Unconverged" in done["LiBr"].failure or "NonConverging" in done["LiBr"].failure
    assert done["CaO"].failure == (
        "relax_2: custodian: VasprunXMLValidator found the outputs unusable; gave up after 2 attempts"
    )
    assert job.calls.count(("CaO", "relax_1")) == 1 and job.calls.count(("CaO", "relax_2")) == 2
    # Run again, nothing is submitted; with other settings, the failed stage and nothing before it.
    before = job.calls
    assert job.run() == done and job.calls == before
    job.script.write_text("[]")
    again = job.run(max_attempts=3)
    assert [again[name].failure for name in ("LiBr", "CaO")] == [None, None]
    assert job.calls.count(("CaO", "relax_1")) == 1


# ------------------------------------------------------------------------------------------------ killed and continued


def waited_for(path: Path, process: subprocess.Popen) -> None:
    """Wait until a stage has written a file."""
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.1)


@pytest.mark.vasp
def test_the_walltime_stops_a_stage_and_the_next_job_goes_on_from_contcar(vasp_site, tmp_path):
    start = rock_salt(6.0, "Na", "Cl")
    fault = {"kind": "walltime", "stage": "relax_1", "times": 1}
    # Half a minute until the walltime is near: a busy machine is slow to start.
    job = Job(tmp_path, vasp_site, {"NaCl": start}, fault, walltime=10.0, walltime_buffer=570.0)
    with pytest.raises(MiadError, match="walltime ends with 0 of 1 crystals"):
        job.run()
    assert not (tmp_path / "0.jsonl").exists()
    work = tmp_path / "vasp" / "work" / "NaCl"
    reached = Structure.from_file(work / "relax_1" / "CONTCAR")
    assert abs(reached.volume - start.volume) > 0.1
    seen = []
    original = vasp.run_stage

    def watched(job, folder, *arguments):
        original(job, folder, *arguments)
        seen.append(Structure.from_file(folder / "POSCAR.gz"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vasp, "run_stage", watched)
        done = job.run(walltime=None)
    assert done["NaCl"].failure is None
    assert seen[0].volume == pytest.approx(reached.volume, rel=1e-6)
    assert job.calls == [("NaCl", "relax_1"), ("NaCl", "relax_1"), ("NaCl", "relax_2"), ("NaCl", "static")]


@pytest.mark.vasp
def test_kill_9_repeats_no_finished_stage(vasp_site, tmp_path):
    structures = {"LiBr": CRYSTALS["LiBr"], "NaCl": CRYSTALS["NaCl"]}
    fault = {"kind": "hang", "formula": "NaCl", "stage": "relax_2", "times": 1}
    job = Job(tmp_path, vasp_site, structures, fault)
    process = job.start()
    contcar = tmp_path / "vasp" / "work" / "NaCl" / "relax_2" / "CONTCAR"
    waited_for(contcar, process)
    with pytest.raises(MiadError, match=r"the calculation of NaCl is in use by process \d+"):
        job.run()
    process.kill()
    process.wait()
    done = job.run()
    assert {one.failure for one in done.values()} == {None}
    expected = {("LiBr", stage): 1 for stage in STAGES} | {("NaCl", stage): 1 for stage in STAGES}
    assert {call: job.calls.count(call) for call in expected} == {**expected, ("NaCl", "relax_2"): 2}
    with tarfile.open(tmp_path / "vasp" / "archive" / "NaCl.tar.gz") as archive:
        assert "NaCl/relax_2.1/CONTCAR" in archive.getnames()
    # The killed attempt counts as far as it came.
    assert done["LiBr"].core_hours == pytest.approx(3 / 3600) and done["NaCl"].core_hours > 3.05 / 3600


def test_killed_too_often_is_given_up(vasp_site, tmp_path):
    job = Job(tmp_path, vasp_site, {"LiBr": CRYSTALS["LiBr"]}, max_attempts=2)
    work = tmp_path / "vasp" / "work" / "LiBr"
    for name in ("relax_1.1", "relax_1"):  # two attempts without a record of their ending
        (work / name).mkdir(parents=True)
    crystal = Crystal.from_structure("LiBr", CRYSTALS["LiBr"])
    (work / vasp.KEY).write_text(stages(crystal, job.settings)[-1].uuid)
    assert job.run()["LiBr"].failure == (
        "relax_1: killed from outside, perhaps for lack of memory; gave up after 2 attempts"
    )
    assert job.calls == [] and len(attempts(work / "relax_1")) == 2


@pytest.mark.vasp
def test_orderly_stops_do_not_count(vasp_site, tmp_path):
    job = Job(tmp_path, vasp_site, {"LiBr": CRYSTALS["LiBr"]}, {"kind": "hang", "times": 2}, max_attempts=1)
    for count in range(2):
        process = job.start()
        waited_for(Path(f"{job.script}.0.{count}"), process)  # the stand-in's mark: it hangs from now on
        process.terminate()
        assert process.wait() in (-signal.SIGTERM, 128 + signal.SIGTERM)
    assert job.run()["LiBr"].failure is None
    assert job.calls.count(("LiBr", "relax_1")) == 3


def test_another_structure_under_the_same_id_starts_afresh(tmp_path):
    work = tmp_path / "LiBr"
    (work / "relax_1").mkdir(parents=True)
    (work / vasp.KEY).write_text("one")
    vasp.clear_others(work, "one")
    assert (work / "relax_1").exists()
    vasp.clear_others(work, "other")
    assert not work.exists()


@pytest.mark.vasp
def test_a_job_store_may_be_shared_by_several_folders(vasp_site, tmp_path):
    spec = {"docs_store": {"type": "JSONStore", "paths": str(tmp_path / "shared.json"), "read_only": False}}
    (tmp_path / "store.json").write_text(json.dumps(spec))
    job = Job(tmp_path, vasp_site, {"LiBr": CRYSTALS["LiBr"]}, job_store=str(tmp_path / "store.json"))
    first = job.run()["LiBr"]
    (tmp_path / "vasp").rename(tmp_path / "elsewhere")
    second = job.run()["LiBr"]
    assert second.entry == first.entry and second.source == "job store" and len(job.calls) == 3
    assert second.core_hours is None  # it was not spent here
    # Only some stages are there: they are calculated again, for want of files to go on from.
    last = stages(Crystal.from_structure("LiBr", CRYSTALS["LiBr"]), job.settings)[-1].uuid
    shared = json.loads((tmp_path / "shared.json").read_text())
    (tmp_path / "shared.json").write_text(json.dumps([one for one in shared if one["uuid"] != last]))
    assert job.run()["LiBr"].failure is None and len(job.calls) == 6


# ------------------------------------------------------------------------------------------------ what cannot run


def test_a_missing_program_is_said_at_once(vasp_site, tmp_path):
    job = Job(tmp_path, vasp_site, {"LiBr": CRYSTALS["LiBr"]}, command="vasp_that_is_not_there")
    with pytest.raises(MiadError, match=r"vasp\.command: vasp_that_is_not_there is not on the PATH"):
        job.run()


def test_a_job_too_short_for_any_stage_is_said_at_once(tmp_path):
    job = Job(tmp_path, Site(tmp_path), {"LiBr": CRYSTALS["LiBr"]}, walltime=10.0, walltime_buffer=600.0)
    with pytest.raises(MiadError, match=r"the job has 10 minutes left, but .* no stage can start"):
        job.run()


def test_a_vasp_that_never_starts_is_not_the_crystals_fault(tmp_path):
    potcars.write(tmp_path / "potcars")
    program = tmp_path / "vasp_std"
    program.write_text("#!/bin/sh\necho 'no licence here' >&2\nexit 1\n")
    program.chmod(0o755)
    structures = {name: CRYSTALS[name] for name in ("NaCl", "LiBr")}
    job = Job(tmp_path, Site(tmp_path), structures, command=str(program), gamma_command=None)
    with pytest.raises(MiadError, match=r"no output for any of the first 2 crystals\. It said: no licence here"):
        job.run()
    assert not (tmp_path / "0.jsonl").exists() and not list((tmp_path / "vasp" / "work").iterdir())


# ------------------------------------------------------------------------------------------------ a parser that fails


def test_a_parser_that_fails_is_not_the_crystals_fault(vasp_site, tmp_path):
    """VASP has finished; it is not run again, whatever becomes of the parser."""

    def broken(*arguments, **keywords):
        raise KeyError("a key of another version")

    job = Job(tmp_path, vasp_site, {"NaCl": CRYSTALS["NaCl"]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atomate2.vasp.jobs.base.get_vasp_task_document", broken)
        with pytest.raises(MiadError, match=r"fails alike on 1 crystals .*KeyError in test_step\.py, line \d+"):
            job.run(max_alike=1)
        assert not (tmp_path / "0.jsonl").exists()
        first = job.calls
        done = job.run(max_alike=3)  # more than there are: it keeps a row
    assert first == [("NaCl", "relax_1")] and job.calls == first
    assert done["NaCl"].failure.startswith("parse: relax_1: KeyError in test_step.py, line ")
    assert len(done["NaCl"].failure) < 300 and done["NaCl"].failure.endswith("once the parser is mended")
    traceback = tmp_path / "vasp" / "work" / "NaCl" / "relax_1.traceback.txt"
    assert "Traceback" in traceback.read_text() and "a key of another version" in traceback.read_text()
    assert not (tmp_path / "vasp" / "work" / "NaCl" / vasp.FAILED).exists()
    assert job.run()["NaCl"].failure is None
    assert job.calls == [("NaCl", stage) for stage in STAGES]


def test_a_job_stops_only_where_the_first_crystals_all_fail_alike(tmp_path):
    done = [Calculation(name, failure="parse: why") for name in "abc"]

    def says(**where: str) -> bool:
        for name, text in where.items():
            (tmp_path / name / "relax_2").mkdir(parents=True, exist_ok=True)
            Ending("unparsed", "why", text).write(tmp_path / name / "relax_2")
        try:
            vasp._check_parsed(done, 3, tmp_path)
        except MiadError as error:
            return "KeyError in a.py" in str(error)
        return False

    assert not says(a="KeyError in a.py", b="KeyError in a.py")  # c failed otherwise
    assert not says(c="TypeError in b.py")
    assert says(c="KeyError in a.py")
    done[0] = Calculation("a", entry={"energy": -1.0})
    assert not says()


# ------------------------------------------------------------------------------------------------ one alone


HOSTILE = [
    "../../precious",
    "/etc/precious",
    "",
    ".",
    "..",
    "a/../../precious",
    "-rf",
    "x" * 300,
    "ä",
    "a\nb",
    "a\x00b",
]


@pytest.mark.parametrize("identity", HOSTILE)
def test_an_id_never_leads_out_of_the_folder(identity, tmp_path, monkeypatch):
    """`clear_others` removes a folder, `locked`, the store and the stages write."""
    kept = tmp_path / "vasp" / "precious", tmp_path / "precious", tmp_path / "vasp" / "work" / "other"
    for folder in kept:
        folder.mkdir(parents=True)
        (folder / "thesis").write_text("years")

    def fail(job, folder, *arguments):
        folder.mkdir(parents=True)
        raise vasp.StageFailed("enough")

    monkeypatch.setattr(vasp, "run_stage", fail)
    crystal = Crystal.from_structure(identity, CRYSTALS["NaCl"])
    done = vasp.calculate(crystal, Site(tmp_path).vasp(), tmp_path / "vasp", None)
    assert done.crystal_id == identity and done.failure == "relax_1: enough"
    assert all((folder / "thesis").read_text() == "years" for folder in kept)
    (work,) = [one for one in (tmp_path / "vasp" / "work").iterdir() if one.name != "other"]
    assert (work / "relax_1").is_dir()
    assert {one.name for one in tmp_path.iterdir()} == {"vasp", "precious"}


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_cell_that_is_no_number_never_reaches_spglib(odd, tmp_path):
    crystal = Crystal.from_structure("a", CRYSTALS["NaCl"])
    broken = crystal.replace(lattice=np.full((3, 3), odd))
    done = vasp.calculate(broken, Site(tmp_path).vasp(), tmp_path / "vasp", None)
    assert done.failure.startswith("inputs: a lattice vector or coordinate is not a finite number")
    assert list(tmp_path.iterdir()) == []


def document(**changes) -> dict:
    """What is read of the task document of a static stage."""
    spec = [{"titel": f"PAW_PBE {symbol} 01Jan2000"} for symbol in ("Na_pv", "Cl")]
    known = {
        "calcs_reversed": [{"input": {"potcar_spec": spec}, "vasp_version": "6.4.2"}],
        "entry": {"parameters": {"run_type": "GGA"}},
        "structure": CRYSTALS["NaCl"].as_dict(),
        "output": {"energy": -6.8},
    }
    return {**known, **changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"output": {"energy": float("nan")}}, "static: the energy is no finite number"),
        ({"output": {"energy": 900.0}}, "static: no crystal has an energy of 450 eV/atom"),
        ({"output": {}}, "parse: static: the task document is not as expected (KeyError"),
        ({"calcs_reversed": []}, "parse: static: the task document is not as expected (IndexError"),
    ],
)
def test_results_of_vasp_pass_the_gate_and_fail_alone(changes, said, tmp_path, monkeypatch):
    monkeypatch.setattr(vasp, "_static_document", lambda *arguments: document(**changes))
    crystal = Crystal.from_structure("a", CRYSTALS["NaCl"])
    done = vasp.calculate(crystal, Site(tmp_path).vasp(), tmp_path / "vasp", None)
    assert done.entry is None and done.failure.startswith(said)
    monkeypatch.setattr(vasp, "_static_document", lambda *arguments: document())
    assert vasp.calculate(crystal, Site(tmp_path).vasp(), tmp_path / "vasp", None).entry["energy"] == -6.8


def test_a_damaged_archive_costs_its_notes_alone(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"torn")
    found = vasp.as_calculation("a", document(), tmp_path / "a.tar.gz")
    assert found.entry["energy"] == -6.8 and found.core_hours is None
