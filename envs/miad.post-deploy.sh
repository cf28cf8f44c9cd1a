#!/usr/bin/env bash
# Run by snakemake (--sdm conda) in the new environment of miad.yaml, from a copy in its folder of environments and in the
# folder that snakemake was started in. The Snakefile says in MIAD_ROOT where the repository is.
set -euo pipefail
root=${MIAD_ROOT:-$PWD}
if [ ! -f "$root/envs/install.sh" ]; then
    echo "$root/envs/install.sh does not exist. Set MIAD_ROOT to the folder of the Snakefile." >&2
    exit 1
fi
bash "$root/envs/install.sh" python
