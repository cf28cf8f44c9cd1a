"""The README, the guides and what else a person reads: commands, flags, settings and links in them exist."""

import re
import shlex
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from miad.__main__ import main
from miad.config.resolve import merge, resolve
from miad.relax.potentials.register import Potential
from tests.builders import ROOT
from tests.builders.tiny import Project

PAGES = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*.md"),
        *(ROOT / folder / "README.md" for folder in ("results", "profiles", "envs")),
        *(ROOT / "benchmarks").glob("*.md"),
    ]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


class Mace(Potential):
    """The class that docs/potentials.md names."""

    native_frame = "uncorrected"

    def __init__(self, model: str) -> None:
        self.model = model

    label = "MACE"


def text_of(name: str) -> str:
    """Text of a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str = "") -> list[str]:
    """The fenced blocks of a page in one language; commands have none."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text_of(name), re.MULTILINE | re.DOTALL)
    return [text for kind, text in fenced if kind == language]


def commands(name: str) -> Iterator[list[str]]:
    """Every command of a page, as words: the lines of blocks, and what inline code calls."""
    prose = re.sub(r"^```.*?^```", "", text_of(name), flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks(name) for line in block.splitlines()]
    for line in [*lines, *(re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", prose))]:
        if re.match(r"(python -m )?(miad|make|snakemake|envs/|python benchmarks/) ?\S", line):
            for part in re.split(r" && |\|", line):
                words = shlex.split(part.replace("…", ""), comments=True)
                yield words[2:] if words[:2] == ["python", "-m"] else words


def test_commands_are_found():
    found = [words[0] for name in NAMES for words in commands(name)]
    assert {"miad", "make", "snakemake"} <= set(found) and len(found) > 60


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(name)):
        if not re.match(r"https://", target):
            path, _, anchor = target.partition("#")
            page = (ROOT / name).parent / path
            assert page.exists(), target
            assert not anchor or anchor in page.read_text(encoding="utf-8").lower().replace(" ", "-"), target


@pytest.mark.parametrize("name", NAMES)
def test_every_command_of_miad_takes_its_flags(name, capsys):
    for words in commands(name):
        if words[0] != "miad" or words[1].startswith("-") or words[1].isupper():
            continue
        with pytest.raises(SystemExit) as ended:
            main([words[1], "--help"])
        text = capsys.readouterr().out
        assert ended.value.code == 0, words
        for word in words[2:]:
            assert not word.startswith("--") or re.search(rf"{word.partition('=')[0]}\b", text), words


@pytest.mark.parametrize("name", NAMES)
def test_every_program_and_profile_that_a_command_names_exists(name):
    for words in commands(name):
        if words[0].startswith(("python", "envs/")):
            path = words[1] if words[0] == "python" else words[0]
            assert (ROOT / path).exists(), words
        if "--profile" in words and "mine" not in (profile := words[words.index("--profile") + 1]):
            assert (ROOT / profile / "config.yaml").is_file(), words


def test_every_target_of_make_and_snakemake_is_one(tmp_path):
    (tmp_path / "clone").mkdir()
    project = Project.create(tmp_path / "clone")
    targets = {"make": set(), "snakemake": set()}
    for words in (words for name in NAMES for words in commands(name)):
        if words[0] in targets:
            targets[words[0]] |= {word for word in words[1:] if re.fullmatch(r"[a-z][\w./-]*|\{run\}", word)}
    assert {"run", "test", "docs", "test-slurm", "test-chaos", "test-dft"} <= targets["make"]
    code, output = project.run("make", "--dry-run", "-o", ".venv/installed", *sorted(targets["make"]))
    assert code == 0 and "snakemake results/sun_table.csv results/report.html" in output, output
    results = {word for word in targets["snakemake"] if word == "all" or word.startswith("results/")}
    results -= {"results/snakemake.html"}  # what --report writes
    assert {"all", "results/sun_table.csv", "results/metrics.csv"} <= results
    code, output = project.run("snakemake", *sorted(results), "--dry-run", "--quiet", "all")
    assert code == 0, output


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("docs/")])
def test_every_setting_of_the_guides_is_taken(name, monkeypatch):
    # The potential that a guide takes as its example.
    monkeypatch.setitem(sys.modules, "my_potentials", types.SimpleNamespace(Mace=Mace))
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    for block in blocks(name, "yaml"):
        resolve(merge(config, yaml.safe_load(block)))
    keys = {key for scale in ("laptop", "small", "paper") for key in flat(merge(config, config[scale]))} | flat(config)
    for key in re.findall(r"`([a-z]+\.[a-z_]+)(?:: [^`]*)?`", text_of(name)):
        if key.partition(".")[0] in config and not key.endswith((".yaml", ".csv", ".json", ".jsonl")):
            assert key in keys, key


def flat(config: dict) -> set[str]:
    """The keys of a config as section.key."""
    return {f"{name}.{key}" for name, section in config.items() if isinstance(section, dict) for key in section}


def test_the_readme_is_short_and_has_a_result_to_look_at():
    readme = text_of("README.md")
    assert len(readme.splitlines()) <= 75
    [picture] = re.findall(r"!\[.+\]\((docs/.+)\)", readme)
    assert (ROOT / picture).stat().st_size < 200_000
    assert {"run", "test"} <= {words[1] for words in commands("README.md") if words[0] == "make"}


def test_every_guide_is_in_the_list_of_guides():
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")} - {"index.md"}
    assert set(re.findall(r"\]\((\w[\w/-]*\.md)\)", text_of("docs/index.md"))) == pages
    site = yaml.safe_load(text_of("mkdocs.yml"))
    assert set(re.findall(r"[\w/-]+\.md", str(site["nav"]))) == pages | {"index.md", "notebook.md"}


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("docs/") and blocks(name, "python")])
def test_the_python_of_a_guide_runs(name, tmp_path, monkeypatch):
    """All blocks of a page, one after the other, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    variables: dict = {}
    for block in blocks(name, "python"):
        exec(block, variables)  # noqa: S102 (our own page)


def test_the_citation_is_complete_and_of_this_version():
    import miad

    citation = yaml.safe_load(text_of("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0" and citation["version"] == miad.__version__
    assert citation["license"] == "MIT" and citation["authors"] == [{"name": "The miad developers"}]
    method = citation["preferred-citation"]
    assert {"type", "title", "authors", "year"} <= set(method) and "2511.14426" in method["url"]
    for author in method["authors"]:
        assert f"{author['given-names'][0]}. {author['family-names']}" in text_of("README.md")


def test_the_changelog_has_this_version():
    import miad

    assert "## [Unreleased]" in text_of("CHANGELOG.md") and f"## [{miad.__version__}]" in text_of("CHANGELOG.md")


def test_github_runs_what_continuous_integration_runs():
    workflow = yaml.safe_load(text_of(".github/workflows/ci.yml"))
    steps = workflow["jobs"]["tests"]["steps"]
    [command] = [step["run"] for step in steps if "run" in step]
    assert command.endswith("bash .ci/run")
    assert re.findall(r"^make .+", text_of(".ci/run"), re.MULTILINE) == ["make test", "make docs"]


def test_the_forms_and_hooks_can_be_read():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert path.name == "config.yml" or {"name", "description", "body"} <= set(form)
    [local] = yaml.safe_load(text_of(".pre-commit-config.yaml"))["repos"]
    programs = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in local["hooks"]}
    checked = set(re.findall(r"\.venv/bin/(\w+)(?: format)? ", text_of("Makefile"))) | {"mypy"}
    assert local["repo"] == "local" and programs == checked - {"python", "zensical"}
    catalogue = yaml.safe_load(text_of(".snakemake-workflow-catalog.yml"))
    assert catalogue["usage"]["software-stack-deployment"]["conda"] is True


def test_no_page_names_a_folder_that_is_gone():
    for name in set(NAMES) - {"CHANGELOG.md"}:
        for path in re.findall(r"`((?:miad|tests|benchmarks|workflow|profiles|envs|docs)/[\w./*-]+)`", text_of(name)):
            assert list(Path(ROOT).glob(path.rstrip("/"))), (name, path)
