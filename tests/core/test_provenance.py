"""Results say what made them."""

from importlib import metadata

import miad
from miad.core.provenance import PACKAGES, commit, versions


def test_versions_are_those_installed() -> None:
    found = versions()
    assert found["miad"] == miad.__version__
    assert found["pymatgen"] == metadata.version("pymatgen")
    assert set(PACKAGES) < set(found)
    assert {"pymatgen-core", "matminer"} < set(PACKAGES)  # corrections, fingerprints


def test_outside_a_checkout_the_commit_is_unknown(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(miad, "__file__", str(tmp_path / "miad" / "__init__.py"))
    assert commit.__wrapped__() == "unknown"
