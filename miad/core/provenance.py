"""Provenance of a result: versions of the programs that it depends on, and the commit."""

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import miad

# pymatgen (its code is in pymatgen-core) decides corrections and matches, matminer the fingerprints, chgnet and torch
# the energies.
PACKAGES = ("torch", "chgnet", "fairchem-core", "pymatgen", "pymatgen-core", "matminer", "numpy", "scipy")


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


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
