"""Relaxation of crystals; in Python, `miad.relax(structures)`: see `miad.api.relax`."""

from miad.core.callable_module import make_callable

make_callable(__name__)
