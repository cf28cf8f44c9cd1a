#!/usr/bin/env bash
# Run by snakemake after it has made the environment of miad.yaml; see requirements.txt for why in two steps.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pip install torch==2.13.0
pip install --no-deps -r "$here/requirements.txt"
