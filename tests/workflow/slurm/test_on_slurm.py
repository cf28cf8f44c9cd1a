"""`snakemake --profile slurm all` on a real Slurm of one node, started from Debian's packages: make test-slurm.

The tiny workflow runs through the profile as it is shipped; only the waiting times are shorter. Steps are held by
SIGSTOP where a test has to act in the middle of one: no moment is guessed.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from miad.core.crystal import read_crystals
from miad.machine.slurm import jobs_of as jobs_in_queue
from tests.builders.at_work import processes, steps
from tests.builders.tiny import ROOT, Project
from tests.builders.vasp_stand_in.site import calls

pytestmark = pytest.mark.slurm
HERE = Path(__file__).resolve().parent
SHARDS = 3
SNAKEMAKE = ("snakemake", "--profile", "slurm")
MODEL, LOG = "results/miad/train/model.safetensors", "results/miad/train/train.log"
SAMPLES = [f"results/miad/sample/{shard}.jsonl" for shard in range(SHARDS)]
GPU_RULES = {"train", "sample", "relax"}
# Too little for CHGNet at the first attempt, enough at the second.
TIGHT = {"mem_mb": "350 if attempt == 1 else 4000"}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Path]:
    """The folder of a running Slurm; a skip that says why where none can be started."""
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("only root on Debian or Ubuntu can install and start a Slurm")
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # else Ctrl-C stays ignored where tests run in the background
    folder = tmp_path_factory.mktemp("cluster")
    start = time.monotonic()
    done = subprocess.run([HERE / "start.sh", folder], capture_output=True, text=True)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        print(f"\nSlurm is up after {time.monotonic() - start:.0f} s, packages included")
        # Locks of GPUs that nobody else on this machine has.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MIAD_GPU_LOCKS", str(folder / "locks"))
            yield folder
    finally:
        subprocess.run([HERE / "stop.sh", folder], check=True)


def new_project(folder: Path) -> Project:
    folder.mkdir()
    project = Project.create(folder)
    (folder / "slurm").symlink_to("profiles/slurm")
    project.configure({"sample": {"num_crystals": 6, "num_shards": SHARDS}})
    edit_profile(project, {"relax": TIGHT})
    return project


def edit_profile(project: Project, resources: dict[str, dict]) -> None:
    """Change resources of rules (None: take out) and shorten the waiting; --set-resources would replace them all."""
    path = project.folder / "slurm" / "config.yaml"  # the link, or what a copy has made of it
    profile = yaml.safe_load(path.read_text())
    for rule, changes in resources.items():
        changed = {**profile["set-resources"][rule], **changes}
        profile["set-resources"][rule] = {key: value for key, value in changed.items() if value is not None}
    profile |= {"slurm-init-seconds-before-status-checks": 1, "latency-wait": 10}
    path.write_text(yaml.safe_dump(profile, sort_keys=False))


def jobs_of(project: Project) -> list[dict[str, str]]:
    """All Slurm jobs of a project, ended ones too, in the order of their submission."""
    fields = {
        "job": "%i",
        "comment": "%k",
        "state": "%T",
        "partition": "%P",
        "memory": "%m",
        "gpus": "%b",
        "place": "%Z",
    }
    command = ["squeue", "--noheader", "--states=all", "--sort=i", "--format=" + "|".join(fields.values())]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [dict(zip(fields, line.split("|"), strict=True)) for line in lines]
    for row in rows:
        row["rule"] = row["comment"].removeprefix("rule_").partition("_wildcards_")[0]
    return [row for row in rows if row["place"] == str(project.folder)]


def wait_until(is_so: Callable[[], object], what: str, limit: float = 300.0) -> None:
    deadline = time.monotonic() + limit
    while not is_so():
        assert time.monotonic() < deadline, f"waited {limit:.0f} s in vain for: {what}\n{state_of_slurm()}"
        time.sleep(0.2)


def state_of_slurm() -> str:
    """The queue and the last lines of the controller's log, for whoever reads that a test has failed elsewhere."""
    queue = subprocess.run(["squeue", "--states=all", "--sort=i"], capture_output=True, text=True).stdout
    log = Path("/etc/slurm/slurm.conf").resolve().parents[1] / "log" / "slurmctld.log"
    return "\n".join([queue, *log.read_text().splitlines()[-40:]])


def hold(project: Project, num: int, is_ready: Callable[[], object]) -> None:
    """Stop `num` steps in the middle, once something is so: each at once, or one ends before the last is there."""
    held: set[int] = set()

    def are_held() -> bool:
        if is_ready():
            for pid in set(steps(project.folder)) - held:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                    held.add(pid)
        return len(held) >= num

    wait_until(are_held, f"{num} steps at work")


def log_of(project: Project) -> str:
    """The log of the training; none between two lives of its job."""
    path = project.folder / LOG
    return path.read_text() if path.exists() else ""


def checkpoint(project: Project) -> Path:
    return project.folder / "results/miad/train/checkpoints/last.safetensors"


def finish(process: subprocess.Popen) -> tuple[int, str]:
    """The exit code and all that was printed; snakemake looks ever more rarely at long jobs, so give it time."""
    output, _ = process.communicate(timeout=1500)
    return process.returncode, output


# ------------------------------------------------------------------------------------------------ a whole run


@pytest.fixture(scope="module")
def finished(cluster, tmp_path_factory) -> Project:
    """Everything, through the queue."""
    project = new_project(tmp_path_factory.mktemp("finished") / "project")
    code, output = finish(project.start(*SNAKEMAKE, "all"))
    assert code == 0, output
    return project


@pytest.fixture(scope="module")
def past_walltime(finished, tmp_path_factory) -> Iterator[tuple[Project, subprocess.Popen]]:
    """A training that hangs until its walltime is over; that takes some minutes, meanwhile the others work."""
    project = untrained(finished, tmp_path_factory.mktemp("walltime") / "project")
    edit_profile(project, {"train": {"runtime": "3 if attempt == 1 else 60", "gpu": 0, "slurm_partition": "cpu"}})
    process = project.start(*SNAKEMAKE, MODEL)
    hold(project, 1, checkpoint(project).exists)
    yield project, process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate()


def untrained(finished: Project, folder: Path) -> Project:
    """A copy without the training, which is to write a checkpoint every third of a second."""
    project = finished.copy(folder)
    shutil.rmtree(folder / "results/miad/train")
    project.configure({"train": {"checkpoint_minutes": 0.005, "num_epochs": 1200}})
    return project


def test_every_rule_ran_as_a_job_in_its_partition_with_its_gpus(finished):
    done = [job for job in jobs_of(finished) if job["state"] == "COMPLETED"]
    rules = [job["rule"] for job in done]
    assert set(rules) >= {"dataset", "infuse", "hull", "sun", "candidates", "report", *GPU_RULES}
    assert rules.count("sample") == rules.count("relax") == SHARDS
    for job in done:
        assert job["partition"] == ("gpu" if job["rule"] in GPU_RULES else "cpu"), job
    assert "sun_percent" in finished.text("results/sun_table.csv")


def test_no_two_jobs_held_the_same_gpu_and_both_gpus_were_used(finished, cluster):
    rule_of = {job["job"]: job["rule"] for job in jobs_of(finished)}
    holder: dict[str, str] = {}
    held: dict[str, list[str]] = {}
    for line in (cluster / "gpus.log").read_text().splitlines():
        event, job, devices = line.split()
        if job not in rule_of or devices == "-":
            continue
        for device in devices.split(","):
            if event == "prolog":
                assert device not in holder, f"job {job} got GPU {device} of job {holder[device]}"
                holder[device] = job
            else:
                assert holder.pop(device) == job
        held[job] = devices.split(",")
    by_rule = {rule: [devices for job, devices in held.items() if rule_of[job] == rule] for rule in GPU_RULES}
    assert {len(devices) for devices in by_rule["sample"] + by_rule["relax"]} == {1}
    assert {device for [device] in by_rule["sample"]} == {"0", "1"}
    assert set(held) <= {job for job, rule in rule_of.items() if rule in GPU_RULES}


def test_training_used_both_gpus_by_torchrun(finished):
    log = finished.text(LOG)
    assert "using GPU 0, 1" in log
    assert log.count("epochs trained: 400 in") == 2  # by two processes
    assert (finished.folder / MODEL).is_file()


def test_a_job_out_of_memory_is_retried_with_more(finished):
    relaxations = [job for job in jobs_of(finished) if job["rule"] == "relax"]
    for name in {job["comment"] for job in relaxations}:
        first, second = [job for job in relaxations if job["comment"] == name]
        assert (first["memory"], first["state"]) == ("350M", "FAILED")
        assert (second["memory"], second["state"]) == ("4000M", "COMPLETED")
        [log] = finished.folder.glob(f".snakemake/slurm_logs/rule_relax/*/{first['job']}.log")
        assert "exceeded memory limit" in log.read_text()


# ------------------------------------------------------------------------------------------------ interruptions


def test_preempted_trainings_go_on_from_their_checkpoints(finished, past_walltime, tmp_path):
    # In `gpu` jobs get a minute of grace: the training saves, ends, and snakemake submits it again. In `cpu` they
    # get none: Slurm kills the job and puts the same one back into the queue, where the last checkpoint is all it has.
    projects = {name: untrained(finished, tmp_path / name) for name in ("gpu", "cpu")}
    started = {}
    for name, project in projects.items():
        edit_profile(project, {"train": {"gpu": 1, "slurm_partition": name}})
        started[name] = project.start(*SNAKEMAKE, MODEL)
        hold(project, 1, checkpoint(project).exists)
    urgent = ["sbatch", "--parsable", "--partition=urgent", "--gpus=2", "--mem=100", "--output=/dev/null"]
    subprocess.run([*urgent, "--wrap=sleep 1"], check=True, capture_output=True, cwd=tmp_path)
    # In time: snakemake begins the second life of a job by removing the log of the first.
    wait_until(lambda: "stopped by a signal" in log_of(projects["gpu"]), "a training that saves")
    wait_until(lambda: jobs_of(projects["cpu"])[0]["state"] == "PENDING", "the preempted job back in the queue")
    # Slurm holds back a requeued job for two minutes; here it is wanted at once.
    job = jobs_of(projects["cpu"])[0]["job"]
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)
    for name, process in started.items():
        code, output = finish(process)
        assert code == 0, output
        assert "continuing at epoch" in projects[name].text(LOG)
        assert (projects[name].folder / MODEL).is_file()
    assert [job["state"] for job in jobs_of(projects["gpu"])] == ["FAILED", "COMPLETED"]
    assert [job["state"] for job in jobs_of(projects["cpu"])] == ["COMPLETED"]


def test_ctrl_c_cancels_the_queue_and_a_killed_snakemake_is_cleaned_up_by_one_command(
    finished, past_walltime, tmp_path
):
    project = finished.copy(tmp_path / "project")
    for shard in SAMPLES:
        (project.folder / shard).unlink()
    # Two shards at work on two GPUs, the third in the queue; then Ctrl-C.
    process = project.start(*SNAKEMAKE, *SAMPLES)
    hold(project, 2, lambda: True)
    wait_until(lambda: len(jobs_in_queue(project.folder)) == SHARDS, "three jobs")
    os.killpg(process.pid, signal.SIGINT)
    assert finish(process)[0] != 0
    wait_until(lambda: not jobs_in_queue(project.folder), "an empty queue")
    assert not steps(project.folder)
    # The same, but snakemake is killed: its jobs go on.
    process = project.start(*SNAKEMAKE, *SAMPLES)
    hold(project, 2, lambda: True)
    wait_until(lambda: len(jobs_in_queue(project.folder)) == SHARDS, "three jobs")
    code, output = project.run("python", "-m", "miad", "cancel")
    assert code != 0 and "Ctrl-C" in output  # not while snakemake is at work
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(jobs_in_queue(project.folder)) == SHARDS
    code, output = project.run("python", "-m", "miad", "cancel")
    assert code == 0 and "cancelled Slurm jobs" in output and "removed the lock" in output, output
    assert jobs_in_queue(project.folder) == [] and not processes(project.folder)
    assert not any((project.folder / shard).exists() for shard in SAMPLES)
    code, output = finish(project.start(*SNAKEMAKE, *SAMPLES))
    assert code == 0, output
    assert project.contents(*SAMPLES) == finished.contents(*SAMPLES)


def test_a_training_past_its_walltime_goes_on_in_the_next_job(past_walltime):
    project, process = past_walltime
    code, output = finish(process)
    assert code == 0, output
    assert [job["state"] for job in jobs_of(project)] == ["TIMEOUT", "COMPLETED"]
    assert "continuing at epoch" in project.text(LOG)


# ------------------------------------------------------------------------------------------------ DFT


def test_dft_runs_as_jobs_and_its_row_joins_the_table(finished, vasp_site, tmp_path):
    project = finished.copy(tmp_path / "project")
    project.configure({"dft": {"enabled": True}, "vasp": {**vasp_site.settings, "num_chunks": 2}})
    edit_profile(project, {"vasp": {"mpi": None, "tasks": None, "mem_mb": 4000}})  # the stand-in knows no MPI
    project.environment |= vasp_site.script(tmp_path / "script")
    code, output = finish(project.start(*SNAKEMAKE, "all"))
    assert code == 0, output
    jobs = jobs_of(project)
    assert [job["state"] for job in jobs if job["rule"] == "vasp"] == ["COMPLETED"] * 2
    assert {job["rule"] for job in jobs} >= {"dft", "vasp", "dft_energies", "report"}
    sent = read_crystals(project.folder / "results/miad/dft/queue.jsonl")
    # Relaxed twice, then a static run; custodian repeats a stage whose settings it mends.
    stages = Counter(stage for _, stage in calls(tmp_path / "script"))
    assert sent and set(stages) == {"relax_1", "relax_2", "static"} and min(stages.values()) >= len(sent)
    assert "stand-in for VASP, not DFT" in project.text("results/sun_table.csv")


def test_a_job_knows_when_its_walltime_ends(cluster, tmp_path):
    code = "from miad.machine.slurm import end_of_job as end; print(end())"
    ask = f"srun -n1 env -u SLURM_JOB_END_TIME {sys.executable} -c '{code}'"
    submit = ["sbatch", "--wait", "--time=30", "--mem=500", f"--output={tmp_path / 'end'}", f"--wrap={ask}"]
    begin = time.time()
    subprocess.run(submit, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert begin + 1795 < float((tmp_path / "end").read_text()) < time.time() + 1860
