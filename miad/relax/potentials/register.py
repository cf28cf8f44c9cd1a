"""The register of machine-learned potentials; miad/relax/potentials/potential.py says how to add one."""

import dataclasses
import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

from miad.config.sections import Relax, from_record
from miad.core.errors import MiadError
from miad.relax.potentials.potential import Potential

POTENTIALS = {
    "chgnet": "miad.relax.potentials.chgnet:Chgnet",
    "eqv2": "miad.relax.potentials.eqv2:Eqv2",
}  # name: module:class
_OF_RELAX = {field.name for field in dataclasses.fields(Relax)} - {"calculators", "potentials"}


def potential(name: str, options: dict[str, Any] | None = None) -> Potential:
    """The potential of that name.

    Args:
        name: a key of `POTENTIALS`, or any name whose options have a `class`.
        options: its entry in `relax.potentials`.

    Raises:
        MiadError: there is none, it cannot be imported, or an option is missing or unknown.
    """
    options = {key: value for key, value in (options or {}).items() if key not in _OF_RELAX}
    where = options.pop("class", POTENTIALS.get(name))
    if where is None:
        raise MiadError(
            f"calculator {name} is not one of {', '.join(POTENTIALS)}. Correct relax.calculators (of crystals of other"
            f" programs: external) in config.yaml, or say under relax.potentials which class it is: {name}: {{class:"
            " 'module:Class'}."
        )
    module, _, attribute = where.partition(":")
    here = str(Path.cwd())
    if not {"", here} & set(sys.path):  # python -m looks there by itself, the command `miad` does not
        sys.path.append(here)
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise MiadError(
            f"relax.potentials.{name}.class: {where} cannot be imported ({error}). It is module:Class; the module has"
            " to lie beside config.yaml or be installed."
        ) from error
    try:
        inspect.signature(kind).bind(**options)
    except TypeError as error:
        known = ", ".join([*inspect.signature(kind).parameters, *sorted(_OF_RELAX)])
        raise MiadError(f"relax.potentials.{name}: {error}. Known keys: {known}.") from error
    return kind(**options)


def settings_of(settings: Relax, name: str) -> Relax:
    """The settings of relax for one potential: its own entry lies over the common keys."""
    own = {key: value for key, value in settings.potentials.get(name, {}).items() if key in _OF_RELAX}
    return from_record(Relax, {**dataclasses.asdict(settings), **own})
