"""Provenance of a result: versions of the programs that it depends on, the commit, and the arithmetic."""

import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

import miad
from miad.core.errors import MiadError
from miad.core.json_text import read_json

# pymatgen (its code is in pymatgen-core) decides corrections and matches, matminer the fingerprints, chgnet and torch
# the energies.
PACKAGES = ("torch", "chgnet", "fairchem-core", "pymatgen", "pymatgen-core", "matminer", "numpy", "scipy")
ARITHMETIC = "arithmetic"  # key in the files of train and sample, and in the versions of a row


@cache
def versions() -> dict[str, str | None]:
    """{program: version}; None where it is not installed."""
    found: dict[str, str | None] = {"miad": miad.__version__, "commit": commit(), "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


@cache
def commit() -> str:
    """The commit of the source, with `+` behind it if a file differs from it; `unknown` outside a checkout."""
    folder = Path(miad.__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return "unknown"
    try:
        head = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def arithmetic(records: Iterable[Path]) -> str | None:
    """What computed the network in training and sampling, as these steps recorded it, each machine once.

    Args:
        records: model.json of a training, and snapshots of samples (safetensors) with it in their header.

    Returns:
        `sample: …; train: …`; None where nothing is recorded: crystals of other programs, files of earlier versions.

    Raises:
        MiadError: a file is damaged.
    """
    found = {_recorded(Path(path)) for path in records}
    return "; ".join(sorted(text for text in found if text)) or None


def _recorded(path: Path) -> str | None:
    if path.suffix == ".json":
        return read_json(path, "Delete it and train again.").get(ARITHMETIC)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return (file.metadata() or {}).get(ARITHMETIC)
    except (OSError, SafetensorError) as error:
        raise MiadError(f"{path} holds no snapshots of miad ({error!r}). Delete it and sample again.") from error


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
