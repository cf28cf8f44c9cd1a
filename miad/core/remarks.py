"""Remarks of other packages that say nothing to users of miad."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# pymatgen's on noble gases, and on stars in the place of an energy, of which miad says itself what it does.
REMARKS = ("No Pauling electronegativity", "Float overflow")


@contextmanager
def without_remarks() -> Iterator[None]:
    """Leave out the remarks while a command or a function of the API runs; also a decorator."""
    with warnings.catch_warnings():
        for remark in REMARKS:
            warnings.filterwarnings("ignore", message=remark)
        yield
