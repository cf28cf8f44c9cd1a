# Table of contents. The science is in config.yaml, the machine in profiles/, the code in miad/.
from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


# For --sdm apptainer only, and built by: apptainer build miad.sif envs/miad.def
container: "miad.sif"


include: "workflow/rules/common.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/infuse.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/relax.smk"
include: "workflow/rules/hull.smk"
include: "workflow/rules/sun.smk"
include: "workflow/rules/metrics.smk"
include: "workflow/rules/dft.smk"
include: "workflow/rules/external.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        "results/sun_table.csv",
        "results/report.html",
        expand("results/{run}/export", run=ASKED),
        dft_rows(),
        metrics_table(),
