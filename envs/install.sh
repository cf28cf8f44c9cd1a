#!/usr/bin/env bash
# Install miad with its pinned packages into the environment of a Python 3.11:
#
#   envs/install.sh PYTHON [eqv2]
#
# The one place that knows how: make, conda (*.post-deploy.sh) and both container recipes call it.
set -euo pipefail
python=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pip=("$python" -m pip install --quiet --disable-pip-version-check)
# torch first, with its dependencies; the pinned rest without (requirements.txt says why)
"${pip[@]}" torch==2.13.0
"${pip[@]}" --no-deps -r "$root/envs/requirements.txt"
if [ "${2:-}" = eqv2 ]; then
    "${pip[@]}" --no-deps -r "$root/envs/requirements-eqv2.txt"
fi
"${pip[@]}" --no-deps --no-build-isolation -e "$root"
