# The commands of the README and nothing else.
.PHONY: run test

# The rules call `python`: it has to be the one of .venv.
run: .venv/installed
	PATH="$(CURDIR)/.venv/bin:$$PATH" snakemake results/sun_table.csv

test: .venv/installed
	.venv/bin/python -m pytest

# torch first, with its dependencies; the pinned rest without (envs/requirements.txt says why)
.venv/installed: envs/requirements.txt pyproject.toml
	python3.11 -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r envs/requirements.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
