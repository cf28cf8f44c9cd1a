#!/usr/bin/env bash
# Run by snakemake (--sdm conda) in the new environment of miad.yaml, from a copy in its folder of environments and in the
# folder that snakemake was started in. The Snakefile says in MIAD_ROOT where the repository is.
set -euo pipefail
root=${MIAD_ROOT:-$PWD}
if [ ! -f "$root/envs/requirements.txt" ]; then
    echo "$root/envs/requirements.txt does not exist. Set MIAD_ROOT to the folder of the Snakefile." >&2
    exit 1
fi
# torch first, with its dependencies; the pinned rest without (requirements.txt says why)
pip install torch==2.13.0
pip install --no-deps -r "$root/envs/requirements.txt"
pip install --no-deps --no-build-isolation -e "$root"
