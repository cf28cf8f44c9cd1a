"""The 3D viewer of the page: chemiscope's program, its licence to run in the page, and crystals as it takes them.

Checked with chemiscope 1.1. What belongs to it in the page is in viewer.js, which uses a private part of it (`_viewer`,
to see the whole cell) and what it is built on.
"""

import logging
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from miad.core.crystal import Crystal
from miad.core.errors import MiadError

log = logging.getLogger("miad")

PACKAGE = "chemiscope"
CHECKED = "1.1"
FILE = "chemiscope/sphinx/static/chemiscope.min.js"
# Content security policy: nothing is fetched, whatever a crystal is called. The viewer keeps its style sheets and a
# worker in blobs, and compiles code.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
        "font-src data:",
        "worker-src blob:",
        "connect-src data: blob:",
        "form-action 'none'",
        "base-uri 'none'",
    )
)


def version() -> str:
    """The installed version, with a warning in the log where it is not the one that was checked."""
    found = metadata.version(PACKAGE)
    if not re.match(rf"{re.escape(CHECKED)}(\.|$)", found):
        log.warning("the report was checked with %s %s, not with %s: look at its structures", PACKAGE, CHECKED, found)
    return found


def library() -> str:
    """The viewer's program, as it may stand within a script element.

    Raises:
        MiadError: the package is not installed, or does not hold it.
    """
    try:
        path = Path(str(metadata.distribution(PACKAGE).locate_file(FILE)))
        text = path.read_text(encoding="utf-8")
    except (metadata.PackageNotFoundError, OSError) as error:
        raise MiadError(
            f"the 3D viewer is missing ({error}). Install the pinned packages: bash envs/install.sh python."
        ) from error
    return re.sub(r"<(?=/script|!--|script)", r"\\x3c", text, flags=re.IGNORECASE)


def structure(crystal: Crystal) -> dict[str, Any]:
    """A crystal as the viewer takes it: symbols, Cartesian coordinates (Å) and cell, rows are vectors."""
    from pymatgen.core import Element

    cart = crystal.frac_coords @ crystal.lattice  # (n_atoms, 3)
    x, y, z = (np.round(axis, 4).tolist() for axis in cart.T)
    return {
        "size": crystal.num_atoms,
        "names": [Element.from_Z(int(number)).symbol for number in crystal.atomic_numbers],
        "x": x,
        "y": y,
        "z": z,
        "cell": np.round(crystal.lattice, 4).ravel().tolist(),
    }
