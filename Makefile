# The commands of the README and nothing else.
.PHONY: run test docs test-slurm test-chaos test-dft

# The rules call `python`: it has to be the one of .venv. Snakemake's lock outlives a kill -9: `miad cancel` tells what a
# killed run has left from a run that is at work, whoever started it, and removes the former only.
run: export PATH := $(CURDIR)/.venv/bin:$(PATH)
run: .venv/installed
	@! ls .snakemake/locks/* >/dev/null 2>&1 || python -m miad cancel
	snakemake results/sun_table.csv results/report.html

# What takes seconds comes first. snakefmt calls shfmt, which is in .venv as well.
test: export PATH := $(CURDIR)/.venv/bin:$(PATH)
test: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/snakefmt --check Snakefile workflow
	.venv/bin/mypy
	.venv/bin/python -m pytest

# The guides as a site in build/site; a warning is an error. Nothing is loaded from elsewhere once the packages are there.
docs: .venv/installed
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r envs/requirements-docs.txt
	.venv/bin/python docs/pages.py
	.venv/bin/zensical build --strict --clean

# Installs and starts a Slurm of one node on this machine; needs root on Debian or Ubuntu, and says so elsewhere.
test-slurm: .venv/installed
	.venv/bin/python -m pytest -m slurm -s tests/workflow/slurm

# Many runs of the stand-in for VASP: six crystals from end to end, and the workflow killed in the middle.
test-dft: .venv/installed
	.venv/bin/python -m pytest -m vasp

test-chaos: .venv/installed
	.venv/bin/python -m pytest -m chaos -s tests/workflow/test_chaos.py

# A .venv that works is kept, whatever its Python. PYTHON=… says which one to make a new environment with.
.venv/installed: $(wildcard envs/requirements*.txt) envs/install.sh pyproject.toml
	@.venv/bin/python -c pass 2>/dev/null || { \
	    python="$(or $(PYTHON),$$(bash envs/python.sh))" && [ -n "$$python" ] && set -x && "$$python" -m venv --clear .venv; }
	bash envs/install.sh .venv/bin/python eqv2
	touch $@
