# What the rules share: the checked settings of every run, and where the results of a step live.
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)
# Read by envs/miad.post-deploy.sh, which snakemake runs from a copy elsewhere.
os.environ.update(MIAD_ROOT=str(workflow.basedir))

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from miad.config import resolve as layers
from miad.cancel import sign
from miad.train.checkpoint import KEPT
from miad.config.sections import Relax, Sun, build, settings_json
from miad.core.errors import MiadError
from miad.dft.replay import fingerprint
from miad.preflight.checks import check_runs, frames_compared, own_files

try:
    for path in workflow.configfiles:
        layers.read_config(path)
    ASKED = layers.resolve(config)
    check_runs(ASKED)
    RUNS = {**ASKED, **layers.kept_runs(ASKED)}
    OWN_FILES = {run: own_files(sections) for run, sections in RUNS.items()}
    REPLAYED = {run: [fingerprint(Path(path)) for path in files["vasp"]] for run, files in OWN_FILES.items()}
except MiadError as error:
    raise WorkflowError(str(error))

MAIN = next(iter(RUNS))
HOMES = layers.homes(RUNS)
EXTERNAL = config.get("external") or {}


onstart:
    sign(Path())


wildcard_constraints:
    name="|".join(EXTERNAL) or "-",
    run="|".join(RUNS),
    calculator="[A-Za-z0-9_-]+",
    shard=r"\d+",
    chunk=r"\d+",


def settings(section):
    """The settings of a section as JSON: a changed value reruns only the steps that read it."""
    return lambda wildcards: settings_json(RUNS[wildcards.run], section)


def settings_of_calculator(wildcards):
    """The settings of relax for one calculator: a further calculator leaves what others relaxed as it is."""
    sections = RUNS[wildcards.run]
    own = {name: keys for name, keys in sections["relax"]["potentials"].items() if name == wildcards.calculator}
    one = {**sections["relax"], "calculators": [wildcards.calculator], "potentials": own}
    return settings_json({**sections, "relax": one}, "relax")


def weights_of_calculator(wildcards):
    """Input function: the user's own files that a calculator reads."""
    return OWN_FILES[wildcards.run].get(f"relax.{wildcards.calculator}", [])


def own(section):
    """Input function: the user's own files that a section names, so that an edited file is read again."""
    return lambda wildcards: OWN_FILES[wildcards.run][section]


def home(run, step):
    """The run in whose folder a run's results of this step are: runs share what they have in common."""
    return HOMES[step][run]


def result(step, name):
    """Input function: a file of an earlier step, in the folder of the run that makes it."""
    return lambda wildcards: "results/{}/{}/{}".format(home(wildcards.run, step), step, name.format(**dict(wildcards)))


def weights(wildcards):
    """The model to sample: the trained one, or one that the training kept on its way."""
    epoch = RUNS[wildcards.run]["sample"]["epoch"]
    name = "model.safetensors" if epoch is None else f"checkpoints/{KEPT.format(epoch)}"
    return f"results/{home(wildcards.run, 'train')}/train/{name}"


def shards(step, name):
    """Input function: one file per shard of an earlier step."""
    return lambda wildcards: [
        "results/{}/{}/{}".format(
            home(wildcards.run, step),
            step,
            name.format(shard=shard, **dict(wildcards)),
        )
        for shard in range(RUNS[wildcards.run]["sample"]["num_shards"])
    ]


def frames_flag(wildcards):
    """The energy frames that are compared with a hull, of all runs that share it."""
    frames = set()
    for run in RUNS:
        if home(run, "hull") == wildcards.run:
            frames.update(frames_compared(build(RUNS[run], Sun), build(RUNS[run], Relax)).values())
    return ["--frames", *sorted(frames)] if frames else []


def of_calculators(name):
    """Input function: a file of the sun step for each calculator of a run, and of DFT if that is enabled."""
    return lambda wildcards: [
        f"results/{home(wildcards.run, 'sun')}/sun/{calculator}/{name}"
        for calculator in RUNS[wildcards.run]["relax"]["calculators"]
    ] + of_dft(wildcards.run, name)


def judged(name, runs):
    """A file of the sun step of all these runs and their calculators, and of crystals of other programs."""
    own = [
        f"results/{home(run, 'sun')}/sun/{calculator}/{name}"
        for run in runs
        for calculator in RUNS[run]["relax"]["calculators"]
    ]
    own += [path for run in runs for path in of_dft(run, name)]
    return own + expand(f"results/external/{{name}}/{name}", name=EXTERNAL)


def names_of(runs):
    """The runs that the files of `judged` belong to, in its order: a shared file names only the run that made it."""
    own = [run for run in runs for _ in RUNS[run]["relax"]["calculators"]]
    return [*own, *(run for run in runs for _ in of_dft(run, "row.json")), *EXTERNAL]


def of_runs(name):
    """A file in the folder of each run, and of each entry of `external`."""
    return expand(f"results/{name}", run=[*ASKED, *(f"external/{name}" for name in EXTERNAL)])


def made(step, name, shard=0):
    """A file of an earlier step of each run that has this shard; runs that share the step name the same one."""
    having = [run for run in ASKED if shard < RUNS[run]["sample"]["num_shards"]]
    return list(dict.fromkeys(f"results/{home(run, step)}/{step}/{name}" for run in having))


def of_dft(run, name):
    """A file of DFT for a run, if that is enabled; kept models are not worth so much."""
    is_wanted = run in ASKED and RUNS[run]["dft"]["enabled"]
    return [f"results/{home(run, 'vasp')}/dft/{name}"] if is_wanted else []


def dft_rows():
    """What the last stage adds to `all`: nothing, and a word about it, unless DFT is enabled."""
    rows = [row for run in ASKED for row in of_dft(run, "row.json")]
    if not rows:
        logger.info("DFT is not enabled (dft.enabled: false in config.yaml): the last stage is left out.")
    return rows


def chunks_of_vasp(wildcards):
    """Input function: the calculations of all chunks of the queue for DFT."""
    chunks = range(RUNS[wildcards.run]["vasp"]["num_chunks"])
    return [f"results/{home(wildcards.run, 'vasp')}/vasp/chunks/{chunk}.jsonl" for chunk in chunks]


def ledger_of_dft(wildcards):
    """The ledger of the calculator that decides which crystals go to DFT."""
    calculator = RUNS[wildcards.run]["dft"]["calculator"]
    return f"results/{home(wildcards.run, 'sun')}/sun/{calculator}/ledger.jsonl"


def evaluation_settings(wildcards):
    """The sections that judge crystals of other programs, those of the main run."""
    sections = {name: json.loads(settings_json(RUNS[MAIN], name)) for name in ("hull", "relax", "sun", "report")}
    return json.dumps(sections, sort_keys=True)


def evaluation_flags(wildcards):
    """What an entry of `external` says besides its files."""
    entry = EXTERNAL[wildcards.name]
    return [f"--{key.replace('_', '-')}={entry[key]}" for key in ("calculator", "energy_frame") if key in entry]


def metrics_table():
    """What the metrics of appendix E add to `all`: nothing, unless a run asks for them."""
    is_wanted = any(sections["metrics"]["enabled"] for sections in RUNS.values())
    return ["results/metrics.csv"] if is_wanted else []


def as_generated(wildcards):
    """Input function: the crystals of an entry of `external` before relaxation, as far as it tells them apart."""
    entry = EXTERNAL[wildcards.run]
    return entry.get("generated", entry["crystals"])


def generated_of(wildcards):
    """Input function: as-generated crystals of an entry of `external`, if it names them."""
    return EXTERNAL[wildcards.name].get("generated", [])
