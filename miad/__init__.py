"""miad: mirage atom diffusion, from a data set to stable, unique and novel crystals.

In Python: `miad.load(name).generate(20)`, `miad.relax(structures)`, `miad.evaluate(structures, known=…, hull=…)`; see
`miad.api`. Importing miad takes no time: what it needs is loaded when it is first used.
"""

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The functions of the Python API, loaded when they are first asked for."""
    if name == "load":
        return importlib.import_module("miad.api").load
    if name in ("relax", "evaluate"):
        return importlib.import_module(f"miad.{name}")
    raise AttributeError(f"module miad has no attribute {name}")
