#!/usr/bin/env bash
# Write envs/requirements*.txt anew from the dependencies in pyproject.toml:
#
#   envs/lock.sh [--upgrade]
#
# Needs uv. Versions stay as they are where they still fit, and become the newest with --upgrade. The lists hold for Python
# 3.11 to 3.13 on every platform, and name the checksums of the packages' files. requirements-torch.txt is written by hand.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
compile=(uv pip compile --quiet --no-annotate --no-header --generate-hashes)
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# torch and its triton are installed apart (requirements-torch.txt), since the builds for CPUs and GPUs need other packages.
# Of chemiscope the program of its viewer is used, not the widgets for notebooks.
for package in torch triton anywidget ipywidgets; do
    echo "$package; sys_platform == 'none'"
done >"$work/left-out.txt"
# What every build of torch needs; setuptools builds miad itself too.
printf '%s\n' filelock fsspec jinja2 networkx setuptools sympy typing-extensions >"$work/torch.in"
universal=(--universal --python-version 3.11 --override "$work/left-out.txt" ../pyproject.toml "$work/torch.in" --extra test)

# Markers that are true for every Python that pyproject.toml allows, and packages of no platform, say nothing.
tidy() {
    sed -E "s/ ; python_full_version < '3\.14' and / ; /; s/ ; python_full_version < '3\.14'//" "$1" |
        awk "/^[a-z]/ { drop = /sys_platform == 'none'/ } !drop"
}

cp requirements.txt "$work/all.txt"
"${compile[@]}" "${universal[@]}" -o "$work/all.txt" "$@" >/dev/null
{
    echo "# Everything that miad runs on but torch and eqV2. Written by envs/lock.sh, installed by envs/install.sh."
    tidy "$work/all.txt"
} >"$work/requirements.txt"

# The names of packages that other lists have, as options that leave them out.
left_out() { grep -ohE '^[a-z][a-z0-9-]*' "$@" | sed 's/^/--no-emit-package /'; }
cp requirements-eqv2.txt "$work/eqv2.txt"
# shellcheck disable=SC2046 (one word each)
"${compile[@]}" "${universal[@]}" --extra eqv2 -c "$work/all.txt" $(left_out "$work/requirements.txt") -o "$work/eqv2.txt" "$@" >/dev/null
{
    echo "# What eqV2 needs beside requirements.txt. Written by envs/lock.sh, installed by envs/install.sh PYTHON eqv2."
    tidy "$work/eqv2.txt"
    # Its own pins are stale, and it has to be read by itself: no resolver can satisfy them.
    echo "fairchem-core==1.10.0" | "${compile[@]}" --no-deps --python-version 3.12 -
} >"$work/requirements-eqv2.txt"

[ ! -e requirements-docs.txt ] || cp requirements-docs.txt "$work/docs.txt"
# shellcheck disable=SC2046 (one word each)
"${compile[@]}" "${universal[@]}" --extra docs -c "$work/eqv2.txt" -c "$work/all.txt" $(left_out "$work/requirements.txt") \
    -o "$work/docs.txt" "$@" >/dev/null
{
    echo "# What the site of the guides needs beside requirements.txt. Written by envs/lock.sh, installed by make docs."
    tidy "$work/docs.txt"
} >"$work/requirements-docs.txt"
mv "$work"/requirements*.txt .
