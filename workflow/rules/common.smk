# What the rules share: the checked runs of config.yaml. Where their files lie is in miad/config/layout.py.
import os
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)
# Read by envs/miad.post-deploy.sh, which snakemake runs from a copy elsewhere.
os.environ.update(MIAD_ROOT=str(workflow.basedir))

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from miad.cancel import sign
from miad.config import layout
from miad.config.resolve import is_read, read_config
from miad.config.sections import Relax, Sun, build, settings_json
from miad.core.errors import MiadError
from miad.dft.run_files import fingerprint
from miad.machine import moving_line
from miad.machine.os_processes import RUN
from miad.preflight.checks import check_runs, frames_compared, own_files
from miad.train.checkpoint import KEPT

RESULTS = Path("results")
# Inherited by all that is started from here, within jobs too: `miad cancel` finds what a killed run has left by it.
os.environ[RUN] = str(Path.cwd())
try:
    for path in workflow.configfiles:
        read_config(path)
    ASKED, EPOCHS = layout.runs_of_config(config, RESULTS)
    check_runs({run.name: run.sections for run in ASKED if not is_read(run.sections)})
    RUNS = {run.name: run for run in [*ASKED, *EPOCHS]}
    OWN_FILES = {name: own_files(run.sections) for name, run in RUNS.items()}
    REPLAYED = {name: [fingerprint(Path(path)) for path in files["vasp"]] for name, files in OWN_FILES.items()}
except MiadError as error:
    raise WorkflowError(str(error))

MAIN = ASKED[0]
READ = [run.name for run in ASKED if is_read(run.sections)]
if (RESULTS / "external").is_dir():
    logger.info(
        "results/external is of an earlier version and not used any more: crystals of other programs are in"
        " results/{name}. It can be deleted."
    )


onstart:
    try:
        sign(Path())
    except MiadError as error:
        raise WorkflowError(str(error))
    moving_line.begin(logger.handlers, Path.cwd())


wildcard_constraints:
    run="|".join(RUNS),
    calculator="[A-Za-z0-9_-]+",
    shard=r"\d+",
    chunk=r"\d+",


def at(step, file):
    """Where a step writes a file, as a pattern for the output of its rule."""
    return f"{RESULTS}/{layout.FILES[step][file]}"


def of(step, file):
    """Input function: a file of an earlier step of the run; of all shards and calculators that the rule does not name."""
    return lambda wildcards: [str(path) for path in RUNS[wildcards.run].files(step, file, **dict(wildcards))]


def judged(file):
    """Input function: a file of the sun step for each calculator of a run, and of DFT if that is enabled."""
    return lambda wildcards: [str(path) for path in RUNS[wildcards.run].judged(file)]


def read_by(step):
    """All that a step at the end reads."""
    return [str(path) for path in layout.read_by(step, ASKED, EPOCHS)]


def source(file):
    """Input function: a file of an entry of `external`, if it names it."""
    return lambda wildcards: RUNS[wildcards.run].sections["sample"][file] or []


def own(section):
    """Input function: the user's own files that a section names, so that an edited file is read again."""
    return lambda wildcards: OWN_FILES[wildcards.run][section]


def unrelaxed(wildcards):
    """Input function: the samples, or crystals of other programs with the energies that they carry."""
    return of("sample", "given" if wildcards.run in READ else "crystals")(wildcards)


def made_by(wildcards):
    """Input function: the files of train and sample that say what computed the network; crystals of other programs have none."""
    both = (("train", "readable"), ("sample", "trajectories"))
    return [] if wildcards.run in READ else [path for step, file in both for path in of(step, file)(wildcards)]


def flag_of_made_by(wildcards, input):
    """These files as a flag."""
    return ["--made-by", *input.made_by] if input.made_by else []


def ledger_of_dft(wildcards):
    """Input function: the ledger of the calculator that decides which crystals go to DFT."""
    run = RUNS[wildcards.run]
    return [str(path) for path in run.files("sun", "ledger", calculator=run.sections["dft"]["calculator"])]


def weights(wildcards):
    """The model to sample: the trained one, or one that the training kept on its way."""
    run = RUNS[wildcards.run]
    epoch = run.sections["sample"]["epoch"]
    return str(run.path("train", "model.safetensors" if epoch is None else f"checkpoints/{KEPT.format(epoch)}"))


def settings(section):
    """The settings of a section as JSON: a changed value reruns only the steps that read it."""
    return lambda wildcards: settings_json(RUNS[wildcards.run].sections, section)


def settings_of_calculator(wildcards):
    """The settings of relax for one calculator: a further calculator leaves what others relaxed as it is."""
    sections = RUNS[wildcards.run].sections
    own = {name: keys for name, keys in sections["relax"]["potentials"].items() if name == wildcards.calculator}
    one = {**sections["relax"], "calculators": [wildcards.calculator], "potentials": own}
    return settings_json({**sections, "relax": one}, "relax")


def relaxation(wildcards):
    """These settings for the record, unless crystals of other programs came with what they were relaxed from."""
    was_relaxed = RUNS[wildcards.run].sections["sample"].get("generated")
    return [] if was_relaxed else ["--relaxation", settings_of_calculator(wildcards)]


def frames_of(run):
    """The energy frame of each calculator of a run, as far as it has to be that of the hull."""
    return frames_compared(build(run.sections, Sun), build(run.sections, Relax))


def frames_flag(wildcards):
    """The energy frames that are compared with a hull, of all runs that share it and make their own samples."""
    sharing = [run for run in RUNS.values() if run.homes["hull"] == wildcards.run and run.name not in READ]
    frames = {frame for run in sharing for frame in frames_of(run).values()}
    return ["--frames", *sorted(frames)] if frames else []


def flags_of_read(wildcards):
    """The frame of the energies, the column of crystals, and what would relax crystals without any: refused now if it does not fit the hull."""
    run = RUNS[wildcards.run]
    stated = run.sections["sample"]["energy_frame"]
    flags = [f"--energy-frame={stated}"] if stated else []
    flags += [f"--column={column}" for column in [run.sections["sample"].get("column")] if column]
    for calculator, frame in frames_of(run).items():
        flags += [f"--calculator={calculator}", f"--relaxed-frame={frame}"]
    return flags


def everything():
    """What `all` makes; DFT and the older metrics where a run asks for them."""
    wanted = [at("table", "table"), at("report", "report")]
    wanted += [str(path) for run in ASKED for path in run.files("export", "export")]
    if any(run.sections["metrics"]["enabled"] for run in ASKED):
        wanted.append(at("metrics_table", "table"))
    rows = [str(path) for run in ASKED if run.has_dft for path in run.files("dft", "row")]
    if not rows:
        logger.info("DFT is not enabled (dft.enabled: false in config.yaml): the last stage is left out.")
    return wanted + rows
