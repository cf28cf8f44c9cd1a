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
include: "workflow/rules/read.smk"
include: "workflow/rules/relax.smk"
include: "workflow/rules/hull.smk"
include: "workflow/rules/sun.smk"
include: "workflow/rules/metrics.smk"
include: "workflow/rules/metrics_table.smk"
include: "workflow/rules/dft.smk"
include: "workflow/rules/vasp.smk"
include: "workflow/rules/dft_energies.smk"
include: "workflow/rules/candidates.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/table.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        everything(),
