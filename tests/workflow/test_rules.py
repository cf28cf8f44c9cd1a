"""The workflow layer as it is written: rules and profiles; nothing is run."""

import os
import re
import shutil

import pytest
import yaml

from tests.builders.tiny import ROOT, Project


@pytest.fixture
def project(tmp_path) -> Project:
    """A folder of its own with the workflow, nothing computed."""
    (tmp_path / "project").mkdir()
    return Project.create(tmp_path / "project")


def rules() -> dict[str, str]:
    """The text of every rule, comments left out."""
    found = {}
    for path in [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]:
        text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for block in re.split(r"^(?=rule )", text, flags=re.MULTILINE)[1:]:
            found[block.split()[1].rstrip(":")] = block
    return found


def test_every_rule_calls_its_step_with_log_and_environment():
    steps = {name: text for name, text in rules().items() if name != "all"}
    chain = {"dataset", "infuse", "train", "sample", "relax", "hull", "sun", "candidates", "table", "dft", "read"}
    chain |= {"compare", "figures", "report", "export"}
    assert chain <= set(steps)
    for name, text in steps.items():
        assert f"python -m miad {name if name in chain else ''}" in text
        assert "{log:q} 2>&1" in text and re.search(r"^    log:", text, re.MULTILINE)
        [environment] = re.findall(r"conda:\s+\"(.+)\"", text)
        assert (ROOT / "workflow" / "rules" / environment).is_file()
        assert not re.search(r"^    (run|script|notebook|wrapper):", text, re.MULTILINE)


def test_the_snakefile_is_a_table_of_contents():
    assert len((ROOT / "Snakefile").read_text(encoding="utf-8").splitlines()) <= 40


def test_lint_and_format_are_clean(project):
    code, output = project.run("snakemake", "--lint")
    assert code == 0 and "in a good condition" in output, output
    paths = [str(ROOT / "Snakefile"), str(ROOT / "workflow" / "rules")]
    code, output = project.run("snakefmt", "--config", str(ROOT / "pyproject.toml"), "--check", *paths)
    assert code == 0, output


def test_slurm_selects_the_paper_scale_and_downloads_nothing(tmp_path):
    (tmp_path / "clone").mkdir()
    project = Project.create(tmp_path / "clone")
    for name in ("config.yaml", "profiles/default/config.yaml"):
        shutil.copy(ROOT / name, project.folder / name)
    (project.folder / "slurm").symlink_to(os.readlink(ROOT / "slurm"))
    # A value of one's own is added to the scale and does not replace it.
    command = ["snakemake", "--profile", "slurm", "--dry-run", "--printshellcmds", "all", "--config", "seed=7"]
    code, output = project.run(*command)
    assert code == 0, output
    assert '"name": "mp_20"' in output and '"hidden_dim": 512' in output and '"num_crystals": 10000' in output
    assert '"seed": 7' in output
    # Jobs ask for their own cores, however few the login node has.
    assert "threads: 8" in output and "slurm_partition=" in output
    assert not (project.folder / "cache").exists() and not (project.folder / "results").exists()


def test_the_profiles_name_rules_that_exist():
    for name in ("slurm", "gpus"):
        profile = yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text(encoding="utf-8"))
        assert set(profile["set-resources"]) <= set(rules())


def test_no_job_asks_slurm_for_more_time_than_the_site_allows():
    import yte

    text = (ROOT / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8")
    assert "longest_job: 1440 " in text
    profile = yte.process_yaml(text.replace("longest_job: 1440 ", "longest_job: 50 "))
    asked = {name: own["runtime"] for name, own in profile["set-resources"].items() if "runtime" in own}
    asked["default"] = profile["default-resources"]["runtime"]
    assert {"default", "train", "relax", "sun", "vasp"} <= set(asked)
    for name, runtime in asked.items():
        for attempt in (1, 6):
            assert int(eval(str(runtime), {"attempt": attempt})) <= 50, name  # noqa: S307 (as snakemake does)


def test_slurm_asks_for_more_memory_at_each_attempt_for_every_rule():
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8"))
    # What a rule says itself comes before default-resources.
    own = {name for name, text in rules().items() if "mem_mb=" in text}
    for name in own | set(profile["set-resources"]):
        assert profile["set-resources"][name]["mem_mb"].endswith("* attempt"), name
