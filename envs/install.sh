#!/usr/bin/env bash
# Install miad with its pinned packages into an environment of Python 3.11, 3.12 or 3.13:
#
#   envs/install.sh PYTHON [eqv2]
#
# The one place that knows how: make, conda (*.post-deploy.sh) and both container recipes call it.
set -euo pipefail
python=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
    echo "miad needs Python 3.11, 3.12 or 3.13; $python is $("$python" --version)." >&2
    exit 1
}
pip=("$python" -m pip install --quiet --disable-pip-version-check)
# The lists are complete and checked by their checksums, so that nothing is left to be resolved but the build of torch.
"${pip[@]}" --require-hashes --no-deps -r "$root/envs/requirements.txt"
"${pip[@]}" -r "$root/envs/requirements-torch.txt"
if [ "${2:-}" = eqv2 ]; then
    # fairchem-core 1.10 says that it needs a Python below 3.13, but works there (docs/potentials.md).
    "${pip[@]}" --require-hashes --no-deps --ignore-requires-python -r "$root/envs/requirements-eqv2.txt"
fi
"${pip[@]}" --no-deps --no-build-isolation -e "$root"
