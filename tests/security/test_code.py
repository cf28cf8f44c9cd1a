"""Promise 1, nothing that is read is run: no code of miad evaluates text, starts a shell or opens a pickle as one."""

import ast
import re
from pathlib import Path

import pytest

from tests.builders import ROOT

# Where pickles are read: two unpicklers of our own that run nothing.
READERS_OF_PICKLES = {"io/torch_file.py", "hull/pickled.py"}


def calls(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func)


@pytest.mark.parametrize("path", sorted((ROOT / "miad").rglob("*.py")), ids=lambda path: path.name)
def test_no_shell_no_evaluation_no_pickle(path):
    for call in calls(path):
        name, keys = name_of(call), {key.arg: ast.unparse(key.value) for key in call.keywords}
        assert keys.get("shell", "False") == "False", f"{path.name}:{call.lineno} starts a shell"
        assert keys.get("allow_pickle", "False") == "False"
        assert name not in {"eval", "exec", "os.system", "os.popen", "yaml.load", "subprocess.getoutput"}
        assert name not in {"pickle.load", "pickle.loads", "pandas.read_pickle", "joblib.load", "dill.load"}
        assert name != "torch.load"


def test_pickles_are_read_in_few_places():
    words = re.compile(r"^\s*(import pickle|from pickle)\b|^[^#\n]*= *torch\.load\(|return torch\.load\(", re.MULTILINE)
    paths = [path for path in (ROOT / "miad").rglob("*.py") if words.search(path.read_text(encoding="utf-8"))]
    assert {path.relative_to(ROOT / "miad").as_posix() for path in paths} == READERS_OF_PICKLES


def test_rules_quote_whatever_is_not_a_number_or_a_checked_name():
    checked = {"{threads}", "{resources.gpu}", "{resources.jobs_per_gpu}", "{wildcards.shard}", "{wildcards.chunk}"}
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for shell in re.findall(r'shell:.*?"""(.*?)"""', path.read_text(encoding="utf-8"), re.DOTALL):
            used = set(re.findall(r"\{[^{}]+\}", shell))
            assert {one for one in used if not one.endswith(":q}")} <= checked, path.name


def test_structures_of_others_are_decoded_by_hand():
    """pymatgen's and monty's decoders import the modules that a file names.

    Jobflow's flows are ours, and the library of prototypes is pymatgen's own.
    """
    words = re.compile(r"\.from_dict\(|MontyDecoder|loadfn\(")
    paths = [path for path in (ROOT / "miad").rglob("*.py") if words.search(path.read_text(encoding="utf-8"))]
    assert {path.relative_to(ROOT / "miad").as_posix() for path in paths} == {
        "dft/vasp/flow.py",
        "prototypes/templates.py",
    }
