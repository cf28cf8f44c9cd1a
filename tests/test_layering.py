"""The layers of the package: an import never runs up, and none runs in a circle; those inside functions count too."""

import ast
from pathlib import Path

import pytest

from tests.builders import ROOT

# From the ground up; folders of one line may import each other as long as no modules do in a circle.
LAYERS = (
    ("core", "config"),
    ("machine",),
    ("io", "relax"),
    ("model", "dataset", "hull"),
    ("infuse", "sun"),
    ("train", "sample", "dft", "metrics", "prototypes"),
    ("report", "preflight"),
    ("api", "cancel", "evaluate", "generate", "import_weights", "models", "watch", "__main__"),
)
FLOOR = {name: floor for floor, names in enumerate(LAYERS) for name in names}


def modules(root: Path) -> dict[str, Path]:
    """{dotted name: file} of all modules of the package."""
    paths = sorted((root / "miad").rglob("*.py"))
    parts = {path: path.relative_to(root).with_suffix("").parts for path in paths}
    return {".".join(p[:-1] if p[-1] == "__init__" else p): path for path, p in parts.items()}


def arrows(root: Path = ROOT) -> dict[str, set[str]]:
    """{module: modules that it imports} within the package; imports for type checkers do not run."""
    known = modules(root)
    found: dict[str, set[str]] = {name: set() for name in known}
    for name, path in known.items():
        for node in running(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found[name].add(inner if inner in known else node.module)
            elif isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names}
    return {name: {target for target in targets if target in known} - {name} for name, targets in found.items()}


def running(node: ast.AST):
    """All nodes but those under `if TYPE_CHECKING`."""
    yield node
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    for child in ast.iter_child_nodes(node):
        yield from running(child)


def floor(module: str) -> int | None:
    """The layer of a module; None for the package itself, whose imports are lazy."""
    return FLOOR[module.split(".")[1]] if "." in module else None


def test_every_module_has_a_layer():
    assert {name.split(".")[1] for name in modules(ROOT) if "." in name} == set(FLOOR)


def test_no_import_runs_up():
    up = [
        f"{name} -> {target}"
        for name, targets in arrows().items()
        for target in targets
        if None not in (here := floor(name), there := floor(target)) and there > here
    ]
    assert not up, "\n".join(sorted(up))


def test_no_import_runs_in_a_circle():
    left = arrows()
    while free := [name for name, targets in left.items() if not targets & set(left)]:
        for name in free:
            del left[name]
    # What is left imports what is left: the circles, and what stands on them.
    users = {name: {other for other, targets in left.items() if name in targets} for name in left}
    while idle := [name for name, others in users.items() if not others & set(users)]:
        for name in idle:
            del users[name]
    assert not users, {name: sorted(left[name] & set(users)) for name in users}


def test_an_import_inside_a_function_counts(tmp_path):
    (tmp_path / "miad" / "core").mkdir(parents=True)
    (tmp_path / "miad" / "core" / "files.py").write_text("def f():\n    from miad.core import crystal\n")
    (tmp_path / "miad" / "core" / "crystal.py").write_text("import miad.core.files\n")
    assert arrows(tmp_path) == {"miad.core.files": {"miad.core.crystal"}, "miad.core.crystal": {"miad.core.files"}}


def test_imports_for_type_checkers_do_not_count(tmp_path):
    (tmp_path / "miad").mkdir()
    (tmp_path / "miad" / "cancel.py").write_text("if TYPE_CHECKING:\n    import miad.evaluate\n")
    (tmp_path / "miad" / "evaluate.py").write_text("")
    assert arrows(tmp_path)["miad.cancel"] == set()


@pytest.mark.parametrize("name", ["core", "config", "machine"])
def test_the_ground_floors_are_light(name):
    """Torch, pymatgen and snakemake are imported where they are used, not when a module is."""
    heavy = {"torch", "pymatgen", "snakemake", "chgnet", "fairchem", "atomate2", "ase"}
    for path in (ROOT / "miad" / name).rglob("*.py"):
        tops = [
            node
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        words = {alias.name for node in tops if isinstance(node, ast.Import) for alias in node.names}
        words |= {node.module or "" for node in tops if isinstance(node, ast.ImportFrom)}
        assert not {word.split(".")[0] for word in words} & heavy, path
